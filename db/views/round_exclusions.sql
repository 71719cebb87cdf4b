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

comment on view round_exclusions is 'One row for each question that was kept out of a round because it overlaps a question of an evaluation.';
comment on column round_exclusions.round is 'The round.';
comment on column round_exclusions.question_id is 'The question that was left out, with all its traces.';
comment on column round_exclusions.question is 'Its text.';
comment on column round_exclusions.dataset is 'The dataset that it belongs to.';
comment on column round_exclusions.rule is 'How the overlap was found. exact: the same text; normalised: but for spacing, case and punctuation; ngram: the same numbers and many of the same word n-grams.';
comment on column round_exclusions.share is 'Share of the word n-grams of the shorter question that are in the other, 0 to 1.';
comment on column round_exclusions.evaluation_question_id is 'The question of an evaluation that it overlaps (of several, the one with the largest share).';
comment on column round_exclusions.evaluation_question is 'Its text.';
comment on column round_exclusions.evaluation_dataset is 'The dataset that it belongs to.';
