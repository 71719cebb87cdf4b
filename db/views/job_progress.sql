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

comment on view job_progress is 'One row for each job: the states of its questions and the results so far.';
comment on column job_progress.job_id is 'The job.';
comment on column job_progress.job is 'Its name.';
comment on column job_progress.purpose is 'teach or evaluate.';
comment on column job_progress.state is 'filling, running, paused, over_budget, cancelled, done or deleting.';
comment on column job_progress.model is 'The model alias that answers.';
comment on column job_progress.adapter is 'The round whose adapter answers; null for the base model.';
comment on column job_progress.method is 'The method.';
comment on column job_progress.samples is 'Samples for each question and variant of the method.';
comment on column job_progress.enough is 'Accepted traces that finish a question; null if it always gets all its samples.';
comment on column job_progress.most is 'Largest number of traces for a question.';
comment on column job_progress.questions is 'Questions in all.';
comment on column job_progress.pending is 'Not in Redis yet.';
comment on column job_progress.queued is 'In Redis, not claimed.';
comment on column job_progress.running is 'Claimed by a worker.';
comment on column job_progress.generated is 'Answered, not verified.';
comment on column job_progress.done is 'Answered and verified.';
comment on column job_progress.failed is 'Failed after too many attempts; `tracemill jobs show JOB` prints the reasons.';
comment on column job_progress.traces is 'Traces stored.';
comment on column job_progress.verified is 'Traces with a verdict.';
comment on column job_progress.correct is 'Traces whose answer is right.';
comment on column job_progress.accepted is 'Traces that pass the job''s policy.';
comment on column job_progress.tokens_in is 'Prompt tokens, counted for each trace.';
comment on column job_progress.tokens_out is 'Tokens written.';
comment on column job_progress.cost is 'Price of its traces, by the price_in and price_out of the model''s settings.';
comment on column job_progress.engine_seconds is 'Time that the engine spent on them.';
comment on column job_progress.budget is 'Largest cost; null without a budget.';
comment on column job_progress.budget_unit is 'tokens or money.';
comment on column job_progress.spent is 'Cost so far in that unit; only counted with a budget.';
comment on column job_progress.created_at is 'When the job was opened.';
comment on column job_progress.first_trace_at is 'When its first trace was stored.';
comment on column job_progress.last_trace_at is 'When its last trace was stored.';
comment on column job_progress.finished_at is 'When everything was settled.';
