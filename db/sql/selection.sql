-- The selection of a round's traces (trainer/select). The temporary table `candidates` holds the remaining traces until the
-- end of the transaction. One statement fills it and counts the removed traces per filter; each later filter is one
-- `delete`. If a question has too many candidates, those with the smallest `preference` are kept, otherwise those with the
-- smallest `lot`, a hash of (seed, trace). So the same seed always chooses the same traces.

-- name: teaching_jobs
select id from jobs where purpose <> 'evaluate' and name = any(:jobs) order by id

-- name: more_memory
-- For sorts and joins of candidates, until the end of the transaction.
set local work_mem = '128MB'

-- name: more_time
-- Python reads all texts between two statements. Meanwhile the transaction locks no rows of others.
set local idle_in_transaction_session_timeout = '1h'

-- name: drop_temporary
drop table if exists candidates, overlapping, diversity cascade

-- name: create_candidates
create temporary table candidates (
    trace_id bigint, -- the trace to learn from; in a pair the right trace
    partner_id bigint, -- in a pair the wrong trace
    question_id bigint,
    wrong boolean,
    difficulty text,
    rate real, -- the accepted share of the question's traces in its job
    steps bigint,
    tokens bigint, -- in a pair the sum of both
    content uuid,
    label text, -- the answer of a choice or a yes-or-no question, after its kind
    preference real, -- null is greater than all
    lot uuid,
    stage smallint,
    position bigint
) on commit drop

-- name: create_overlaps
create temporary table overlapping (
    question_id bigint primary key, rule text, evaluation_question_id bigint, share real
) on commit drop

-- name: create_diversity
create temporary table diversity (trace_id bigint, preference real) on commit drop

-- name: create_ranked
-- `nth` counts the traces of a question, the preferred one first. The view is dropped with its table.
create temporary view ranked as
select *, row_number() over (partition by question_id, wrong order by preference, lot, trace_id) as nth from candidates

-- name: fill_candidates
-- Counts the traces of the given jobs by the first filter that removes each; null means that it is kept. With :pairs, wrong
-- traces are candidates too: traces known to be wrong, and traces of jobs that ask for wrong answers.
with judged as (
    select trace_id, question_id, wrong, difficulty, rate, steps, tokens, removed,
           case when removed is null then md5(text)::uuid end as content,
           case when removed is null then md5(cast(:seed as text) || ':' || trace_id)::uuid end as lot,
           coalesce(label, case when correct then gold_label end) as label, preference
    from (
        select t.id as trace_id, t.question_id, t.text, t.tokens_out as tokens, v.steps, w.wrong, v.correct,
               answer_label(coalesce(v.kind, q.kind), t.answer) as label,
               answer_label(coalesce(v.kind, q.kind), q.gold) as gold_label,
               case when cast(:prefer as text) is not null then
                   :sign * (select {score} from (select cast(:prefer as text) as score) k) end as preference,
               difficulty(jq.accepted, jq.settled), jq.accepted::real / nullif(jq.settled, 0) as rate,
               case
                   when j.negative and not :pairs then 'negative'
                   when q.domain <> all(cast(:domains as text[])) then 'domains'
                   when q.dataset <> all(cast(:datasets as text[])) then 'datasets'
                   when t.created_at < cast(:since as timestamptz) then 'since'
                   when t.created_at >= cast(:until as timestamptz) then 'until'
                   when coalesce(t.answer_text, t.text) = '' then 'answer_text'
                   when :finished and t.finish_reason = 'length' then 'finished'
                   when v.id is null and (w.wrong or cast(:accepted as boolean) is not null) then 'unverified'
                   when j.negative and not v.accepted then 'accepted'
                   when w.wrong then null
                   when v.accepted <> cast(:accepted as boolean) then 'accepted'
                   when v.correct is distinct from coalesce(cast(:correct as boolean), v.correct) then 'correct'
                   when v.concludes is distinct from coalesce(cast(:concludes as boolean), v.concludes) then 'concludes'
                   when j.method <> all(cast(:methods as text[])) then 'methods'
                   when j.model <> all(cast(:models as text[])) then 'models'
                   when :logprobs and not exists (select from trace_logprobs l where l.trace_id = t.id) then 'logprobs'
                   when :thresholds then (
                       select min(k.bound || '.' || k.score)
                       from unnest(cast(:bounds as text[]), cast(:scores as text[]), cast(:limits as real[])) -- real, as the columns are
                           as k (bound, score, allowed),
                       lateral (select {score} as score) as measured
                       where not coalesce(case k.bound when 'at_least' then measured.score >= k.allowed
                                                       else measured.score <= k.allowed end, false)
                   )
               end as removed
        from jobs j
        join traces t on t.job_id = j.id
        join questions q on q.id = t.question_id
        left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier
        left join job_questions jq on jq.job_id = t.job_id and jq.question_id = t.question_id
        cross join lateral (select :pairs and (j.negative or v.correct is false) as wrong) w
        where t.job_id = any(:job_ids) -- with ids, Postgres can estimate the number of traces from its statistics
        offset 0 -- evaluates each trace once
    ) each
), kept as (
    insert into candidates (trace_id, question_id, wrong, difficulty, rate, steps, tokens, content, label, preference, lot)
    select trace_id, question_id, wrong, difficulty, rate, steps, tokens, content, label, preference, lot
    from judged where removed is null
)
select removed, count(*) as traces from judged group by removed

-- name: analyze_candidates
analyze candidates

-- name: evaluation_questions
select id, question from questions
where id in (select jq.question_id from jobs j join job_questions jq on jq.job_id = j.id where j.purpose = 'evaluate')
order by id

-- name: find_same_questions
-- The candidates' questions that an evaluation has too, exactly or except for spacing, case and punctuation.
insert into overlapping
select distinct on (q.id) q.id, case when e.question = q.question then 'exact' else 'normalised' end, e.id, 1
from questions q join questions e on e.fingerprint = q.fingerprint
where q.id in (select question_id from candidates)
  and e.id in (select jq.question_id from jobs j join job_questions jq on jq.job_id = j.id where j.purpose = 'evaluate')
order by q.id, e.question <> q.question, e.id

-- name: candidate_questions
select id, question from questions
where id in (select question_id from candidates) and id not in (select question_id from overlapping)

-- name: insert_overlap
insert into overlapping values (:question_id, 'ngram', :evaluation_question_id, :share)

-- name: count_overlaps
select rule, count(*) as questions from overlapping group by rule

-- name: drop_overlapping
delete from candidates where question_id in (select question_id from overlapping)

-- name: drop_repeated
-- Repetitions of the same text for the same question.
delete from candidates c
using (select trace_id, row_number() over (partition by question_id, wrong, content order by preference, lot, trace_id) as copy
       from candidates) r
where r.trace_id = c.trace_id and r.copy > 1

-- name: candidate_texts
select c.trace_id, q.question, t.text
from candidates c join traces t on t.id = c.trace_id join questions q on q.id = c.question_id
where c.wrong = :wrong
order by c.preference, c.lot, c.trace_id

-- name: texts_to_compare
-- The traces of each question that has several, in the order of their lots.
select c.trace_id, c.question_id, c.wrong, t.text
from candidates c join traces t on t.id = c.trace_id
where (c.question_id, c.wrong) in (select question_id, wrong from candidates group by 1, 2 having count(*) > 1)
order by c.question_id, c.wrong, c.lot, c.trace_id

-- name: insert_diversity
insert into diversity values (:trace_id, :preference)

-- name: prefer_diversity
update candidates c set preference = d.preference from diversity d where d.trace_id = c.trace_id

-- name: unpreferred
-- Whether there are candidates, and none has the preferred score.
select count(*) as traces from candidates having count(preference) = 0 and count(*) > 0

-- name: drop_listed
delete from candidates where trace_id = any(:traces)

-- name: pair_candidates
-- Pairs the right and the wrong traces of each question in their order, as far as both exist.
update candidates c set partner_id = w.trace_id, tokens = r.tokens + w.tokens
from ranked r join ranked w on w.question_id = r.question_id and w.nth = r.nth and w.wrong and not r.wrong
where c.trace_id = r.trace_id

-- name: drop_unpaired
delete from candidates where partner_id is null

-- name: drop_over_max_per_question
delete from candidates c
using ranked r
where r.trace_id = c.trace_id and r.nth > :most

-- name: labels
select label, count(*) as examples from candidates where label is not null group by label order by label

-- name: difficulties
select difficulty, count(*) as examples, sum(tokens) as tokens from candidates group by difficulty

-- name: drop_over_balance
delete from candidates c
using (select trace_id, row_number() over (partition by difficulty order by nth, lot, trace_id) as nth from ranked) r
where r.trace_id = c.trace_id and r.nth > (cast(:most as jsonb) ->> c.difficulty)::bigint

-- name: drop_over_label_balance
delete from candidates c
using (select trace_id, row_number() over (partition by label order by nth, lot, trace_id) as nth from ranked) r
where r.trace_id = c.trace_id and r.nth > (cast(:most as jsonb) ->> c.label)::bigint

-- name: tokens_of_round
-- Tokens per difficulty in the examples of another round.
select difficulty(jq.accepted, jq.settled) as difficulty, sum(t.tokens_out + coalesce(p.tokens_out, 0)) as tokens
from rounds r
join examples e on e.round_id = r.id and e.role <> 'rejected'
join traces t on t.id = e.trace_id
left join job_questions jq on jq.job_id = t.job_id and jq.question_id = t.question_id
left join examples x on x.round_id = r.id and x.position = e.position and x.role = 'rejected'
left join traces p on p.id = x.trace_id
where r.name = :name
group by 1

-- name: long_examples
-- The examples of another round with more than :safe_bytes, as `tokens_of_round` counts them.
select difficulty(jq.accepted, jq.settled) as difficulty, t.tokens_out as tokens, q.question, t.text,
       t.finish_reason is not distinct from 'length' as is_cut_off, j.method
from rounds r
join examples e on e.round_id = r.id and e.role = 'sft'
join traces t on t.id = e.trace_id
join questions q on q.id = t.question_id
join jobs j on j.id = t.job_id
left join job_questions jq on jq.job_id = t.job_id and jq.question_id = t.question_id
where r.name = :name and octet_length(q.question) + octet_length(t.text) > :safe_bytes

-- name: long_candidates
-- The candidates that `drop_unlike` would keep, with more than :safe_bytes; without those that are known to be short.
select c.trace_id, q.question, t.text, t.finish_reason is not distinct from 'length' as is_cut_off, j.method
from (select trace_id, difficulty, sum(tokens) over (partition by difficulty order by nth, lot, trace_id) as tokens
      from ranked) c
join traces t on t.id = c.trace_id join questions q on q.id = t.question_id join jobs j on j.id = t.job_id
where c.tokens <= coalesce((cast(:most as jsonb) ->> c.difficulty)::bigint, 0)
  and octet_length(q.question) + octet_length(t.text) > :safe_bytes and c.trace_id <> all(cast(:short as bigint[]))

-- name: drop_unlike
delete from candidates c
using (select trace_id, sum(tokens) over (partition by difficulty order by nth, lot, trace_id) as tokens from ranked) r
where r.trace_id = c.trace_id and r.tokens > coalesce((cast(:most as jsonb) ->> c.difficulty)::bigint, 0)

-- name: drop_over_tokens
delete from candidates c
using (select trace_id, sum(tokens) over (order by nth, lot, trace_id) as tokens from ranked) r
where r.trace_id = c.trace_id and r.tokens > :most

-- name: drop_over_limit
delete from candidates c
using (select trace_id, row_number() over (order by nth, lot, trace_id) as nth from ranked) r
where r.trace_id = c.trace_id and r.nth > :most

-- name: order_candidates
-- Sets the stage of each example, easy stages first, and its position.
update candidates c set stage = r.stage, position = r.position
from (
    select trace_id, row_number() over (order by lot, trace_id) - 1 as position,
           ntile(cast(:stages as integer)) over (
               order by case cast(:by as text) when 'complexity' then steps when 'length' then tokens end,
                        case cast(:by as text) when 'pass_rate' then 1 - coalesce(rate, 0) end,
                        tokens, lot, trace_id
           ) - 1 as stage
    from candidates
) r
where r.trace_id = c.trace_id

-- name: stages_of_candidates
select stage, count(*) as examples, sum(tokens) as tokens from candidates group by stage order by stage

-- name: cut_off_traces
-- The jobs with traces that were cut off, and their longest answer; null means the end of the model's context.
select j.name, (j.sampling ->> 'max_tokens')::bigint as max_tokens, count(*) as traces
from jobs j join traces t on t.job_id = j.id
where j.name = any(:jobs) and j.purpose <> 'evaluate' and t.finish_reason = 'length'
group by j.id order by j.id

-- name: delete_examples
-- Deletes the examples of an earlier try whose fit failed.
with forgotten as (delete from exclusions where round_id = :round_id)
delete from examples where round_id = :round_id

-- name: store_examples
insert into examples (round_id, trace_id, role, position, stage)
select :round_id, trace_id, case when partner_id is null then 'sft' else 'chosen' end, position, stage from candidates
union all
select :round_id, partner_id, 'rejected', position, stage from candidates where partner_id is not null

-- name: store_exclusions
insert into exclusions (round_id, question_id, rule, evaluation_question_id, share)
select :round_id, question_id, rule, evaluation_question_id, share from overlapping

-- name: chosen_texts
-- In the order of training; `rejected` is null unless the objective needs pairs.
select c.stage, c.position, c.trace_id, q.question, t.text, t.finish_reason is not distinct from 'length' as is_cut_off,
       j.method, p.text as rejected, p.finish_reason is not distinct from 'length' as rejected_is_cut_off,
       pj.method as rejected_method
from candidates c
join questions q on q.id = c.question_id
join traces t on t.id = c.trace_id
join jobs j on j.id = t.job_id
left join traces p on p.id = c.partner_id
left join jobs pj on pj.id = p.job_id
order by c.stage, c.position

-- name: overlapping_questions
-- Pairs of overlapping questions, the least similar first.
select o.rule, o.share, q.id as question_id, q.question, e.id as evaluation_question_id, e.question as evaluation_question
from overlapping o join questions q on q.id = o.question_id join questions e on e.id = o.evaluation_question_id
order by o.share, q.id limit :most

-- name: measured_pace
-- Tokens per second of the last fit of this student with this objective. They count prompt and answer, in each epoch.
select name, (metrics ->> 'examples_per_second')::float8 * (metrics ->> 'tokens')::float8 / (metrics ->> 'examples')::float8
           as tokens_per_second
from rounds
where spec ->> 'student' = :student and spec -> 'fit' ->> 'objective' = :objective
  and metrics ?& array['examples_per_second', 'tokens', 'examples'] and (metrics ->> 'examples')::float8 > 0
order by coalesce(finished_at, created_at) desc limit 1
