-- Named queries. Every change of state is one statement, guarded by the state that it expects:
--
--   pending --queue--> queued --claim--> running --generated--> generated --settle--> done
--      ^------- release / take_back ------+--- (too many attempts) ---> failed
--
-- A statement whose guard does not hold changes nothing: so a message that comes twice, or a worker that comes back
-- from the dead, does no harm.

-- name: insert_prompt
insert into prompts (hash, messages) values (:hash, cast(:messages as jsonb)) on conflict do nothing

-- name: insert_job
insert into jobs (name, purpose, model, round_id, method, prompt_hash, samples, sampling, policy, verifier, source, priority)
values (:name, :purpose, :model, :round_id, :method, :prompt_hash, :samples, cast(:sampling as jsonb),
        cast(:policy as jsonb), :verifier, :source, :priority)
on conflict (name) do nothing
returning id

-- name: job_by_name
select * from jobs where name = :name

-- name: job_for_work
select j.*, p.messages, r.adapter_path
from jobs j join prompts p on p.hash = j.prompt_hash left join rounds r on r.id = j.round_id
where j.id = :job_id

-- name: insert_questions
-- The staging table is filled by COPY and belongs to the transaction.
with new as (
    insert into questions (content_hash, fingerprint, dataset, domain, kind, question, gold, meta)
    select content_hash, fingerprint, dataset, domain, kind, question, gold, meta from staged_questions
    on conflict (content_hash) do nothing
    returning id, content_hash
), known as (
    select id from new
    union
    select q.id from questions q join staged_questions s using (content_hash)
)
insert into job_questions (job_id, question_id)
select :job_id, id from known order by id
on conflict do nothing

-- name: copy_job_questions
insert into job_questions (job_id, question_id)
select :job_id, question_id from job_questions where job_id = :from_job_id
on conflict do nothing

-- name: drop_empty_job
-- Its source held not one readable question: the name stays free for the command that is put right.
delete from jobs where id = :job_id and not exists (select from job_questions where job_id = :job_id)

-- name: job_filled
update jobs set state = 'running' where id = :job_id and state = 'filling'

-- name: reopen_job
-- New questions came to a job that was done already.
update jobs j set state = 'running', finished_at = null
where id = :job_id and state = 'done'
  and exists (select from job_questions q where q.job_id = j.id and q.state = 'pending')

-- name: active_jobs
select j.id, j.model, j.policy,
       (select count(*) from job_questions q where q.job_id = j.id and q.state in ('queued', 'running')) as in_flight
from jobs j
where j.state in ('filling', 'running')
order by j.priority desc, j.id

-- name: queue
-- pending -> queued, up to :room questions, oldest first.
update job_questions set state = 'queued', lease_until = now() + make_interval(secs => :lease), updated_at = now()
where (job_id, question_id) in (
    select job_id, question_id from job_questions
    where job_id = :job_id and state = 'pending'
    order by question_id limit :room
    for update skip locked
)
returning question_id

-- name: unqueue
-- queued -> pending: the message could not be sent, or the job was paused or cancelled.
update job_questions set state = 'pending', lease_until = null, updated_at = now()
where job_id = :job_id and state = 'queued' and (cast(:question_ids as bigint[]) is null or question_id = any(:question_ids))

-- name: take_back
-- queued, running -> pending (or failed): the lease ran out, so the message or the worker is lost.
update job_questions
set state = case when attempts >= :max_attempts and state = 'running' then 'failed' else 'pending' end,
    last_error = case when state = 'running'
                 then 'worker: lost ' || coalesce(owner, '?') || ' while it held this question' else last_error end,
    lease_until = null, owner = null, updated_at = now()
where job_id = :job_id and state in ('queued', 'running') and lease_until < now()
returning question_id, state

-- name: overdue_verifications
-- generated, but no verifier has settled it in time: the nudge is repeated and the lease renewed.
update job_questions set lease_until = now() + make_interval(secs => :lease)
where job_id = :job_id and state = 'generated' and lease_until < now()
returning question_id

-- name: finish_job
update jobs j set state = 'done', finished_at = now()
where id = :job_id and state = 'running'
  and not exists (select from job_questions q where q.job_id = j.id and q.state = 'pending')
  and not exists (select from job_questions q where q.job_id = j.id and q.state in ('queued', 'running', 'generated'))

-- name: claim
-- queued (or pending) -> running. One row to the one worker that may answer; none to everybody else.
update job_questions jq
set state = 'running', owner = :owner, attempts = attempts + 1,
    lease_until = now() + make_interval(secs => :lease), updated_at = now()
from questions q, jobs j
where jq.job_id = :job_id and jq.question_id = :question_id and jq.state in ('queued', 'pending')
  and q.id = jq.question_id and j.id = jq.job_id and j.state in ('filling', 'running')
returning q.question, q.gold, q.domain, jq.attempts,
    (select coalesce(array_agg(t.sample_index), '{}') from traces t
     where t.job_id = jq.job_id and t.question_id = jq.question_id) as have

-- name: renew
update job_questions set lease_until = now() + make_interval(secs => :lease)
where owner = :owner and state = 'running'
  and (job_id, question_id) in (select * from unnest(cast(:job_ids as bigint[]), cast(:question_ids as bigint[])))

-- name: insert_trace
insert into traces (job_id, question_id, variant, sample_index, prompt_hash, text, reasoning, answer, answer_form, steps,
                    tokens_in, tokens_out, finish_reason, latency_seconds, worker)
values (:job_id, :question_id, :variant, :sample_index, :prompt_hash, :text, :reasoning, :answer, :answer_form,
        cast(:steps as jsonb), :tokens_in, :tokens_out, :finish_reason, :latency_seconds, :worker)
on conflict do nothing

-- name: generated
-- running -> generated, once every sample is there. Whoever wrote them: paid work counts even from a worker that was
-- given up.
update job_questions jq
set state = 'generated', owner = null, attempts = 0, last_error = null,
    lease_until = now() + make_interval(secs => :lease), updated_at = now()
where job_id = :job_id and question_id = :question_id and state in ('pending', 'queued', 'running')
  and (select count(*) from traces t where t.job_id = jq.job_id and t.question_id = jq.question_id)
      >= (select samples from jobs where id = jq.job_id)

-- name: release
-- running -> pending, or failed after too many attempts; only by the claim's owner. A visit that does not count never
-- fails a question.
update job_questions
set state = case when (:counts and attempts >= :max_attempts) or :permanent then 'failed' else 'pending' end,
    owner = null, lease_until = null, last_error = :error, updated_at = now(),
    attempts = case when :counts then attempts else greatest(attempts - 1, 0) end
where job_id = :job_id and question_id = :question_id and state = 'running' and owner = :owner
returning state

-- name: unverified
select t.id, t.text, t.reasoning, t.answer, t.answer_form, t.steps, t.finish_reason, q.question, q.gold, q.kind
from traces t join questions q on q.id = t.question_id join jobs j on j.id = t.job_id
where t.job_id = :job_id and t.question_id = :question_id
  and not exists (select from verdicts v where v.trace_id = t.id and v.verifier = j.verifier)
order by t.sample_index

-- name: insert_verdict
insert into verdicts (trace_id, verifier, correct, proof, kind, majority, margin, faithfulness, coherence,
                      equations_checked, equations_false, steps, first_error, ungrounded, concludes,
                      signals, findings, accepted, error, seconds)
values (:trace_id, :verifier, :correct, :proof, :kind, :majority, :margin, :faithfulness, :coherence,
        :equations_checked, :equations_false, :steps, :first_error, :ungrounded, :concludes,
        cast(:signals as jsonb), cast(:findings as jsonb), :accepted, :error, :seconds)
on conflict do nothing

-- name: not_verified
-- generated stays generated: the feeder nudges again when the lease is over, perhaps a worker that can verify it.
update job_questions set last_error = :error, updated_at = now()
where job_id = :job_id and question_id = :question_id and state = 'generated'

-- name: job_canaries
select name, attack, plain, attacked, fooled from canaries where job_id = :job_id order by attack

-- name: insert_canary
insert into canaries (job_id, name, attack, plain, attacked, fooled)
values (:job_id, :name, :attack, :plain, :attacked, :fooled)
on conflict do nothing

-- name: settle
-- generated -> done, when every trace has its verdict.
update job_questions jq set state = 'done', lease_until = null, last_error = null, updated_at = now()
where job_id = :job_id and question_id = :question_id and state = 'generated'
  and not exists (
      select from traces t
      where t.job_id = jq.job_id and t.question_id = jq.question_id
        and not exists (select from verdicts v join jobs j on j.id = t.job_id
                        where v.trace_id = t.id and v.verifier = j.verifier))

-- name: set_job_state
update jobs set state = cast(:state as text), finished_at = case when cast(:state as text) = 'cancelled' then now() end
where name = :name and state = any(:allowed)
returning id

-- name: retry_failed
update job_questions set state = 'pending', attempts = 0, updated_at = now()
where job_id = :job_id and state = 'failed'

-- name: job_errors
select count(*) as questions, last_error from job_questions
where job_id = :job_id and last_error is not null
group by last_error order by 1 desc limit 20
