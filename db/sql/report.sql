-- The data of a round's report (`trainer.report`), apart from its evaluations. They read views only, as the read-only role.

-- name: report_breakdown
-- Before and after by domain, difficulty and length of the questions, over all reported benchmarks.
select case grouping(b.domain, b.difficulty, b.length) when 3 then 'domain' when 5 then 'difficulty' else 'length' end as by,
       coalesce(b.domain, b.difficulty, b.length) as value,
       count(*) filter (where b.correct and a.correct) as both,
       count(*) filter (where b.correct and not a.correct) as first,
       count(*) filter (where a.correct and not b.correct) as second,
       count(*) filter (where not a.correct and not b.correct) as neither,
       max(greatest(b.samples, a.samples)) as samples,
       sum(b.share) as first_shares, sum(a.share) as second_shares, sum(b.share * b.share) as first_squares,
       sum(a.share * a.share) as second_squares, sum(b.share * a.share) as products
from round_answers b join round_answers a on a.round = b.round and a.benchmark = b.benchmark and a.question_id = b.question_id
where b.round = :round and b.stage = 'before' and a.stage = 'after' and b.benchmark <> all(cast(:dev as text[]))
group by grouping sets ((b.domain), (b.difficulty), (b.length))
order by 1, array_position('{easy,short,medium,hard,long,unknown}', coalesce(b.difficulty, b.length)), 2

-- name: report_scores
-- Score histograms of the traces of the round's jobs, trained on or not: at most 16 bins of equal width.
with scored as (
    select trace_id in (select trace_id from round_lineage where round = :round) as trained, steps::float8,
           tokens_out::float8, faithfulness::float8, coherence::float8, pass_rate
    from trace_scores where job = any(:jobs)
), measures as (
    select m.name, m.value, trained
    from scored, lateral (values ('steps', steps), ('tokens_out', tokens_out), ('faithfulness', faithfulness),
                                 ('coherence', coherence), ('pass_rate', pass_rate)) m (name, value)
    where m.value is not null
), scales as (
    select name, min(value) as low, max(value) as high,
           case when name in ('steps', 'tokens_out') then least(16, max(value) - min(value) + 1)
                when name = 'pass_rate' then 5 else 10 end::int as bins
    from measures group by 1 having max(value) > min(value)
)
select s.name, s.low, s.high, s.bins, least(width_bucket(m.value, s.low, s.high, s.bins), s.bins) as bin,
       count(*) filter (where m.trained) as trained, count(*) filter (where not m.trained) as others
from scales s join measures m using (name)
group by 1, 2, 3, 4, 5 order by 1, 5

-- name: report_stages
select stage, count(distinct position) as examples, sum(tokens_out) as tokens, avg(tokens_out) as length,
       avg(steps) as steps, avg(pass_rate) as pass_rate
from (
    -- The view has a row for each evaluation of the round.
    select distinct trace_id, curriculum_stage as stage, role, position from round_lineage where round = :round
) examples join trace_scores using (trace_id)
group by 1 order by 1

-- name: report_flips
-- At most :most flips of each kind, in a random order that is the same at every run.
select * from (
    select *, row_number() over (partition by flip order by md5(round || question_id)) as nth,
           count(*) over (partition by flip) as of
    from round_flips where round = :round and benchmark <> all(cast(:dev as text[]))
) f where nth <= :most order by flip, nth

-- name: report_questions
-- The questions that the round trained on, each once.
select question_id, min(question) as question from round_lineage
where round = :round and role <> 'rejected'
group by 1 order by 1

-- name: report_examples
-- The first example of each given question.
select distinct on (question_id) question_id, question, text, trace_id, teacher, method, teacher_prompt_hash as prompt_hash
from round_lineage
where round = :round and role <> 'rejected' and question_id = any(:questions)
order by question_id, curriculum_stage, position

-- name: report_cost
-- The cost of the round's jobs, including traces that were not trained on, and of the student's evaluations.
select purpose, sum(traces) as traces, sum(tokens_out) as tokens, sum(engine_seconds) as engine_seconds, sum(cost) as cost
from job_progress
where job = any(:jobs) or (purpose = 'evaluate' and adapter = :round)
group by 1

-- name: report_tiers
-- The tiers of the round's jobs.
select * from job_tiers where job = any(:jobs) order by first_job, tier, job
