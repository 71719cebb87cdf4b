create view question_results as
select jq.job_id,
       j.name as job,
       jq.question_id,
       q.dataset,
       q.domain,
       q.question,
       q.gold,
       jq.state,
       jq.settled,
       jq.accepted,
       difficulty(jq.accepted, jq.settled) as difficulty,
       jq.last_error
from job_questions jq
-- Each has its row. The outer joins let Postgres skip them where only the ids are read.
left join jobs j on j.id = jq.job_id
left join questions q on q.id = jq.question_id;

comment on view question_results is 'One row for each question of each job: its state and its results.';
comment on column question_results.job_id is 'The job.';
comment on column question_results.job is 'Its name.';
comment on column question_results.question_id is 'The question.';
comment on column question_results.dataset is 'Its dataset.';
comment on column question_results.domain is 'math, code, legal, medical or general.';
comment on column question_results.question is 'Its text.';
comment on column question_results.gold is 'The reference answer; null if there is none.';
comment on column question_results.state is 'pending, queued, running, generated, done or failed.';
comment on column question_results.settled is 'Its traces in this job when it was last settled.';
comment on column question_results.accepted is 'Those of them that pass the job''s policy.';
comment on column question_results.difficulty is 'By the share of accepted traces: easy (at least 0.7), medium (at least 0.3), hard, or unknown (not settled).';
comment on column question_results.last_error is 'The last error of a visit; null if there was none.';
