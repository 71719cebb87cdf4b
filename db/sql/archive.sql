-- An archive of a job: what its files need besides the views.

-- name: question_range
-- The ids of the job's questions are above `after`, up to `last`. The primary key answers it.
select min(question_id) - 1 as after, max(question_id) as last from job_questions where job_id = :job_id

-- name: models_by_hash
select hash, settings from models where hash = any(:hashes) order by hash

-- name: evaluations_by_job
select r.name as round, e.* from evaluations e join rounds r on r.id = e.round_id where e.job_id = :job_id order by e.id

-- name: replay_position
select pg_current_wal_lsn()::text
