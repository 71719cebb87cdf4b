create view job_models as
select j.name as job,
       j.model,
       t.model_hash,
       m.settings,
       t.traces,
       t.first_at,
       t.last_at
from (
    select job_id, model_hash, count(*) as traces, min(created_at) as first_at, max(created_at) as last_at
    from traces group by job_id, model_hash
) t
join jobs j on j.id = t.job_id
left join models m on m.hash = t.model_hash;

comment on view job_models is 'The settings that the model alias of a job had when it answered. A job with two rows mixes models, because the settings were changed while it ran.';
comment on column job_models.job is 'The job.';
comment on column job_models.model is 'The model alias.';
comment on column job_models.model_hash is 'A hash of `settings`; null for traces of older releases.';
comment on column job_models.settings is 'The settings of the alias that shape its answers.';
comment on column job_models.traces is 'Traces that were made with them.';
comment on column job_models.first_at is 'The time of the first of these traces.';
comment on column job_models.last_at is 'The time of the last of these traces.';
