-- Paused models. A row is a pause: before `retry_at` nothing is asked, and after it one question as a trial.

-- name: pause_model
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
update job_questions q set state = 'pending', lease_until = null, updated_at = now()
from jobs j join model_pauses p on p.alias = j.model and p.retry_at > now()
where q.job_id = j.id and q.state = 'queued'
