-- Rounds. Every transition is one statement, guarded by the expected state and owner:
--
--   queued --claim--> selecting --selected--> fitting --fitted--> evaluating --done--> done
--                         \____________________ | ____________________/ ----failed---> failed --retry--> queued, evaluating
--   Any state before done, failed --cancel_round--> failed
--
-- An owner holds a round during its lease and renews the lease. After the lease has expired, any trainer may claim the
-- round and continues from its state.

-- name: round_by_name
select * from rounds where name = :name

-- name: rounds_of_student
-- The finished rounds that measured a student by the same jobs.
select name, spec from rounds
where state = 'done' and spec ->> 'student' = :student and spec -> 'evaluate' -> 'jobs' = to_jsonb(cast(:jobs as text[]))
order by name

-- name: round_for_work
select r.*, p.messages from rounds r join prompts p on p.hash = r.prompt_hash where r.id = :round_id

-- name: insert_round
insert into rounds (name, spec, prompt_hash) values (:name, cast(:spec as jsonb), :prompt_hash)
on conflict (name) do nothing
returning id

-- name: retry_round
-- failed -> evaluating if its adapter was saved, otherwise -> queued.
update rounds
set state = case when adapter_path is null then 'queued' else 'evaluating' end,
    error = null, finished_at = null, owner = null, lease_until = null
where id = :round_id and state = 'failed'

-- name: cancel_round
-- queued, selecting, fitting, evaluating -> failed: the user cancels the round, and its owner loses its lease.
update rounds set state = 'failed', error = :error, owner = null, lease_until = null, finished_at = now()
where name = :name and state in ('queued', 'selecting', 'fitting', 'evaluating')
returning id

-- name: cancel_evaluations
-- filling, running, paused, over_budget -> cancelled: the evaluation jobs that ask the model of a cancelled round.
update jobs set state = 'cancelled', finished_at = now()
where round_id = :round_id and purpose = 'evaluate' and state in ('filling', 'running', 'paused', 'over_budget')
returning id, name

-- name: reopen_evaluations
-- cancelled -> running: the evaluation jobs of a round that is retried.
update jobs set state = 'running', finished_at = null
where round_id = :round_id and purpose = 'evaluate' and state = 'cancelled'

-- name: trainers_are_due
-- Whether overdue_rounds or movable_loops may return rows. Most steps of the feeder only read.
select exists (select from rounds where state in ('queued', 'selecting', 'fitting', 'evaluating')
                 and (lease_until is null or lease_until < (select clock_timestamp())))
    or exists (select from loops where state = 'running'
                 and (nudge_after is null or nudge_after < (select clock_timestamp())))

-- name: overdue_rounds
-- Rounds that need a task: none was sent yet, the last one is 30 seconds old, or the owner's lease has expired. Here the
-- lease is the time until the next task; it does not prevent a claim.
update rounds set owner = null, lease_until = clock_timestamp() + interval '30 seconds'
where id in (
    select id from rounds where state in ('queued', 'selecting', 'fitting', 'evaluating')
      and (lease_until is null or lease_until < (select clock_timestamp()))
    for no key update skip locked
)
returning id

-- name: claim_round
-- queued -> selecting; a round in a later state stays in it. A round with `select.like` waits until the examples of that
-- other round are chosen.
update rounds r
set state = case when r.state = 'queued' then 'selecting' else r.state end,
    owner = :owner, lease_until = clock_timestamp() + make_interval(secs => :lease), error = null
from prompts p
where r.id = :round_id and r.state in ('queued', 'selecting', 'fitting', 'evaluating')
  and (r.owner is null or r.lease_until is null or r.lease_until < (select clock_timestamp()))
  and p.hash = r.prompt_hash
  and not exists (
      select from rounds l where l.name = r.spec -> 'select' ->> 'like' and l.state in ('queued', 'selecting'))
returning r.*, p.messages

-- name: renew_round
update rounds set lease_until = clock_timestamp() + make_interval(secs => :lease)
where id = :round_id and owner = :owner and state in ('selecting', 'fitting', 'evaluating')

-- name: release_round
-- The owner shuts down: any trainer may claim the round at once.
update rounds set owner = null, lease_until = null
where id = :round_id and owner = :owner and state in ('selecting', 'fitting', 'evaluating')

-- name: round_selected
-- selecting -> fitting
update rounds set state = 'fitting', metrics = metrics || cast(:metrics as jsonb)
where id = :round_id and owner = :owner and state = 'selecting'

-- name: round_progress
-- Run by the fitting process, which has no lease.
update rounds set metrics = metrics || cast(:metrics as jsonb) where id = :round_id and state = 'fitting'

-- name: round_adapter
-- Run by the fitting process after it has saved the adapter. From here on the fit is never repeated.
update rounds set adapter_path = :adapter_path, metrics = metrics || cast(:metrics as jsonb)
where id = :round_id and state = 'fitting'

-- name: round_fitted
-- fitting -> evaluating
update rounds set state = 'evaluating'
where id = :round_id and owner = :owner and state = 'fitting' and adapter_path is not null
returning adapter_path

-- name: round_done
-- evaluating -> done
update rounds set state = 'done', owner = null, lease_until = null, finished_at = now()
where id = :round_id and owner = :owner and state = 'evaluating'

-- name: round_failed
-- selecting, fitting, evaluating -> failed
update rounds set state = 'failed', error = :error, owner = null, lease_until = null, finished_at = now()
where id = :round_id and owner = :owner and state in ('selecting', 'fitting', 'evaluating')

-- name: examples_of_round
-- A pair (chosen, rejected) shares its stage and position. A scored trace was written by the method of its own job. The
-- advantage of a sample is its reward (1 if accepted, else 0), minus the mean reward of the question's samples in its job.
select e.role, q.question, t.text, t.finish_reason is not distinct from 'length' as is_cut_off, e.stage, e.position,
       t.steps, coalesce(o.method, j.method) as method,
       case when :logprobs then l.payload end as logprobs,
       case when :rewards then (
           select coalesce(max(v.accepted::int) filter (where s.id = t.id), 0)
                  - sum(coalesce(v.accepted::int, 0))::float8 / count(*)
           from traces s left join verdicts v on v.trace_id = s.id and v.verifier = j.verifier
           where s.job_id = t.job_id and s.question_id = t.question_id
       ) end as advantage
from examples e join traces t on t.id = e.trace_id join questions q on q.id = t.question_id join jobs j on j.id = t.job_id
left join jobs o on o.id = j.from_job_id and j.scores is not null
left join trace_logprobs l on l.trace_id = t.id and :logprobs
where e.round_id = :round_id
order by e.stage, e.position, e.role

-- name: round_sources
-- The sources of a round's examples, one row per job, dataset and role.
select j.name as job, j.model, j.method, q.dataset, e.role, count(*) as examples, sum(t.tokens_out) as tokens,
       array_agg(distinct t.prompt_hash order by t.prompt_hash) as prompts
from examples e join traces t on t.id = e.trace_id join questions q on q.id = t.question_id join jobs j on j.id = t.job_id
where e.round_id = :round_id
group by j.id, q.dataset, e.role
order by j.id, q.dataset, e.role

-- name: jobs_by_names
select * from jobs where name = any(:names)

-- name: prompt
select messages from prompts where hash = :hash

-- name: prompts_asked
-- The prompt templates of a job's questions, by their domains.
select distinct p.hash, p.messages
from jobs j
join job_questions jq on jq.job_id = j.id join questions q on q.id = jq.question_id
join job_prompts jp on jp.job_id = j.id and jp.domain = coalesce(
    j.ask_as, case when q.domain in (select domain from job_prompts where job_id = j.id) then q.domain else 'general' end)
join prompts p on p.hash = jp.prompt_hash
where j.id = :job_id
