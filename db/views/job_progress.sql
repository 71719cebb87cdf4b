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
       c.questions,
       greatest(c.questions - c.done - c.failed - f.queued - f.running - f.generated, 0) as pending,
       f.queued,
       f.running,
       f.generated,
       c.done,
       c.failed,
       c.traces,
       c.verified,
       c.correct,
       c.accepted,
       c.tokens_in,
       c.tokens_out,
       c.cost,
       c.engine_seconds,
       j.budget,
       j.budget_unit,
       j.spent + c.spent as spent,
       coalesce(l.judge_tokens_in, 0) as judge_tokens_in,
       coalesce(l.judge_tokens_out, 0) as judge_tokens_out,
       coalesce(l.judge_cost, 0) as judge_cost,
       coalesce(l.lost, 0) as lost,
       j.created_at,
       c.first_trace_at,
       c.last_trace_at,
       j.finished_at
from jobs j
left join rounds r on r.id = j.round_id
cross join lateral (
    select coalesce(sum(questions), 0)::bigint as questions,
           coalesce(sum(done), 0)::bigint as done,
           coalesce(sum(failed), 0)::bigint as failed,
           coalesce(sum(traces), 0)::bigint as traces,
           coalesce(sum(verified), 0)::bigint as verified,
           coalesce(sum(correct), 0)::bigint as correct,
           coalesce(sum(accepted), 0)::bigint as accepted,
           coalesce(sum(tokens_in), 0) as tokens_in,
           coalesce(sum(tokens_out), 0) as tokens_out,
           coalesce(sum(cost), 0) as cost,
           coalesce(sum(engine_seconds), 0) as engine_seconds,
           min(first_trace_at) as first_trace_at,
           max(last_trace_at) as last_trace_at,
           coalesce(sum(spent), 0) as spent
    from job_counts where job_id = j.id
) c
cross join lateral (
    -- The window of the feeder bounds these, so they are counted.
    select count(*) filter (where state = 'queued') as queued,
           count(*) filter (where state = 'running') as running,
           count(*) filter (where state = 'generated') as generated
    from job_questions where job_id = j.id and state in ('queued', 'running', 'generated')
) f
left join lateral (
    select sum(l.tokens_in) filter (where l.payee = 'judge') as judge_tokens_in,
           sum(l.tokens_out) filter (where l.payee = 'judge') as judge_tokens_out,
           sum(l.cost) filter (where l.payee = 'judge') as judge_cost,
           sum(l.spent) filter (where l.is_lost) as lost
    from ledger l where l.job_id = j.id and (l.payee = 'judge' or l.is_lost)
) l on true;

comment on view job_progress is 'One row for each job: the states of its questions and the results so far.';
comment on column job_progress.job_id is 'The job.';
comment on column job_progress.job is 'Its name.';
comment on column job_progress.purpose is 'teach, evaluate or round.';
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
comment on column job_progress.cost is 'Price of its traces (the teacher''s part), by the price_in and price_out of the model''s settings.';
comment on column job_progress.engine_seconds is 'Time that the engine spent on them.';
comment on column job_progress.budget is 'Largest cost; null without a budget.';
comment on column job_progress.budget_unit is 'tokens or money.';
comment on column job_progress.spent is 'Cost so far in that unit, of teacher and judge; only counted with a budget.';
comment on column job_progress.judge_tokens_in is 'Prompt tokens of the judge.';
comment on column job_progress.judge_tokens_out is 'Tokens that the judge wrote.';
comment on column job_progress.judge_cost is 'Price of the judge''s answers, by the price_in and price_out of its settings.';
comment on column job_progress.lost is 'Part of `spent`: reservations of visits whose worker was lost, because their requests may have been paid.';
comment on column job_progress.created_at is 'When the job was opened.';
comment on column job_progress.first_trace_at is 'When its first trace was stored.';
comment on column job_progress.last_trace_at is 'When its last trace was stored.';
comment on column job_progress.finished_at is 'When everything was settled.';
