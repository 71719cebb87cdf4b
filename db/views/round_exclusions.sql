create view round_exclusions as
select r.name as round,
       q.id as question_id,
       q.question,
       q.dataset,
       x.rule,
       x.share,
       e.id as evaluation_question_id,
       e.question as evaluation_question,
       e.dataset as evaluation_dataset
from exclusions x
join rounds r on r.id = x.round_id
join questions q on q.id = x.question_id
join questions e on e.id = x.evaluation_question_id;

comment on view round_exclusions is 'One row for each question that is excluded from a round, because it overlaps a question of an evaluation.';
comment on column round_exclusions.round is 'The round.';
comment on column round_exclusions.question_id is 'The excluded question; all its traces are excluded.';
comment on column round_exclusions.question is 'Its text.';
comment on column round_exclusions.dataset is 'Its dataset.';
comment on column round_exclusions.rule is 'The kind of overlap. exact: the same text; normalised: the same text except for spacing, case and punctuation; ngram: the same numbers and many common word n-grams.';
comment on column round_exclusions.share is 'Share of the shorter question''s word n-grams that the other question also has, 0 to 1.';
comment on column round_exclusions.evaluation_question_id is 'The overlapping question of an evaluation; if there are several, the one with the largest share.';
comment on column round_exclusions.evaluation_question is 'Its text.';
comment on column round_exclusions.evaluation_dataset is 'Its dataset.';
