-- The deletion of a job: cancelled, done --begin_deletion--> deleting, then its rows in batches, then the job.
-- A killed deletion is continued by the same command.

-- name: uses_of_job
-- What depends on a job or its traces: rounds that trained on them or measured with them, jobs that quote them, loops.
select 'round' as kind, r.name, r.state in ('done', 'failed') as has_ended from rounds r
where exists (select from examples e join traces t on t.id = e.trace_id where e.round_id = r.id and t.job_id = :job_id)
   or exists (select from evaluations v where v.round_id = r.id and v.job_id = :job_id)
   or (r.state not in ('done', 'failed')
       and (r.spec #> '{select,jobs}' ? :name or r.spec #> '{evaluate,jobs}' ? :name))
union all
select 'job', name, state in ('done', 'cancelled') from jobs where from_job_id = :job_id
union all
select 'loop', name, false from loops
where state = 'running' and (awaits = :name or starts_with(:name, name || '-') or strpos(spec::text, to_json(:name)::text) > 0)
order by has_ended, kind, name

-- name: begin_deletion
-- cancelled, done -> deleting; deleting stays deleting.
update jobs set state = 'deleting' where id = :job_id and state in ('cancelled', 'done', 'deleting')
returning id

-- name: running_questions
select count(*) from job_questions where job_id = :job_id and state = 'running'

-- name: forget_evaluations
delete from evaluations where job_id = :job_id

-- name: forget_source
update jobs set from_job_id = null where from_job_id = :job_id

-- name: delete_questions
-- At most :n questions after :after, with their traces. Verdicts and log-probabilities go with them.
with chosen as materialized (
    select question_id from job_questions where job_id = :job_id and question_id > :after order by question_id limit :n
), doomed as materialized (
    select id from traces where job_id = :job_id and question_id in (select question_id from chosen)
), forgotten as (
    delete from examples where trace_id in (select id from doomed)
), deleted_traces as (
    delete from traces where id in (select id from doomed)
), deleted as (
    delete from job_questions where job_id = :job_id and question_id in (select question_id from chosen) returning question_id
)
select count(*) as questions, max(question_id) as last, (select count(*) from doomed) as traces from deleted

-- name: delete_late_traces
-- Traces that a worker stored after their question was deleted.
delete from traces where job_id = :job_id

-- name: delete_job
delete from jobs where id = :job_id and state = 'deleting'
