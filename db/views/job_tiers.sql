create view job_tiers as
with recursive tiers as (
    select j.id, j.name as first_job, 1 as tier
    from jobs j
    where not (j.escalates and j.from_job_id is not null)
      and exists (select from jobs n where n.from_job_id = j.id and n.escalates)
    union all
    select n.id, t.first_job, t.tier + 1
    from tiers t join jobs n on n.from_job_id = t.id and n.escalates
)
select t.first_job,
       t.tier,
       p.job,
       p.model,
       p.state,
       p.questions,
       p.done,
       q.solved,
       p.traces,
       p.accepted,
       p.tokens_out,
       p.cost + p.judge_cost as cost,
       p.tokens_out::float8 / nullif(p.accepted, 0) as tokens_per_accepted,
       (p.cost + p.judge_cost) / nullif(p.accepted, 0) as cost_per_accepted
from tiers t
join job_progress p on p.job_id = t.id
cross join lateral (
    select count(*) as solved from job_questions where job_id = t.id and state = 'done' and accepted > 0
) q;

comment on view job_tiers is 'The tiers of jobs with --escalate, one row each, with the tokens and the cost of an accepted trace.';
comment on column job_tiers.first_job is 'The job of the first tier.';
comment on column job_tiers.tier is 'From 1. A tier gets the questions that end without an accepted trace in the tier before.';
comment on column job_tiers.job is 'The job of this tier.';
comment on column job_tiers.model is 'The model alias that answers.';
comment on column job_tiers.state is 'The state of the job.';
comment on column job_tiers.questions is 'Questions of this tier so far.';
comment on column job_tiers.done is 'Those that are answered and verified.';
comment on column job_tiers.solved is 'Those with an accepted trace.';
comment on column job_tiers.traces is 'Traces stored.';
comment on column job_tiers.accepted is 'Traces that pass the job''s policy.';
comment on column job_tiers.tokens_out is 'Tokens written.';
comment on column job_tiers.cost is 'Price of the traces and of the judge''s answers about them.';
comment on column job_tiers.tokens_per_accepted is 'Tokens written for each accepted trace; null if none is accepted.';
comment on column job_tiers.cost_per_accepted is 'Price of each accepted trace; null if none is accepted.';
