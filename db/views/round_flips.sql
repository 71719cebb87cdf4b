create view round_flips as
select b.round,
       b.benchmark,
       case when a.correct then 'gained' else 'lost' end as flip,
       b.question_id,
       b.question,
       b.gold,
       b.domain,
       b.difficulty,
       b.length,
       b.trace_id as before_trace_id,
       b.answer as before_answer,
       b.text as before_text,
       b.thoughts as before_thoughts,
       a.trace_id as after_trace_id,
       a.answer as after_answer,
       a.text as after_text,
       a.thoughts as after_thoughts
from round_answers b
join round_answers a on a.round = b.round and a.benchmark = b.benchmark and a.question_id = b.question_id
where b.stage = 'before' and a.stage = 'after' and b.correct <> a.correct;

comment on view round_flips is 'One row for each question with a right answer only before or only after a round.';
comment on column round_flips.round is 'The round.';
comment on column round_flips.benchmark is 'The evaluation job of the base model.';
comment on column round_flips.flip is 'gained (right only with the adapter) or lost (right only without).';
comment on column round_flips.question_id is 'The question.';
comment on column round_flips.question is 'Its text.';
comment on column round_flips.gold is 'The reference answer.';
comment on column round_flips.domain is 'math, code, legal, medical or general.';
comment on column round_flips.difficulty is 'As in round_answers.';
comment on column round_flips.length is 'As in round_answers.';
comment on column round_flips.before_trace_id is 'The base model''s trace.';
comment on column round_flips.before_answer is 'Its answer.';
comment on column round_flips.before_text is 'The text of that trace without its thoughts.';
comment on column round_flips.before_thoughts is 'The thoughts of that trace; null if there are none.';
comment on column round_flips.after_trace_id is 'The trace with the adapter.';
comment on column round_flips.after_answer is 'Its answer.';
comment on column round_flips.after_text is 'The text of that trace without its thoughts.';
comment on column round_flips.after_thoughts is 'The thoughts of that trace; null if there are none.';
