-- The page for reading traces (`web`). They read views only, as the read-only role, in the order of an index: no list reads
-- all questions of a job, unless its filters pass few of them.

-- name: page_jobs
-- All jobs, newest first; with a name only that one.
select * from job_progress where cast(:name as text) is null or job = :name order by job_id desc

-- name: page_questions
-- The first questions after one that pass the filters, and what the verdicts say about their traces. It looks at `window`
-- questions; `last_seen` is the last of them if there may be more.
with page as (
    select q.question_id
    from (select question_id from question_results
          where job_id = :job_id and question_id > :after
          order by question_id limit :window) q
    where {trace_filter}
    order by q.question_id limit :limit
), edge as (
    select (select question_id from question_results
            where job_id = :job_id and question_id > :after
            order by question_id offset cast(:window as bigint) - 1 limit 1) as last_seen
)
select edge.last_seen, q.question_id, left(q.question, :preview) as question, left(q.gold, :preview) as gold,
       q.state, q.last_error, counts.*
from edge left join page on true
left join question_results q on q.job_id = :job_id and q.question_id = page.question_id
cross join lateral (
    select count(*) as samples, count(*) filter (where v.correct) as right, count(*) filter (where not v.correct) as wrong,
           count(*) filter (where v.accepted) as accepted
    from trace_scores v where v.job = :job and v.question_id = page.question_id
) counts
order by page.question_id

-- name: page_next
select q.question_id from question_results q
where q.job_id = :job_id and q.question_id > :question_id and {trace_filter}
order by q.question_id limit 1

-- name: page_previous
select q.question_id from question_results q
where q.job_id = :job_id and q.question_id < :question_id and {trace_filter}
order by q.question_id desc limit 1

-- name: page_question
-- A question with some of its traces. Without traces it is one row with nulls. Texts are cut.
select q.question as question_text, q.gold as question_gold, q.dataset as question_dataset, q.domain as question_domain,
       q.state, q.difficulty, q.last_error, traces.*
from question_results q
left join lateral (
    select v.trace_id, v.variant, v.sample_index, left(v.text, :max_shown) as text, length(v.text) as text_length,
           left(v.thoughts, :max_shown) as thoughts, length(v.thoughts) as thoughts_length, left(v.answer, 1000) as answer,
           v.correct, v.accepted, v.proof, v.refused, v.error, {score_names}, v.faithfulness, v.coherence, v.majority, v.margin,
           v.signals, v.findings, v.model, v.adapter, v.method, v.tokens_in, v.tokens_out, v.thinking_tokens, v.cost,
           v.latency_seconds, v.engine_seconds, v.finish_reason, v.verifier, v.calls, d.step_texts, d.prompt, d.worker
    from trace_scores v join trace_details d on d.trace_id = v.trace_id
    where v.job = q.job and v.question_id = q.question_id
    order by v.variant, v.sample_index offset :start limit :limit
) traces on true
where q.job_id = :job_id and q.question_id = :question_id
order by traces.variant, traces.sample_index

-- name: page_text
select text, thoughts from trace_scores where job = :job and question_id = :question_id and trace_id = :trace_id

-- name: page_rounds
-- All rounds, newest first, each without its loss.
select round, state, student, objective, examples, error, created_at, finished_at from round_progress order by round_id desc

-- name: page_round
select * from round_progress where round = :round

-- name: page_flips
-- Questions that the round's student and its base model answer differently, one right and one wrong.
select flip, benchmark, question_id, left(question, :preview) as question, left(gold, :preview) as gold,
       left(before_text, :max_shown) as before_text, left(after_text, :max_shown) as after_text
from round_flips
where round = :round and (benchmark, question_id) > (cast(:benchmark as text), cast(:question_id as bigint))
order by benchmark, question_id limit :limit

-- name: page_examples
-- The first examples of a round's training after one, in their order. An example has a row for each evaluation.
select distinct on (position, role)
       position, role, job, question_id, left(question, :preview) as question, left(text, :max_shown) as text
from round_lineage
where round = :round and position > :after
order by position, role limit :limit
