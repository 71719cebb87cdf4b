-- name: question_figures
-- The traces of each question of a job that is done, one row a question; at most :max_questions (null: all).
-- Bare: complete, without an equation and in at most one step. Programs and the thoughts of reasoning models count as
-- derivations.
-- Malformed: without an answer in a requested form.
select q.content_hash,
       count(*) as traces,
       count(*) filter (where v.accepted) as accepted,
       array_agg(v.accepted order by t.variant, t.sample_index) as outcomes,
       array_agg(t.tokens_out order by t.variant, t.sample_index) as tokens,
       sum(t.cost::float8) as cost,
       sum(t.engine_seconds::float8) as engine_seconds,
       count(*) filter (where v.steps <= 1 and v.equations_checked = 0 and t.thinking_tokens = 0
                        and v.kind is distinct from 'code' and t.finish_reason is distinct from 'length') as bare,
       count(*) filter (where t.finish_reason = 'length') as cut_off,
       count(*) filter (where t.answer_form is null or not t.answer_form = any('{boxed,stated,hashes}')) as malformed
from (
    select job_id, question_id from job_questions
    where job_id = (select id from jobs where name = :job) and state = 'done' order by question_id limit cast(:max_questions as bigint)
) jq
join jobs j on j.id = jq.job_id
join questions q on q.id = jq.question_id
join traces t on t.job_id = jq.job_id and t.question_id = jq.question_id
join verdicts v on v.trace_id = t.id and v.verifier = j.verifier
group by q.id
order by q.id
