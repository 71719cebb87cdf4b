-- The evaluations of a round: `trainer.evaluate` writes them, `trainer.compare` reads them.

-- name: insert_evaluation
insert into evaluations (round_id, job_id, stage, benchmark, questions, left_out, correct, correct_strict, accuracy, low,
                         high, pass_at, majority_at, steps, faithfulness, coherence, tokens_out)
values (:round_id, :job_id, :stage, :benchmark, :questions, :left_out, :correct, :correct_strict, :accuracy, :low, :high,
        cast(:pass_at as jsonb), cast(:majority_at as jsonb), :steps, :faithfulness, :coherence, :tokens_out)
on conflict (round_id, job_id) do nothing

-- name: failed_questions
select count(*) filter (where state = 'failed') as failed, count(*) as questions from job_questions where job_id = :job_id

-- name: evaluation_counts
-- `correct` counts the first sample of each question. A question without an answer counts as wrong, unless the job leaves
-- out its failed questions. `correct_strict` also needs a requested answer form. The means are over all samples.
with counted as (
    select jq.question_id, j.leaves_out_failed and jq.state = 'failed' as is_left_out
    from job_questions jq join jobs j on j.id = jq.job_id where j.id = :job_id
)
select (select count(*) from counted where not is_left_out) as questions,
       (select count(*) from counted where is_left_out) as left_out,
       count(distinct t.question_id) filter (where first and v.correct) as correct,
       count(distinct t.question_id) filter (
           where first and v.correct and t.answer_form in ('boxed', 'stated', 'hashes')) as correct_strict,
       avg(v.steps) as steps, avg(v.faithfulness) as faithfulness, avg(v.coherence) as coherence,
       avg(t.tokens_out) as tokens_out
from traces t join jobs j on j.id = t.job_id left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier,
     lateral (select t.sample_index = 0 as first) f
where t.job_id = :job_id and t.question_id in (select question_id from counted where not is_left_out)

-- name: evaluation_samples
-- Each question that counts, with its samples in order. The arrays of a question without samples are empty.
select jq.question_id, coalesce(s.answers, '{}') as answers, coalesce(s.correct, '{}') as correct
from job_questions jq join jobs j on j.id = jq.job_id left join (
    select t.question_id, array_agg(t.answer order by t.sample_index) as answers,
           array_agg(coalesce(v.correct, false) order by t.sample_index) as correct
    from traces t join jobs j on j.id = t.job_id left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier
    where t.job_id = :job_id group by 1
) s on s.question_id = jq.question_id
where jq.job_id = :job_id and not (j.leaves_out_failed and jq.state = 'failed')

-- name: round_evaluations
select e.*, j.name as job, j.samples, j.model
from evaluations e join jobs j on j.id = e.job_id
where e.round_id = :round_id order by e.benchmark, e.stage desc

-- name: paired_answers
-- Agreement of the answers to the same questions, for each benchmark that both sides have: of the first samples, and sums
-- of the shares of right samples.
select a.benchmark, count(*) filter (where a.correct and b.correct) as both,
       count(*) filter (where a.correct and not b.correct) as first,
       count(*) filter (where b.correct and not a.correct) as second,
       count(*) filter (where not a.correct and not b.correct) as neither,
       max(greatest(a.samples, b.samples)) as samples,
       sum(a.share) as first_shares, sum(b.share) as second_shares, sum(a.share * a.share) as first_squares,
       sum(b.share * b.share) as second_squares, sum(a.share * b.share) as products
from round_answers a join round_answers b on b.benchmark = a.benchmark and b.question_id = a.question_id
where a.round = :first and a.stage = :first_stage and b.round = :second and b.stage = :second_stage
group by 1 order by 1

-- name: tier_progress
select j.state, count(*) as questions, count(*) filter (where q.state in ('done', 'failed')) as done
from jobs j join job_questions q on q.job_id = j.id where j.name = :job group by j.id

-- name: tier_cost
-- The cost of a job's answers. The seconds are those in which at least one request ran, so that an interruption costs none.
select coalesce(sum(tokens_out), 0) as tokens_out, coalesce(sum(cost), 0) as cost,
       coalesce((select sum(extract(epoch from upper(busy) - lower(busy)))
                 from unnest(range_agg(tstzrange(created_at - make_interval(secs => latency_seconds), created_at))) busy),
                0) as seconds
from traces where job_id = :job_id
