-- What rounds measured, question by question. Added to the views of 0003.sql, of which round_lineage gets more columns.

create view round_answers as
select r.name as round,
       e.stage,
       e.benchmark,
       j.name as job,
       q.id as question_id,
       q.question,
       q.gold,
       q.domain,
       coalesce('level ' || substring(q.meta ->> 'level' from '[0-9]+'),
                difficulty(other.correct, other.answers)) as difficulty,
       case when length(q.question) < 150 then 'short'
            when length(q.question) < 300 then 'medium'
            else 'long' end as length,
       coalesce(v.correct, false) as correct,
       coalesce(v.correct and t.answer_form in ('boxed', 'stated', 'hashes'), false) as correct_strict,
       t.id as trace_id,
       t.text,
       t.answer,
       v.steps,
       v.faithfulness,
       v.coherence,
       t.tokens_out,
       t.finish_reason,
       j.samples,
       every.correct as samples_correct
from evaluations e
join rounds r on r.id = e.round_id
join jobs j on j.id = e.job_id
join job_questions jq on jq.job_id = j.id
join questions q on q.id = jq.question_id
left join traces t on t.job_id = j.id and t.question_id = q.id and t.sample_index = 0
left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier
left join lateral (
    select count(*) filter (where sv.correct) as correct
    from traces s join verdicts sv on sv.trace_id = s.id and sv.verifier = j.verifier
    where s.job_id = j.id and s.question_id = q.id
) every on true
left join lateral (
    select count(*) filter (where ov.correct) as correct, count(ov.correct) as answers
    from traces o
    join jobs oj on oj.id = o.job_id
    join verdicts ov on ov.trace_id = o.id and ov.verifier = oj.verifier
    where o.question_id = q.id and oj.round_id is null and not oj.negative
      and not (oj.name = e.benchmark and o.sample_index = 0)
) other on true;

comment on view round_answers is 'One row for each question of a round''s evaluations, before and after: the first sample''s answer, which is the one that counts.';
comment on column round_answers.round is 'The round.';
comment on column round_answers.stage is 'before (base model) or after (with the adapter).';
comment on column round_answers.benchmark is 'The evaluation job of the base model: the name that before and after share, in all rounds.';
comment on column round_answers.job is 'The job that asked.';
comment on column round_answers.question_id is 'The question.';
comment on column round_answers.question is 'Its text.';
comment on column round_answers.gold is 'The reference answer.';
comment on column round_answers.domain is 'math, code, legal, medical or general.';
comment on column round_answers.difficulty is 'The data set''s own level (level 3) where the question has one. Else by the share of right answers among all others that models without an adapter gave to it, never those measured here: easy from 0.7, medium from 0.3, else hard; unknown: there are none.';
comment on column round_answers.length is 'Of the question: short under 150 characters, medium under 300, else long.';
comment on column round_answers.correct is 'The answer is right; a question without an answer counts as wrong.';
comment on column round_answers.correct_strict is 'It is right and given in an asked form, not guessed from the last number.';
comment on column round_answers.trace_id is 'The trace; null: there is none.';
comment on column round_answers.text is 'What the model wrote.';
comment on column round_answers.answer is 'The final answer found in it.';
comment on column round_answers.steps is 'Steps of its reasoning.';
comment on column round_answers.faithfulness is 'Does the reasoning lead to this answer, 0 to 1; null: not asked.';
comment on column round_answers.coherence is 'Does each step follow from the last, 0 to 1; null: not asked.';
comment on column round_answers.tokens_out is 'Tokens written.';
comment on column round_answers.finish_reason is 'stop: the model ended; length: it was cut off.';
comment on column round_answers.samples is 'Samples that the job took of each question.';
comment on column round_answers.samples_correct is 'How many of them are right.';

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
       a.trace_id as after_trace_id,
       a.answer as after_answer,
       a.text as after_text
from round_answers b
join round_answers a on a.round = b.round and a.benchmark = b.benchmark and a.question_id = b.question_id
where b.stage = 'before' and a.stage = 'after' and b.correct <> a.correct;

comment on view round_flips is 'The questions that a round''s adapter flipped: right after and not before, or the other way round.';
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
comment on column round_flips.before_text is 'What it wrote.';
comment on column round_flips.after_trace_id is 'The trace with the adapter.';
comment on column round_flips.after_answer is 'Its answer.';
comment on column round_flips.after_text is 'What it wrote.';

create view round_results as
select g.*,
       (centre - half) / (1 + z2 / g.questions) as low,
       (centre + half) / (1 + z2 / g.questions) as high
from (
    select round,
           stage,
           benchmark,
           domain,
           difficulty,
           length,
           count(*) as questions,
           count(*) filter (where correct) as correct,
           count(*) filter (where correct_strict) as correct_strict,
           count(*) filter (where samples_correct > 0) as any_correct,
           avg(steps)::float8 as steps,
           avg(faithfulness)::float8 as faithfulness,
           avg(coherence)::float8 as coherence,
           avg(tokens_out)::float8 as tokens_out,
           count(*) filter (where correct) / count(*)::float8 as accuracy
    from round_answers
    group by 1, 2, 3, 4, 5, 6
) g
join lateral (select 1.959964 ^ 2 as z2) z on true
join lateral (
    select g.accuracy + z2 / (2 * g.questions) as centre,
           1.959964 * sqrt(g.accuracy * (1 - g.accuracy) / g.questions + z2 / (4 * g.questions ^ 2)) as half
) w on true;

comment on view round_results is 'What distils well and what does not: one row for each round, stage, benchmark, domain, difficulty and length of the questions.';
comment on column round_results.round is 'The round.';
comment on column round_results.stage is 'before (base model) or after (with the adapter).';
comment on column round_results.benchmark is 'The evaluation job of the base model.';
comment on column round_results.domain is 'math, code, legal, medical or general.';
comment on column round_results.difficulty is 'As in round_answers.';
comment on column round_results.length is 'Of the questions, as in round_answers.';
comment on column round_results.questions is 'How many there are.';
comment on column round_results.correct is 'Right answers, of one try each.';
comment on column round_results.correct_strict is 'Right answers in an asked form.';
comment on column round_results.any_correct is 'Questions with a right answer among all their samples.';
comment on column round_results.steps is 'Mean steps of an answer.';
comment on column round_results.faithfulness is 'Mean; null: not asked.';
comment on column round_results.coherence is 'Mean; null: not asked.';
comment on column round_results.tokens_out is 'Mean tokens of an answer.';
comment on column round_results.accuracy is 'correct ÷ questions, 0 to 1.';
comment on column round_results.low is 'Lower end of its 95 % Wilson interval.';
comment on column round_results.high is 'Upper end of its 95 % Wilson interval.';

create or replace view round_lineage as
select r.name as round,
       r.state as round_state,
       e.role,
       e.position,
       q.id as question_id,
       q.question,
       t.id as trace_id,
       j.name as job,
       j.model as teacher,
       j.method,
       t.prompt_hash as teacher_prompt_hash,
       r.prompt_hash as student_prompt_hash,
       r.adapter_path,
       v.stage as evaluation_stage,
       w.name as evaluation_job,
       v.questions as evaluated,
       v.accuracy,
       v.low,
       v.high,
       v.benchmark,
       t.text,
       p.messages as teacher_prompt,
       e.stage as curriculum_stage
from rounds r
join examples e on e.round_id = r.id
join traces t on t.id = e.trace_id
join questions q on q.id = t.question_id
join jobs j on j.id = t.job_id
join prompts p on p.hash = t.prompt_hash
left join evaluations v on v.round_id = r.id
left join jobs w on w.id = v.job_id;

comment on column round_lineage.benchmark is 'The evaluation job of the base model; null: not evaluated yet. Joins round_flips and round_answers.';
comment on column round_lineage.text is 'What the teacher wrote.';
comment on column round_lineage.teacher_prompt is 'The messages of the template that the teacher was asked with, its slots in braces.';
comment on column round_lineage.curriculum_stage is '0-based stage of the curriculum in which the example was trained on.';

grant select on round_answers, round_flips, round_results to tracemill_reader;
