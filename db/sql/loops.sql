-- Loops. Every transition is one statement, guarded by the expected state, step and round:
--
--   running: attempt --loop_rationalizes--> rationalize --loop_trains--> train --loop_attempts--> attempt of the next round
--               \-----loop_scores------> score -----------loop_trains-------/   \----loop_done---> done
--               \___________________________loop_trains___________________/
--   running --loop_failed--> failed      running --stop_loop--> stopped      stopped, failed --continue_loop--> running
--
-- A trainer makes a step in one transaction that locks the loop's row: it opens the next job or queues the next round, and
-- moves the loop. A crash leaves the loop unchanged.

-- name: loop_by_name
select * from loops where name = :name

-- name: all_loops
select * from loops order by id

-- name: insert_loop
insert into loops (name, awaits, spec, shots) values (:name, :awaits, cast(:spec as jsonb), cast(:shots as jsonb))
on conflict (name) do nothing

-- name: movable_loops
-- running -> running: loops whose awaited job or round has ended or no longer exists. Each gets one task in 30 seconds.
update loops set nudge_after = clock_timestamp() + interval '30 seconds'
where id in (
    select id from loops l where state = 'running' and (nudge_after is null or nudge_after < (select clock_timestamp()))
      and case when step = 'train'
          then not exists (select from rounds r where r.name = l.awaits and r.state not in ('done', 'failed'))
          else not exists (select from jobs j where j.name = l.awaits and j.state in ('filling', 'running', 'paused')) end
    for no key update skip locked
)
returning id

-- name: lock_loop
-- The start of one step's transaction. It returns no row while another trainer makes the step.
select * from loops where id = :loop_id and state = 'running' for update skip locked

-- name: loop_rationalizes
-- attempt -> rationalize: some questions have no accepted trace.
update loops set step = 'rationalize', awaits = :awaits, nudge_after = null
where id = :loop_id and state = 'running' and step = 'attempt' and round = :round

-- name: loop_scores
-- attempt -> score: a teacher scores the student's samples.
update loops set step = 'score', awaits = :awaits, nudge_after = null
where id = :loop_id and state = 'running' and step = 'attempt' and round = :round

-- name: loop_trains
-- attempt, rationalize, score -> train: the round's jobs have ended.
update loops set step = 'train', awaits = :awaits, nudge_after = null
where id = :loop_id and state = 'running' and step in ('attempt', 'rationalize', 'score') and round = :round

-- name: loop_attempts
-- train -> attempt of the next round: the round is done.
update loops set step = 'attempt', round = round + 1, awaits = :awaits, nudge_after = null
where id = :loop_id and state = 'running' and step = 'train' and round = :round

-- name: loop_done
-- running -> done: no further round is needed.
update loops set state = 'done', ended = :ended, finished_at = now()
where id = :loop_id and state = 'running' and step = 'train' and round = :round

-- name: loop_failed
-- running -> failed: a step had an error.
update loops set state = 'failed', error = :error, finished_at = now()
where id = :loop_id and state = 'running'

-- name: stop_loop
-- running -> stopped: the user stops the loop.
update loops set state = 'stopped', finished_at = now() where name = :name and state = 'running'

-- name: continue_loop
-- stopped, failed -> running, in the same step
update loops set state = 'running', error = null, finished_at = null, nudge_after = null
where name = :name and state in ('stopped', 'failed')

-- name: unsolved_questions
-- The number of a job's questions that were settled without an accepted trace.
select count(*) from job_questions q join jobs j on j.id = q.job_id
where j.name = :job and q.accepted = 0 and q.state in ('done', 'failed')

-- name: shared_questions
-- The number of questions of some jobs that have the same text as a question of other jobs.
select count(distinct q.fingerprint)
from questions q join job_questions jq on jq.question_id = q.id join jobs j on j.id = jq.job_id
where j.name = any(:jobs) and q.fingerprint in (
    select o.fingerprint from questions o join job_questions oq on oq.question_id = o.id join jobs p on p.id = oq.job_id
    where p.name = any(:others))

-- name: loop_rounds
-- The loop's finished rounds in order: right answers before and after on the reported set and the dev set (of several
-- samples the sums of the shares of right ones), and the number of training examples.
select r.name as round, e.*, l.*
from rounds r, lateral (
    select coalesce(sum(questions) filter (where reported and stage = 'before'), 0)::bigint as before_questions,
           coalesce(sum(hits) filter (where reported and stage = 'before'), 0)::float8 as before_right,
           coalesce(sum(questions) filter (where reported and stage = 'after'), 0)::bigint as after_questions,
           coalesce(sum(hits) filter (where reported and stage = 'after'), 0)::float8 as after_right,
           coalesce(sum(questions) filter (where dev and stage = 'before'), 0)::bigint as dev_before_questions,
           coalesce(sum(hits) filter (where dev and stage = 'before'), 0)::float8 as dev_before_right,
           coalesce(sum(questions) filter (where dev and stage = 'after'), 0)::bigint as dev_after_questions,
           coalesce(sum(hits) filter (where dev and stage = 'after'), 0)::float8 as dev_after_right
    from evaluations e, lateral (
        select e.benchmark = any(:reported) as reported, e.benchmark = any(:dev) as dev,
               case when e.pass_at = '{}' then e.correct else e.accuracy * e.questions end as hits) sets
    where e.round_id = r.id
) e, lateral (
    select count(*) as examples, count(*) filter (where j.method = 'rationalize' and j.scores is null) as rationalised,
           count(distinct t.question_id) as questions
    from (select distinct trace_id from examples where round_id = r.id) x
    join traces t on t.id = x.trace_id join jobs j on j.id = t.job_id
) l
where r.name = any(:rounds) and r.state = 'done'
order by array_position(:rounds, r.name)
