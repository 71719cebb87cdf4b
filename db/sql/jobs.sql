-- Jobs and their questions. Every transition is one statement, guarded by the expected state:
--
--   pending --queue--> queued --claim--> running --generated--> generated --settle--> done
--      ^-- release / put_off / engine_died / take_back --+--- (too many attempts) ---> failed
--      ^------- settle (more samples needed) ----------------------+
--
-- A statement changes nothing if its guard is false. So a repeated message or a worker that returns late does no harm.
-- A claim names its process, and has no lease while that process sends heartbeats (`end_lost_claims`).
-- Leases are counted with clock_timestamp(): now() is the start of the transaction, which may have waited or been frozen.
-- A condition reads the clock in a subquery, because otherwise Postgres would not use an index.
-- The feeder's statements skip locked rows, so that a frozen transaction of one job stops no other job.

-- name: insert_prompt
insert into prompts (hash, messages) values (:hash, cast(:messages as jsonb)) on conflict do nothing

-- name: insert_job
insert into jobs (name, purpose, model, round_id, method, ask_as, from_job_id, escalates, scores, negative, samples, most,
                  batch, enough, give_up, budget, budget_unit, sampling, policy, verifier, source, source_options, priority)
values (:name, :purpose, :model, :round_id, :method, :ask_as, :from_job_id, :escalates, :scores, :negative, :samples, :most,
        :batch, :enough, :give_up, :budget, :budget_unit, cast(:sampling as jsonb), cast(:policy as jsonb), :verifier, :source,
        cast(:source_options as jsonb), :priority)
on conflict (name) do nothing
returning id

-- name: insert_job_prompt
insert into job_prompts (job_id, domain, variant_place, call_place, variant, call, prompt_hash)
values (:job_id, :domain, :variant_place, :call_place, :variant, :call, :prompt_hash)

-- name: job_prompts
select jp.domain, jp.variant, jp.call, jp.prompt_hash, p.messages
from job_prompts jp join prompts p on p.hash = jp.prompt_hash
where jp.job_id = :job_id
order by jp.domain, jp.variant_place, jp.call_place

-- name: job_by_name
select * from jobs where name = :name

-- name: job_for_work
select j.*, r.adapter_path, coalesce(r.spec #>> '{fit,tuning}' = 'full', false) as is_whole_model
from jobs j left join rounds r on r.id = j.round_id where j.id = :job_id

-- name: insert_questions
-- COPY fills the staging table, which belongs to the transaction.
insert into questions (content_hash, fingerprint, dataset, domain, kind, question, gold, meta)
select content_hash, fingerprint, dataset, domain, kind, question, gold, meta from staged_questions
on conflict (content_hash) do nothing

-- name: stored_otherwise
-- The number of staged questions that are stored with another domain or kind, which they keep.
select count(*) from staged_questions s, lateral (select * from questions where content_hash = s.content_hash limit 1) q
where (q.domain, q.kind) is distinct from (s.domain, s.kind)

-- name: insert_job_questions
-- A separate statement, so that it sees questions that another enqueue committed during insert_questions. It looks up each
-- question by its hash, because Postgres may plan a join as a scan of all questions for every batch.
insert into job_questions (job_id, question_id, wanted)
select j.id, q.id, least(j.batch, j.enough)
from jobs j, staged_questions s, lateral (select id from questions where content_hash = s.content_hash limit 1) q
where j.id = :job_id order by q.id
on conflict do nothing

-- name: staged_question_ids
select q.id, s.content_hash
from staged_questions s, lateral (select id from questions where content_hash = s.content_hash limit 1) q

-- name: stored_digests
select question_id, md5(text) as digest from traces where job_id = :job_id and question_id = any(:question_ids)

-- name: insert_imported_questions
-- generated, done -> generated: traces of another tool were stored. The feeder sends them to a verifier at once.
insert into job_questions (job_id, question_id, wanted, state, lease_until)
select :job_id, question_id, wanted, 'generated', now()
from jsonb_to_recordset(cast(:rows as jsonb)) as row (question_id bigint, wanted bigint) order by question_id
on conflict (job_id, question_id) do update
set wanted = excluded.wanted, state = 'generated', lease_until = now(), updated_at = now()

-- name: copy_job_questions
-- Copies all questions of another job, or only the settled ones with (or without) an accepted trace.
insert into job_questions (job_id, question_id, wanted)
select j.id, f.question_id, least(j.batch, j.enough)
from jobs j, (
    select question_id from job_questions
    where job_id = :from_job_id and (cast(:accepted as boolean) is null
        or ((accepted > 0) = cast(:accepted as boolean) and state in ('done', 'failed')))
    order by question_id limit cast(:most as bigint)
) f
where j.id = :job_id
on conflict do nothing

-- name: escalate
-- (no row) -> pending, in the jobs that take what :job_id fails: questions that are done without an accepted trace. Failed
-- questions stay, because nobody has answered them. The primary key makes a repetition harmless. A job that was done
-- already runs again.
with moved as (
    insert into job_questions (job_id, question_id, wanted)
    select n.id, q.question_id, least(n.batch, n.enough)
    from jobs j join jobs n on n.from_job_id = j.id join job_questions q on q.job_id = j.id
    where j.id = :job_id and n.escalates and q.state = 'done' and q.accepted = 0
      and j.state not in ('paused', 'cancelled', 'deleting') and n.state not in ('paused', 'cancelled', 'deleting')
      and (cast(:question_ids as bigint[]) is null or q.question_id = any(:question_ids))
    order by n.id, q.question_id
    on conflict do nothing
    returning job_id
), reopened as (
    update jobs set state = 'running', finished_at = null where id in (select job_id from moved) and state = 'done'
)
select count(*) as questions from moved

-- name: count_job_questions
select count(*) from job_questions where job_id = :job_id

-- name: drop_empty_job
-- Deletes a job without questions, so that its name stays free for a corrected command.
delete from jobs where id = :job_id and not exists (select from job_questions where job_id = :job_id)

-- name: job_filled
-- filling -> running: enqueue has written all questions.
update jobs set state = 'running' where id = :job_id and state = 'filling'

-- name: reopen_job
-- done -> running: the job got new questions, or new traces of another tool.
update jobs j set state = 'running', finished_at = null
where id = :job_id and state = 'done'
  and exists (select from job_questions q where q.job_id = j.id and q.state in ('pending', 'generated'))

-- name: active_jobs
-- With `is_late`: the lease of one of their questions ran out.
select id, model, policy, exists (
    select from job_questions q where q.job_id = j.id and q.state in ('queued', 'running', 'generated')
      and q.lease_until < (select clock_timestamp())) as is_late
from jobs j where state in ('filling', 'running') order by priority desc, id

-- name: demands
-- Counts of the active jobs' questions by state. Pending ones are counted only up to the number that could be sent. Those
-- that are put off count as queued, so that an outage reaches no more questions than the window holds.
select j.id, j.model, j.priority, f.queued + o.put_off as queued, f.running, f.unverified, p.pending,
       j.budget is not null and j.budget <= f.reserved + j.spent + (
           select coalesce(sum(spent), 0) from job_counts where job_id = j.id) as budget_in_use
from jobs j, lateral (
    select count(*) filter (where state = 'queued') as queued,
           count(*) filter (where state = 'running') as running,
           count(*) filter (where state = 'generated') as unverified,
           coalesce(sum(reserved) filter (where state in ('queued', 'running')), 0) as reserved
    from job_questions q where q.job_id = j.id and q.state in ('queued', 'running', 'generated')
) f, lateral (
    select count(*) as pending
    from (select from job_questions q where q.job_id = j.id and q.state = 'pending'
          and (q.not_before is null or q.not_before <= (select clock_timestamp()))
          order by attempts, question_id limit :most) first
) p, lateral (
    select count(*) as put_off from job_questions q
    where q.job_id = j.id and q.state = 'pending' and q.not_before > (select clock_timestamp())
) o
where j.state in ('filling', 'running')

-- name: over_budget
-- running -> over_budget: the budget is spent and all paid traces are verified.
update jobs j set state = 'over_budget'
where id in (select id from jobs where id = :job_id and state = 'running' for no key update skip locked)
  and j.budget <= j.spent + (select coalesce(sum(spent), 0) from job_counts where job_id = j.id)
  and not exists (select from job_questions q where q.job_id = j.id and q.state in ('running', 'generated'))

-- name: queue
-- pending -> queued: at most :room questions, those with the fewest attempts first, then the oldest. A question that is put
-- off waits for its time.
-- In a subquery Postgres may choose the questions anew for each row, and so choose more.
with chosen as materialized (
    select job_id, question_id from job_questions
    where job_id = :job_id and state = 'pending' and (not_before is null or not_before <= (select clock_timestamp()))
    order by attempts, question_id limit :room
    for update skip locked
)
update job_questions set state = 'queued', lease_until = clock_timestamp() + make_interval(secs => :lease), updated_at = now()
where (job_id, question_id) in (select * from chosen)
  and exists (select from jobs where id = :job_id and state in ('filling', 'running'))
returning question_id

-- name: unqueue
-- queued -> pending: the message could not be sent, or the job no longer runs.
update job_questions set state = 'pending', lease_until = null, updated_at = now()
where (job_id, question_id) in (
    select job_id, question_id from job_questions
    where job_id = :job_id and state = 'queued'
      and (cast(:question_ids as bigint[]) is null or question_id = any(:question_ids))
    for update skip locked
)

-- name: overdue_messages
-- Queued questions that no worker has claimed in time: the message waits, or it is lost.
select job_id, question_id from job_questions
where job_id = any(cast(:job_ids as bigint[])) and state = 'queued' and lease_until < (select clock_timestamp())

-- name: keep_queued
-- queued stays queued: Redis still holds the message.
update job_questions set lease_until = clock_timestamp() + make_interval(secs => :lease)
where (job_id, question_id) in (
    select job_id, question_id from job_questions
    where state = 'queued' and (job_id, question_id) in (
        select * from unnest(cast(:job_ids as bigint[]), cast(:question_ids as bigint[])))
    for update skip locked
)

-- name: lost_owners
-- Processes with claims that have sent no heartbeat for :lease seconds, or have ended. The recursion reads one index entry
-- for each process.
with recursive owners as (
    (select owner from job_questions where owner is not null and state in ('running', 'generated') order by owner limit 1)
    union all
    select (select jq.owner from job_questions jq where jq.owner > owners.owner and jq.state in ('running', 'generated')
            order by jq.owner limit 1)
    from owners where owners.owner is not null
), alive as materialized (
    select name from processes where seen_at > clock_timestamp() - make_interval(secs => :lease)
)
select owner from owners where owner is not null and not exists (select from alive where name = owner)

-- name: end_lost_claims
-- running and generated stay as they are: their process is lost and sends no heartbeat again. Their lease runs out now, and
-- take_back or overdue_verifications follows.
update job_questions set lease_until = clock_timestamp()
where (job_id, question_id) in (
    select job_id, question_id from job_questions
    where owner = any(:owners) and state in ('running', 'generated') and lease_until is null
      and not exists (select from processes
                      where name = owner and seen_at > clock_timestamp() - make_interval(secs => :lease))
    for update of job_questions skip locked
)

-- name: claims_of
-- All claims of a process.
select job_id, question_id, claim_id from job_questions where owner = :owner and state in ('running', 'generated')

-- name: end_claims
-- running and generated stay as they are: no task of their process works on these claims. Their lease runs out now.
update job_questions set lease_until = clock_timestamp()
where state in ('running', 'generated') and (job_id, question_id, claim_id) in (
    select * from unnest(cast(:job_ids as bigint[]), cast(:question_ids as bigint[]), cast(:claim_ids as uuid[])))

-- name: take_back
-- queued, running -> pending (or failed): the lease ran out, so the message or the worker is lost.
-- A question fails after too many attempts. A lost worker may have sent its requests, so the job pays their reservation.
with lost as (
    select job_id, question_id, claim_id, reserved from job_questions
    where job_id = :job_id and state in ('queued', 'running') and lease_until < (select clock_timestamp())
    for update skip locked
), charged as (
    insert into ledger (claim_id, job_id, payee, is_lost, spent)
    select claim_id, job_id, 'teacher', true, reserved from lost where claim_id is not null and reserved > 0
    on conflict do nothing returning spent
), counted as (
    insert into job_counts (job_id, spent) select :job_id, sum(spent) from charged having count(*) > 0
)
update job_questions
set state = case when attempts >= :max_attempts and state = 'running' then 'failed' else 'pending' end,
    last_error = case when state = 'running'
                 then 'worker: lost ' || coalesce(owner, '?') || ' while it held this question' else last_error end,
    lease_until = null, owner = null, claim_id = null, reserved = 0, updated_at = now()
where (job_id, question_id) in (select job_id, question_id from lost)
returning question_id, state

-- name: halted_jobs
-- Jobs that hand out nothing, with questions that a worker still holds or that a dead worker held.
select id, model from jobs j where state in ('paused', 'over_budget', 'cancelled')
  and exists (select from job_questions q where q.job_id = j.id and q.state in ('queued', 'running'))

-- name: overdue_verifications
-- generated stays generated: no verifier works on it. The feeder sends a lost message again and renews the lease. Claims
-- that were ended are removed only if :takes_back.
update job_questions
set owner = null, claim_id = null, lease_until = clock_timestamp() + make_interval(secs => :lease)
where (job_id, question_id) in (
    select job_id, question_id from job_questions
    where job_id = :job_id and state = 'generated' and lease_until < (select clock_timestamp())
      and (claim_id is null or :takes_back)
    for update skip locked
)
returning question_id

-- name: finish_job
-- running -> done: no question is unfinished, and the tier before can move no more questions here.
update jobs j set state = 'done', finished_at = now()
where id in (select id from jobs where id = :job_id and state = 'running' for no key update skip locked)
  and not exists (select from job_questions q where q.job_id = j.id and q.state = 'pending')
  and not exists (select from job_questions q where q.job_id = j.id and q.state in ('queued', 'running', 'generated'))
  and not exists (select from jobs b where j.escalates and b.id = j.from_job_id and b.state in ('filling', 'running', 'paused'))

-- name: shortages
-- The largest cost of a visit depends on the missing samples and on the length of the texts in the slots of its prompts.
select q.id as question_id, octet_length(q.question) as question_bytes, coalesce(octet_length(q.gold), 0) as gold_bytes,
       (select coalesce(max(octet_length(t.text)), 0) from traces t
        where t.job_id = j.from_job_id and t.question_id = q.id) as trace_bytes,
       greatest(jq.wanted - (select count(*) from traces t where t.job_id = j.id and t.question_id = q.id), 0) as missing
from jobs j join job_questions jq on jq.job_id = j.id join questions q on q.id = jq.question_id
where j.id = :job_id and q.id = any(:question_ids)

-- name: claim
-- queued, pending -> running: exactly one claim gets each row. The worker chooses the claim's id. So it may repeat a claim
-- whose reply was lost. No row is returned while the model is paused. A reservation that no slice covers is made under
-- the lock of its job, and no row is returned while spent cost and reserved cost reach the budget.
update job_questions jq
set state = 'running', owner = :owner, claim_id = keys.claim_id, reserved = keys.reserved,
    attempts = attempts + case when jq.state = 'running' then 0 else 1 end, lease_until = null, updated_at = now()
from unnest(cast(:job_ids as bigint[]), cast(:question_ids as bigint[]), cast(:claim_ids as uuid[]),
            cast(:reserved as float8[])) as keys (job_id, question_id, claim_id, reserved), questions q, jobs j
where jq.job_id = keys.job_id and jq.question_id = keys.question_id
  and (jq.state in ('queued', 'pending') or jq.state = 'running' and jq.claim_id = keys.claim_id)
  and q.id = jq.question_id and j.id = jq.job_id and j.state in ('filling', 'running')
  and (j.budget is null or :is_covered or j.budget > j.spent
      + (select coalesce(sum(c.spent), 0) from job_counts c where c.job_id = j.id)
      + (select coalesce(sum(r.reserved), 0) from job_questions r
         where r.job_id = j.id and r.state = 'running' and r.question_id <> keys.question_id))
  and not exists (select from model_pauses p where p.alias = j.model and p.retry_at > (select clock_timestamp()))
returning jq.job_id, jq.question_id, jq.claim_id, q.question, q.gold, q.domain, q.kind, jq.wanted, jq.deaths,
    exists (select from model_pauses p where p.alias = j.model) as is_trial,
    (select coalesce(jsonb_agg(jsonb_build_array(t.variant, t.sample_index)), '[]') from traces t
     where t.job_id = jq.job_id and t.question_id = jq.question_id) as have

-- name: trace_to_quote
-- A trace of another job for the same question: an accepted one if it exists, otherwise the first.
select t.text from traces t join jobs j on j.id = t.job_id
left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier
where t.job_id = :from_job_id and t.question_id = :question_id
order by v.accepted desc nulls last, t.sample_index, t.variant limit 1

-- name: samples_to_score
-- The traces of another job for the same question, with the tokens that were sampled.
select t.variant, t.sample_index, t.text, t.finish_reason, t.thinking_tokens, l.payload
from traces t join trace_logprobs l on l.trace_id = t.id
where t.job_id = :from_job_id and t.question_id = :question_id

-- name: cancelled_jobs
select id from jobs where id = any(:job_ids) and state in ('cancelled', 'deleting')

-- name: hand_back
-- running -> pending: the worker shuts down, or the job is cancelled. The visit does not count as an attempt.
update job_questions
set state = 'pending', owner = null, claim_id = null, lease_until = null, reserved = 0,
    attempts = greatest(attempts - 1, 0), updated_at = now()
where state = 'running' and (job_id, question_id, claim_id) in (
    select * from unnest(cast(:job_ids as bigint[]), cast(:question_ids as bigint[]), cast(:claim_ids as uuid[])))

-- name: insert_model
insert into models (hash, settings) values (:hash, cast(:settings as jsonb)) on conflict do nothing

-- name: insert_traces
insert into traces (job_id, question_id, variant, sample_index, prompt_hash, text, thoughts, thoughts_start, thoughts_length,
                    answer_text, answer_start, answer_length, reasoning, reasoning_start, reasoning_length, answer,
                    answer_form, steps, calls, tokens_in, tokens_out, thinking_tokens, finish_reason, latency_seconds,
                    engine_seconds, cost, worker, model_hash)
select job_id, question_id, variant, sample_index, prompt_hash, text, thoughts, thoughts_start, thoughts_length,
       answer_text, answer_start, answer_length, reasoning, reasoning_start, reasoning_length, answer, answer_form,
       steps, calls, tokens_in, tokens_out, thinking_tokens, finish_reason, latency_seconds, engine_seconds, cost, worker,
       model_hash
from jsonb_to_recordset(cast(:rows as jsonb)) as row (
    job_id bigint, question_id bigint, variant text, sample_index bigint, prompt_hash text, text text, thoughts text,
    thoughts_start integer, thoughts_length integer, answer_text text, answer_start integer, answer_length integer,
    reasoning text, reasoning_start integer, reasoning_length integer, answer text, answer_form text, steps jsonb,
    calls jsonb, tokens_in bigint, tokens_out bigint, thinking_tokens bigint, finish_reason text, latency_seconds real,
    engine_seconds real, cost real, worker text, model_hash text)
on conflict do nothing

-- name: insert_logprobs
-- Only for the stored trace, because the tokens belong to its text.
insert into trace_logprobs (trace_id, top_k, tokens, encoding, payload)
select t.id, :top_k, :tokens, :encoding, :payload from traces t
where t.job_id = :job_id and t.question_id = :question_id and t.variant = :variant and t.sample_index = :sample_index
  and t.worker = :worker and t.text = :text
on conflict do nothing

-- name: generated
-- pending, queued, running -> generated: every sample is stored. Traces of a lost worker count too, because they were paid,
-- even if the question has failed meanwhile, unless its job has ended.
update job_questions jq
set state = 'generated', owner = null, claim_id = null, attempts = 0, absences = 0, deaths = 0, reserved = 0,
    last_error = null, lease_until = clock_timestamp() + make_interval(secs => :lease), updated_at = now()
from unnest(cast(:job_ids as bigint[]), cast(:question_ids as bigint[])) as keys (job_id, question_id)
where jq.job_id = keys.job_id and jq.question_id = keys.question_id
  and (jq.state in ('pending', 'queued', 'running') or jq.state = 'failed' and exists (
      select from jobs j where j.id = jq.job_id and j.state not in ('done', 'cancelled', 'deleting')))
  and (select count(*) from traces t where t.job_id = jq.job_id and t.question_id = jq.question_id) >= jq.wanted
returning jq.job_id, jq.question_id

-- name: release
-- running -> pending (or failed): a worker gives its claim back after an error. A question fails after too many attempts
-- or a permanent error. A visit that does not count never fails a question for its attempts.
update job_questions
set state = case when (:counts and attempts >= :max_attempts) or :permanent then 'failed' else 'pending' end,
    owner = null, claim_id = null, lease_until = null, reserved = 0, last_error = :error, updated_at = now(),
    attempts = case when :counts then attempts else greatest(attempts - 1, 0) end
where job_id = :job_id and question_id = :question_id and state = 'running' and claim_id = :claim_id
returning state

-- name: to_verify
-- All traces of some questions of a job, with their verdicts, if any.
select t.question_id, t.id, t.text, t.answer, t.answer_form, t.steps, t.finish_reason, q.question, q.gold, q.kind,
       q.meta -> 'scorer' as scorer, jq.wanted, jq.deaths, to_jsonb(v) as verdict
from traces t join questions q on q.id = t.question_id join jobs j on j.id = t.job_id
join job_questions jq on jq.job_id = t.job_id and jq.question_id = t.question_id
left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier
where t.job_id = :job_id and t.question_id = any(:question_ids)
order by t.question_id, t.sample_index, t.variant

-- name: insert_verdicts
insert into verdicts (trace_id, verifier, correct, proof, kind, majority, margin, faithfulness, coherence,
                      {score_names}, signals, findings, refused, accepted, error, seconds)
select trace_id, verifier, correct, proof, kind, majority, margin, faithfulness, coherence,
       {score_names}, signals, findings, refused, accepted, error, seconds
from jsonb_to_recordset(cast(:rows as jsonb)) as row (
    trace_id bigint, verifier text, correct boolean, proof text, kind text, majority real, margin real,
    faithfulness real, coherence real, {score_types}, signals jsonb, findings jsonb, refused text,
    accepted boolean, error text, seconds real)
on conflict do nothing

-- name: revote
-- Later samples change the majority and margin of earlier ones. Guarded like `settle`, because a late vote is outdated.
update verdicts v set majority = :majority, margin = :margin, proof = :proof, accepted = :accepted
from traces t join job_questions jq on jq.job_id = t.job_id and jq.question_id = t.question_id
where v.trace_id = :trace_id and v.verifier = :verifier and t.id = v.trace_id
  and jq.state = 'generated' and jq.wanted = :wanted

-- name: claim_verification
-- generated stays generated: exactly one verifier gets each row, unless the claim of the one before was ended.
update job_questions jq
set owner = :owner, claim_id = keys.claim_id, lease_until = null
from unnest(cast(:job_ids as bigint[]), cast(:question_ids as bigint[]), cast(:claim_ids as uuid[]))
         as keys (job_id, question_id, claim_id)
where jq.job_id = keys.job_id and jq.question_id = keys.question_id and jq.state = 'generated'
  and (jq.claim_id is null or jq.claim_id = keys.claim_id or jq.lease_until < (select clock_timestamp()))
returning jq.question_id

-- name: verify_again
-- generated stays generated: its verifier shuts down, so the feeder sends it to another one at once.
update job_questions jq set owner = null, claim_id = null, lease_until = clock_timestamp()
from unnest(cast(:job_ids as bigint[]), cast(:question_ids as bigint[]), cast(:claim_ids as uuid[]))
         as keys (job_id, question_id, claim_id)
where jq.job_id = keys.job_id and jq.question_id = keys.question_id and jq.state = 'generated'
  and (jq.claim_id is null or jq.claim_id = keys.claim_id)

-- name: not_verified
-- generated stays generated: verification failed. When the lease runs out, the feeder sends it again.
update job_questions
set last_error = :error, owner = null, claim_id = null, lease_until = clock_timestamp() + make_interval(secs => :lease),
    updated_at = now()
where job_id = :job_id and question_id = :question_id and state = 'generated'

-- name: job_canaries
select name, attack, plain, attacked, fooled from canaries where job_id = :job_id order by attack

-- name: insert_canary
insert into canaries (job_id, name, attack, plain, attacked, fooled)
values (:job_id, :name, :attack, :plain, :attacked, :fooled)
on conflict do nothing

-- name: settle
-- generated -> done (or pending): it is finished, or it needs more samples. Also guarded by `wanted` and by the number of
-- traces: the decision is valid only for the traces that were verified, so a late verification changes nothing.
update job_questions jq
set state = case when s.next > jq.wanted then 'pending' else 'done' end, wanted = greatest(jq.wanted, s.next),
    settled = s.traces, accepted = s.accepted, ended = s.ended, attempts = 0, deaths = 0, owner = null, claim_id = null,
    lease_until = null, last_error = null, updated_at = now()
from jsonb_to_recordset(cast(:rows as jsonb)) as s (
    question_id bigint, wanted bigint, traces bigint, accepted bigint, next bigint, ended text)
where jq.job_id = :job_id and jq.question_id = s.question_id and jq.state = 'generated' and jq.wanted = s.wanted
  and (select count(*) from traces t where t.job_id = jq.job_id and t.question_id = jq.question_id) = s.traces

-- name: outdated_priors
-- Active jobs that give questions up, and have twice as many traces with verdicts as when their prior was fitted.
select id from jobs j
where give_up > 0 and state in ('filling', 'running')
  and (select sum(verified) from job_counts where job_id = j.id)
      >= greatest(:least, 2 * (select traces from job_priors where job_id = j.id))

-- name: sample_counts
-- Number of questions for each pair (traces, accepted traces) at their last settlement. Reads all questions of the job.
select settled as traces, accepted, count(*) as questions from job_questions
where job_id = :job_id and settled > 0 group by 1, 2

-- name: set_prior
insert into job_priors (job_id, alpha, beta, traces) values (:job_id, :alpha, :beta, :traces)
on conflict (job_id) do update set alpha = excluded.alpha, beta = excluded.beta, traces = excluded.traces

-- name: job_prior
select alpha, beta from job_priors where job_id = :job_id

-- name: question_ends
select coalesce(ended, 'all asked') as ended, count(*) as questions, sum(settled) as traces, sum(accepted) as accepted
from job_questions where job_id = :job_id and state = 'done' group by 1 order by 1

-- name: set_job_state
update jobs set state = cast(:state as text), finished_at = case when cast(:state as text) = 'cancelled' then now() end,
    budget = coalesce(cast(:budget as double precision), budget)
where name = :name and state = any(:allowed)
returning id, from_job_id

-- name: retry_failed
-- failed -> pending: the user retries the job.
update job_questions set state = 'pending', attempts = 0, absences = 0, deaths = 0, not_before = null, updated_at = now()
where job_id = :job_id and state = 'failed'

-- name: leave_out_failed
-- The user has an evaluation measured without its failed questions.
update jobs set leaves_out_failed = true where id = :job_id

-- name: waiting_errors
-- For each job: its judge, and the newest error that keeps questions waiting, before and after they have traces. An error
-- of a question that counts its attempts is no reason to wait.
select j.name as job, j.policy ->> 'judge' as judge, e.has_traces, e.questions, e.error
from jobs j left join lateral (
    select state = 'generated' as has_traces, count(*) as questions,
           (array_agg(last_error order by updated_at desc))[1] as error
    from job_questions
    where job_id = j.id and last_error is not null
      and (state = 'generated' or (state in ('pending', 'queued') and attempts = 0))
    group by 1
) e on true
where j.name = any(:jobs)

-- name: job_errors
select count(*) as questions, last_error from job_questions
where job_id = :job_id and last_error is not null
group by last_error order by 1 desc limit 20
