create view acceptance as
select j.name as job,
       j.model,
       j.method,
       t.variant,
       q.domain,
       d.difficulty,
       count(distinct t.question_id) as questions,
       count(*) as traces,
       count(*) filter (where v.accepted) as accepted,
       count(*) filter (where v.accepted) / count(v.id)::float8 as rate,
       sum(t.tokens_in) as tokens_in,
       sum(t.tokens_out) as tokens_out,
       sum(t.thinking_tokens) as thinking_tokens,
       sum(t.engine_seconds::float8) as engine_seconds,
       sum(t.cost::float8) as cost,
       sum(t.tokens_out)::float8 / nullif(count(*) filter (where v.accepted), 0) as tokens_per_accepted,
       sum(t.cost::float8) / nullif(count(*) filter (where v.accepted), 0) as cost_per_accepted
from traces t
join jobs j on j.id = t.job_id
join questions q on q.id = t.question_id
join verdicts v on v.trace_id = t.id and v.verifier = j.verifier
join lateral (
    select case when jq.settled = 0 then 'unknown'
                when jq.accepted >= 0.7 * jq.settled then 'easy'
                when jq.accepted >= 0.3 * jq.settled then 'medium'
                else 'hard' end as difficulty
    from job_questions jq where jq.job_id = t.job_id and jq.question_id = t.question_id
) d on true
group by 1, 2, 3, 4, 5, 6;

comment on view acceptance is 'Accepted traces and their cost: one row for each job, variant, domain and difficulty.';
comment on column acceptance.job is 'The job.';
comment on column acceptance.model is 'The model alias that answered.';
comment on column acceptance.method is 'The method.';
comment on column acceptance.variant is 'The variant of the method; empty for methods with one variant.';
comment on column acceptance.domain is 'The domain of the questions.';
comment on column acceptance.difficulty is 'From the share of the question''s traces that are accepted: easy from 0.7, medium from 0.3, otherwise hard; unknown before it is settled.';
comment on column acceptance.questions is 'Questions with a verified trace.';
comment on column acceptance.traces is 'Their verified traces.';
comment on column acceptance.accepted is 'Accepted traces among them.';
comment on column acceptance.rate is 'accepted ÷ traces, 0 to 1.';
comment on column acceptance.tokens_in is 'Prompt tokens, counted for each trace.';
comment on column acceptance.tokens_out is 'Tokens written.';
comment on column acceptance.thinking_tokens is 'Written tokens that are thoughts.';
comment on column acceptance.engine_seconds is 'Time that the engine spent on them.';
comment on column acceptance.cost is 'Their price.';
comment on column acceptance.tokens_per_accepted is 'Tokens written for each accepted trace; null if none is accepted.';
comment on column acceptance.cost_per_accepted is 'Price of each accepted trace; null if none is accepted.';
