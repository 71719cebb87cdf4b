-- The counts of jobs. Triggers insert each change as a row of job_counts in the same transaction, so that no two processes
-- wait for each other. The feeder adds the rows up.

-- name: add_up_counts
-- Replaces the rows of each job that has many by their sum.
with changes as (
    delete from job_counts
    where job_id in (select job_id from job_counts group by job_id having count(*) > :most)
    returning *
)
insert into job_counts (job_id, questions, done, failed, traces, verified, correct, accepted, tokens_in, tokens_out, cost,
                        engine_seconds, first_trace_at, last_trace_at, spent)
select job_id, sum(questions), sum(done), sum(failed), sum(traces), sum(verified), sum(correct), sum(accepted),
       sum(tokens_in), sum(tokens_out), sum(cost), sum(engine_seconds), min(first_trace_at), max(last_trace_at),
       sum(spent)
from changes group by job_id

-- name: correct_counts
-- Adds the difference between the rows of each job and its counts, if there is one. Reads every trace, but locks nothing:
-- one statement sees one state of all tables. Returns the jobs with their differences.
with truth as (
    select j.id as job_id, j.name as job, q.*, t.*
    from jobs j, lateral (
        select count(*) as questions, count(*) filter (where state = 'done') as done,
               count(*) filter (where state = 'failed') as failed
        from job_questions where job_id = j.id
    ) q, lateral (
        select count(*) as traces, count(v.id) as verified, count(*) filter (where v.correct) as correct,
               count(*) filter (where v.accepted) as accepted, coalesce(sum(t.tokens_in), 0) as tokens_in,
               coalesce(sum(t.tokens_out), 0) as tokens_out, coalesce(sum(t.cost::float8), 0) as cost,
               coalesce(sum(t.engine_seconds::float8), 0) as engine_seconds, min(t.created_at) as first_trace_at,
               max(t.created_at) as last_trace_at
        from traces t left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier
        where t.job_id = j.id
    ) t
    where j.state <> 'deleting'
), counted as (
    select job_id, sum(questions) as questions, sum(done) as done, sum(failed) as failed, sum(traces) as traces,
           sum(verified) as verified, sum(correct) as correct, sum(accepted) as accepted, sum(tokens_in) as tokens_in,
           sum(tokens_out) as tokens_out, sum(cost) as cost, sum(engine_seconds) as engine_seconds
    from job_counts group by job_id
), difference as (
    select job_id, job, t.questions - coalesce(c.questions, 0) as questions, t.done - coalesce(c.done, 0) as done,
           t.failed - coalesce(c.failed, 0) as failed, t.traces - coalesce(c.traces, 0) as traces,
           t.verified - coalesce(c.verified, 0) as verified, t.correct - coalesce(c.correct, 0) as correct,
           t.accepted - coalesce(c.accepted, 0) as accepted, t.tokens_in - coalesce(c.tokens_in, 0) as tokens_in,
           t.tokens_out - coalesce(c.tokens_out, 0) as tokens_out, t.cost - coalesce(c.cost, 0) as cost,
           t.engine_seconds - coalesce(c.engine_seconds, 0) as engine_seconds, first_trace_at, last_trace_at
    from truth t left join counted c using (job_id)
), wrong as (
    select * from difference
    where (questions, done, failed, traces, verified, correct, accepted, tokens_in, tokens_out)
          <> (0, 0, 0, 0, 0, 0, 0, 0, 0)
       -- Sums of fractions depend on their order.
       or greatest(abs(cost), abs(engine_seconds)) > 0.001
), corrected as (
    insert into job_counts (job_id, questions, done, failed, traces, verified, correct, accepted, tokens_in, tokens_out,
                            cost, engine_seconds, first_trace_at, last_trace_at)
    select job_id, questions, done, failed, traces, verified, correct, accepted, tokens_in, tokens_out, cost,
           engine_seconds, first_trace_at, last_trace_at
    from wrong where cast(:corrects as boolean)
)
select job, questions, done, failed, traces, verified, correct, accepted, tokens_in, tokens_out, cost, engine_seconds
from wrong order by job
