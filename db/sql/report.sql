-- The data of a round's report (`trainer.report`), apart from its evaluations.

-- name: report_breakdown
-- Before and after by domain, difficulty and length of the questions, over all benchmarks.
select case grouping(b.domain, b.difficulty, b.length) when 3 then 'domain' when 5 then 'difficulty' else 'length' end as by,
       coalesce(b.domain, b.difficulty, b.length) as value,
       count(*) filter (where b.correct and a.correct) as both,
       count(*) filter (where b.correct and not a.correct) as first,
       count(*) filter (where a.correct and not b.correct) as second,
       count(*) filter (where not a.correct and not b.correct) as neither
from round_answers b join round_answers a on a.round = b.round and a.benchmark = b.benchmark and a.question_id = b.question_id
where b.round = :round and b.stage = 'before' and a.stage = 'after'
group by grouping sets ((b.domain), (b.difficulty), (b.length))
order by 1, array_position('{easy,short,medium,hard,long,unknown}', coalesce(b.difficulty, b.length)), 2

-- name: report_scores
-- Score histograms of the traces of the round's jobs, trained on or not: at most 16 bins of equal width.
with scored as (
    select e.trace_id is not null as trained, v.steps::float8, t.tokens_out::float8, v.faithfulness::float8,
           v.coherence::float8, jq.accepted / nullif(jq.settled, 0)::float8 as pass_rate
    from jobs j
    join traces t on t.job_id = j.id
    join job_questions jq on jq.job_id = j.id and jq.question_id = t.question_id
    left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier
    left join examples e on e.round_id = :round_id and e.trace_id = t.id
    where j.name = any(:jobs)
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
select e.stage, count(distinct e.position) as examples, sum(t.tokens_out) as tokens, avg(t.tokens_out) as length,
       avg(v.steps) as steps, avg(jq.accepted / nullif(jq.settled, 0)::float8) as pass_rate
from examples e
join traces t on t.id = e.trace_id
join jobs j on j.id = t.job_id
join job_questions jq on jq.job_id = j.id and jq.question_id = t.question_id
left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier
where e.round_id = :round_id
group by 1 order by 1

-- name: report_flips
-- At most :most flips of each kind, in a random order that is the same at every run.
select * from (
    select *, row_number() over (partition by flip order by md5(round || question_id)) as nth,
           count(*) over (partition by flip) as of
    from round_flips where round = :round
) f where nth <= :most order by flip, nth

-- name: report_questions
-- The questions that the round trained on, each once.
select t.question_id, min(q.question) as question
from examples e join traces t on t.id = e.trace_id join questions q on q.id = t.question_id
where e.round_id = :round_id and e.role <> 'rejected'
group by 1 order by 1

-- name: report_examples
-- The first example of each given question.
select distinct on (t.question_id) t.question_id, q.question, coalesce(t.answer_text, substr(t.text, t.answer_start, t.answer_length), t.text) as text,
       t.id as trace_id,
       j.model as teacher, j.method,
       t.prompt_hash
from examples e join traces t on t.id = e.trace_id join questions q on q.id = t.question_id join jobs j on j.id = t.job_id
where e.round_id = :round_id and e.role <> 'rejected' and t.question_id = any(:questions)
order by t.question_id, e.stage, e.position

-- name: report_cost
-- The cost of the round's jobs, including traces that were not trained on, and of the student's evaluations.
select purpose, sum(traces) as traces, sum(tokens_out) as tokens, sum(engine_seconds) as engine_seconds, sum(cost) as cost
from job_progress
where job = any(:jobs) or (purpose = 'evaluate' and adapter = :round)
group by 1
