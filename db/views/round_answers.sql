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
       coalesce(t.answer_text, substr(t.text, t.answer_start, t.answer_length), t.text) as text,
       coalesce(t.thoughts, substr(t.text, t.thoughts_start, t.thoughts_length)) as thoughts,
       t.answer,
       v.steps,
       v.faithfulness,
       v.coherence,
       t.tokens_out,
       t.finish_reason,
       j.samples,
       every.correct as samples_correct,
       case when j.samples > 1 and j.enough is null then every.correct / j.samples::float8
            else coalesce(v.correct, false)::int end as share
from evaluations e
join rounds r on r.id = e.round_id
join jobs j on j.id = e.job_id
join job_questions jq on jq.job_id = j.id and not (jq.state = 'failed' and j.leaves_out_failed)
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
      and not (oj.name = e.benchmark and o.sample_index = 0) and oj.model not like 'tier.%' -- trainer.tiers.PREFIX
) other on true;

comment on view round_answers is 'One row for each question of a round''s evaluations, before and after, with the first sample''s answer. Failed questions that their job leaves out are missing.';
comment on column round_answers.round is 'The round.';
comment on column round_answers.stage is 'before (base model) or after (with the adapter).';
comment on column round_answers.benchmark is 'The evaluation job of the base model. Results before and after share this name in all rounds.';
comment on column round_answers.job is 'The job of the answer.';
comment on column round_answers.question_id is 'The question.';
comment on column round_answers.question is 'Its text.';
comment on column round_answers.gold is 'The reference answer.';
comment on column round_answers.domain is 'math, code, legal, medical or general.';
comment on column round_answers.difficulty is 'The data set''s level (level 3) if the question has one. Otherwise from the share of right answers by models without an adapter, except the answers measured here: easy from 0.7, medium from 0.3, otherwise hard; unknown without such answers.';
comment on column round_answers.length is 'Length of the question: short under 150 characters, medium under 300, otherwise long.';
comment on column round_answers.correct is 'The answer is right; a question without an answer counts as wrong.';
comment on column round_answers.correct_strict is 'The answer is right and has a requested form. It is not guessed from the last number.';
comment on column round_answers.trace_id is 'The trace; null if there is none.';
comment on column round_answers.text is 'The text of the trace without its thoughts.';
comment on column round_answers.thoughts is 'The thoughts of the trace; null if there are none.';
comment on column round_answers.answer is 'Its final answer.';
comment on column round_answers.steps is 'Steps of its reasoning.';
comment on column round_answers.faithfulness is 'Whether the reasoning leads to this answer, 0 to 1; null if not judged.';
comment on column round_answers.coherence is 'Whether each step follows from the steps before it, 0 to 1; null if not judged.';
comment on column round_answers.tokens_out is 'Tokens written.';
comment on column round_answers.finish_reason is 'stop: the model ended; length: it was cut off.';
comment on column round_answers.samples is 'Samples for each question of the job.';
comment on column round_answers.samples_correct is 'Right samples among them.';
comment on column round_answers.share is 'Share of right samples among all samples of the question: what accuracy is the mean of. 1 or 0 by the first sample if there is one, or if the job stops at enough right ones.';
