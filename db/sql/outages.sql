-- Outages: engines that are away or die, verifications that fail, and paused models. Guarded as in jobs.sql.

-- name: put_off
-- running -> pending: the engine is away. The visit does not count as an attempt. The next one waits twice as long as the last
-- one did, at most :longest seconds; a random part separates the questions of one outage.
update job_questions
set state = 'pending', owner = null, claim_id = null, lease_until = null, reserved = 0, last_error = :error, updated_at = now(),
    attempts = greatest(attempts - 1, 0), absences = least(absences + 1, 100),
    not_before = clock_timestamp() + make_interval(secs => least(:longest, power(2, least(absences, 20))) * (0.5 + random() / 2))
where job_id = :job_id and question_id = :question_id and state = 'running' and claim_id = :claim_id

-- name: engine_died
-- running -> pending: the engine of these claims died. A question that was alone in it although an earlier one had died too
-- is the cause: running -> failed.
update job_questions
set state = case when :is_alone and deaths > 0 then 'failed' else 'pending' end, deaths = deaths + 1,
    owner = null, claim_id = null, lease_until = null, reserved = 0, last_error = :error, updated_at = now(),
    attempts = greatest(attempts - 1, 0)
where state = 'running' and (job_id, question_id, claim_id) in (
    select * from unnest(cast(:job_ids as bigint[]), cast(:question_ids as bigint[]), cast(:claim_ids as uuid[])))

-- name: judge_died
-- generated stays generated (or fails, as in `engine_died`): the judge's engine died, and the feeder sends it again at once.
update job_questions
set state = case when :is_alone and deaths > 0 then 'failed' else 'generated' end, deaths = deaths + 1,
    owner = null, claim_id = null, lease_until = case when not (:is_alone and deaths > 0) then clock_timestamp() end,
    last_error = :error, updated_at = now()
where state = 'generated'
  and (job_id, question_id) in (select * from unnest(cast(:job_ids as bigint[]), cast(:question_ids as bigint[])))

-- name: verification_failed
-- generated stays generated (or fails): an error in the verification of this question alone. The feeder sends it again, each
-- time after twice the wait, until it has failed too often.
update job_questions
set state = case when attempts + 1 >= :max_attempts then 'failed' else 'generated' end, attempts = attempts + 1,
    lease_until = case when attempts + 1 < :max_attempts
                  then clock_timestamp() + make_interval(secs => power(2, least(attempts, 6))) end,
    owner = null, claim_id = null, last_error = :error, updated_at = now()
where job_id = :job_id and question_id = :question_id and state = 'generated'

-- name: pause_model
-- A row is a pause: before `retry_at` nothing is asked, and after it one question as a trial.
insert into model_pauses (alias, reason, retry_at) values (:alias, :reason, now() + make_interval(secs => :seconds))
on conflict (alias) do update set reason = excluded.reason, retry_at = excluded.retry_at

-- name: resume_models
delete from model_pauses where alias = any(:aliases)

-- name: model_pause
select reason, retry_at <= now() as is_trial_due from model_pauses where alias = :alias

-- name: model_pauses
select alias, reason, retry_at <= now() as is_trial_due from model_pauses

-- name: unqueue_paused
-- queued -> pending: their model is paused.
update job_questions set state = 'pending', lease_until = null, updated_at = now()
where (job_id, question_id) in (
    select q.job_id, q.question_id
    from model_pauses p join jobs j on j.model = p.alias join job_questions q on q.job_id = j.id
    where p.retry_at > now() and q.state = 'queued' for update of q skip locked
)
