-- The views that people query. Their columns are kept stable; the comments are the documentation (docs/sql.md is made of them).

create view trace_scores as
select t.id as trace_id,
       j.name as job,
       j.purpose,
       q.dataset,
       q.domain,
       q.id as question_id,
       q.question,
       q.gold,
       j.model,
       r.name as adapter,
       j.method,
       j.negative,
       t.variant,
       t.sample_index,
       t.text,
       t.reasoning,
       t.answer,
       t.answer_form,
       v.correct,
       v.proof,
       v.equations_checked,
       v.equations_false,
       v.faithfulness,
       v.coherence,
       v.signals,
       v.refused,
       v.accepted,
       v.error,
       v.verifier,
       v.kind,
       v.majority,
       v.margin,
       v.steps,
       v.first_error,
       v.ungrounded,
       v.concludes,
       v.findings,
       t.tokens_in,
       t.tokens_out,
       t.thinking_tokens,
       t.cost,
       t.engine_seconds,
       t.latency_seconds,
       t.finish_reason,
       t.calls,
       t.prompt_hash,
       t.created_at,
       v.created_at as verified_at
from traces t
join jobs j on j.id = t.job_id
join questions q on q.id = t.question_id
left join rounds r on r.id = j.round_id
left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier;

comment on view trace_scores is 'One flat row a trace: the question, who answered and how, and everything the verifier found.';
comment on column trace_scores.trace_id is 'The trace.';
comment on column trace_scores.job is 'The job that asked for it.';
comment on column trace_scores.purpose is 'teach: may be trained on. evaluate: never is.';
comment on column trace_scores.dataset is 'The dataset that the question belongs to.';
comment on column trace_scores.domain is 'math, code, legal, medical or general.';
comment on column trace_scores.question_id is 'The question.';
comment on column trace_scores.question is 'Its text.';
comment on column trace_scores.gold is 'The reference answer; null when there is none.';
comment on column trace_scores.model is 'The model alias that answered.';
comment on column trace_scores.adapter is 'The round whose adapter answered; null for the base model.';
comment on column trace_scores.method is 'The way of asking.';
comment on column trace_scores.negative is 'The method asks for wrong reasoning: its accepted traces show how not to reason.';
comment on column trace_scores.variant is 'Which of the method''s variants; empty for methods with one.';
comment on column trace_scores.sample_index is '0-based number of the sample among those of its question, job and variant.';
comment on column trace_scores.text is 'What the model wrote.';
comment on column trace_scores.reasoning is 'What a reasoning model thought; of any other model, what it said.';
comment on column trace_scores.answer is 'The final answer found in the text; null when there is none.';
comment on column trace_scores.answer_form is 'Where it was found: boxed, stated, hashes (asked forms); equation, last number, last line (lenient).';
comment on column trace_scores.correct is 'The answer equals the gold answer; null: could not be decided.';
comment on column trace_scores.proof is 'How correctness was decided, or why it was not.';
comment on column trace_scores.equations_checked is 'Equations in the text that could be evaluated.';
comment on column trace_scores.equations_false is 'How many of them are false.';
comment on column trace_scores.faithfulness is 'Does the reasoning lead to this answer, 0 to 1, by the LLM verifier; null: not asked.';
comment on column trace_scores.coherence is 'Does each step follow from the last, 0 to 1; null: not asked.';
comment on column trace_scores.signals is 'Each raw signal of the verifier by name.';
comment on column trace_scores.refused is 'Why a trace of this method is of no use, however right it is: it betrays its hint, and the like; null: nothing.';
comment on column trace_scores.accepted is 'The verdict passes the job''s policy; null: not verified yet.';
comment on column trace_scores.error is 'What went wrong while verifying; null: nothing.';
comment on column trace_scores.verifier is 'The verifier whose verdict this is.';
comment on column trace_scores.kind is 'The kind of answer that was looked for: number, expression, choice, boolean, text or code.';
comment on column trace_scores.majority is 'Share of the question''s samples that agree with this answer; only without a gold answer.';
comment on column trace_scores.margin is 'That share minus the share of the next answer.';
comment on column trace_scores.steps is 'Steps of the reasoning.';
comment on column trace_scores.first_error is 'First step with a false equation, counted from 0; null: none was found.';
comment on column trace_scores.ungrounded is 'Numbers that neither the question nor an earlier result explains.';
comment on column trace_scores.concludes is 'The last value that the reasoning derives is its answer; null: it derives none.';
comment on column trace_scores.findings is 'False equations and ungrounded numbers, each with its step.';
comment on column trace_scores.tokens_in is 'Tokens of the prompt, of all calls of the trace together.';
comment on column trace_scores.tokens_out is 'Tokens written, in all calls of the trace together.';
comment on column trace_scores.thinking_tokens is 'How many tokens of the trace were thoughts, apart from the answer.';
comment on column trace_scores.cost is 'Its price, by the price_in and price_out of the model''s settings; a prompt is paid once for all its samples.';
comment on column trace_scores.engine_seconds is 'Its part of the engine''s time: requests that are in the engine together share each second.';
comment on column trace_scores.finish_reason is 'stop: the model ended; length: it was cut off.';
comment on column trace_scores.latency_seconds is 'Seconds from the request to its last token, of all calls together.';
comment on column trace_scores.calls is 'The earlier calls of the trace, where the method makes several: draft, critique and the like, with text and tokens.';
comment on column trace_scores.prompt_hash is 'The template that was asked with (table prompts).';
comment on column trace_scores.created_at is 'When the trace was stored.';
comment on column trace_scores.verified_at is 'When its verdict was stored.';

create view job_progress as
select j.id as job_id,
       j.name as job,
       j.purpose,
       j.state,
       j.model,
       r.name as adapter,
       j.method,
       j.samples,
       j.enough,
       j.most,
       coalesce(q.questions, 0) as questions,
       coalesce(q.pending, 0) as pending,
       coalesce(q.queued, 0) as queued,
       coalesce(q.running, 0) as running,
       coalesce(q.generated, 0) as generated,
       coalesce(q.done, 0) as done,
       coalesce(q.failed, 0) as failed,
       coalesce(t.traces, 0) as traces,
       coalesce(t.verified, 0) as verified,
       coalesce(t.correct, 0) as correct,
       coalesce(t.accepted, 0) as accepted,
       coalesce(t.tokens_in, 0) as tokens_in,
       coalesce(t.tokens_out, 0) as tokens_out,
       coalesce(t.cost, 0) as cost,
       coalesce(t.engine_seconds, 0) as engine_seconds,
       j.budget,
       j.budget_unit,
       j.spent,
       j.created_at,
       t.first_trace_at,
       t.last_trace_at,
       j.finished_at
from jobs j
left join rounds r on r.id = j.round_id
left join lateral (
    select count(*) as questions,
           count(*) filter (where state = 'pending') as pending,
           count(*) filter (where state = 'queued') as queued,
           count(*) filter (where state = 'running') as running,
           count(*) filter (where state = 'generated') as generated,
           count(*) filter (where state = 'done') as done,
           count(*) filter (where state = 'failed') as failed
    from job_questions where job_id = j.id
) q on true
left join lateral (
    select count(*) as traces,
           count(v.id) as verified,
           count(*) filter (where v.correct) as correct,
           count(*) filter (where v.accepted) as accepted,
           sum(t.tokens_in) as tokens_in,
           sum(t.tokens_out) as tokens_out,
           sum(t.cost::float8) as cost,
           sum(t.engine_seconds::float8) as engine_seconds,
           min(t.created_at) as first_trace_at,
           max(t.created_at) as last_trace_at
    from traces t left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier
    where t.job_id = j.id
) t on true;

comment on view job_progress is 'One row a job: where its questions are and what came out so far.';
comment on column job_progress.job_id is 'The job.';
comment on column job_progress.job is 'Its name.';
comment on column job_progress.purpose is 'teach or evaluate.';
comment on column job_progress.state is 'filling, running, paused, over_budget, cancelled or done.';
comment on column job_progress.model is 'The model alias that answers.';
comment on column job_progress.adapter is 'The round whose adapter answers; null for the base model.';
comment on column job_progress.method is 'The way of asking.';
comment on column job_progress.samples is 'Samples per question and variant of the method.';
comment on column job_progress.enough is 'Accepted traces at which a question is done; null: it always gets all its samples.';
comment on column job_progress.most is 'Traces per question at most.';
comment on column job_progress.questions is 'Questions in all.';
comment on column job_progress.pending is 'Not in Redis yet.';
comment on column job_progress.queued is 'In Redis, not claimed.';
comment on column job_progress.running is 'Claimed by a worker.';
comment on column job_progress.generated is 'Answered, not verified.';
comment on column job_progress.done is 'Answered and verified.';
comment on column job_progress.failed is 'Given up; job_questions.last_error says why.';
comment on column job_progress.traces is 'Traces stored.';
comment on column job_progress.verified is 'Traces with a verdict.';
comment on column job_progress.correct is 'Traces whose answer is right.';
comment on column job_progress.accepted is 'Traces that pass the job''s policy.';
comment on column job_progress.tokens_in is 'Prompt tokens, counted once a trace.';
comment on column job_progress.tokens_out is 'Tokens written.';
comment on column job_progress.cost is 'Price of its traces, by the price_in and price_out of the model''s settings.';
comment on column job_progress.engine_seconds is 'Time that the engine spent on them.';
comment on column job_progress.budget is 'What it may cost; null: no budget.';
comment on column job_progress.budget_unit is 'tokens or money.';
comment on column job_progress.spent is 'What it has cost, in that unit; only kept with a budget.';
comment on column job_progress.created_at is 'When the job was opened.';
comment on column job_progress.first_trace_at is 'When its first trace was stored.';
comment on column job_progress.last_trace_at is 'When its last trace was stored.';
comment on column job_progress.finished_at is 'When everything was settled.';

create view acceptance as
select j.name as job,
       j.model,
       j.method,
       t.variant,
       q.domain,
       d.difficulty,
       count(distinct t.question_id) as questions,
       count(*) as traces,
       count(*) filter (where v.accepted) as accepted,
       count(*) filter (where v.accepted) / count(v.id)::float8 as rate,
       sum(t.tokens_in) as tokens_in,
       sum(t.tokens_out) as tokens_out,
       sum(t.thinking_tokens) as thinking_tokens,
       sum(t.engine_seconds::float8) as engine_seconds,
       sum(t.cost::float8) as cost,
       sum(t.tokens_out)::float8 / nullif(count(*) filter (where v.accepted), 0) as tokens_per_accepted,
       sum(t.cost::float8) / nullif(count(*) filter (where v.accepted), 0) as cost_per_accepted
from traces t
join jobs j on j.id = t.job_id
join questions q on q.id = t.question_id
join verdicts v on v.trace_id = t.id and v.verifier = j.verifier
join lateral (
    select case when jq.settled = 0 then 'unknown'
                when jq.accepted >= 0.7 * jq.settled then 'easy'
                when jq.accepted >= 0.3 * jq.settled then 'medium'
                else 'hard' end as difficulty
    from job_questions jq where jq.job_id = t.job_id and jq.question_id = t.question_id
) d on true
group by 1, 2, 3, 4, 5, 6;

comment on view acceptance is 'What came out and what it cost: one row for each job, variant, domain and difficulty.';
comment on column acceptance.job is 'The job.';
comment on column acceptance.model is 'The model alias that answered.';
comment on column acceptance.method is 'The way of asking.';
comment on column acceptance.variant is 'Which of the method''s variants; empty for methods with one.';
comment on column acceptance.domain is 'The domain of the questions.';
comment on column acceptance.difficulty is 'By the share of the question''s traces that were accepted: easy from 0.7, medium from 0.3, else hard; unknown: not settled yet.';
comment on column acceptance.questions is 'Questions with a verified trace.';
comment on column acceptance.traces is 'Their verified traces.';
comment on column acceptance.accepted is 'How many of them are accepted.';
comment on column acceptance.rate is 'Share of them, 0 to 1.';
comment on column acceptance.tokens_in is 'Prompt tokens, counted once a trace.';
comment on column acceptance.tokens_out is 'Tokens written.';
comment on column acceptance.thinking_tokens is 'How many of them were thoughts.';
comment on column acceptance.engine_seconds is 'Time that the engine spent on them.';
comment on column acceptance.cost is 'Their price.';
comment on column acceptance.tokens_per_accepted is 'Tokens written for each accepted trace; null: none is accepted.';
comment on column acceptance.cost_per_accepted is 'Price of each accepted trace; null: none is accepted.';

create view round_lineage as
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
       v.high
from rounds r
join examples e on e.round_id = r.id
join traces t on t.id = e.trace_id
join questions q on q.id = t.question_id
join jobs j on j.id = t.job_id
left join evaluations v on v.round_id = r.id
left join jobs w on w.id = v.job_id;

comment on view round_lineage is 'Question → trace → round → evaluation: one row for each example and each evaluation of its round.';
comment on column round_lineage.round is 'The round.';
comment on column round_lineage.round_state is 'queued, selecting, fitting, evaluating, done or failed.';
comment on column round_lineage.role is 'What the trace was used as (sft: an example to imitate).';
comment on column round_lineage.position is '0-based place of the example in the training order.';
comment on column round_lineage.question_id is 'The question that the example answers.';
comment on column round_lineage.question is 'Its text.';
comment on column round_lineage.trace_id is 'The trace that was trained on.';
comment on column round_lineage.job is 'The job that the trace came from.';
comment on column round_lineage.teacher is 'The model alias that wrote it.';
comment on column round_lineage.method is 'The way it was asked.';
comment on column round_lineage.teacher_prompt_hash is 'The template that the teacher was asked with.';
comment on column round_lineage.student_prompt_hash is 'The template that the student was trained and evaluated with.';
comment on column round_lineage.adapter_path is 'The adapter that came out.';
comment on column round_lineage.evaluation_stage is 'before (base model) or after (with the adapter); null: not evaluated yet.';
comment on column round_lineage.evaluation_job is 'The job that evaluated.';
comment on column round_lineage.evaluated is 'Questions in that evaluation.';
comment on column round_lineage.accuracy is 'Share of them answered right, 0 to 1.';
comment on column round_lineage.low is 'Lower end of its 95 % interval.';
comment on column round_lineage.high is 'Upper end of its 95 % interval.';

-- SQL users read the views and nothing else. The role can log in once it is given a password (`tracemill up` does).
do $$ begin
    if not exists (select from pg_roles where rolname = 'tracemill_reader') then
        create role tracemill_reader nologin;
    end if;
end $$;
grant select on trace_scores, job_progress, round_lineage, acceptance to tracemill_reader;
