-- The ledger: one row a claim, so that a repeated transaction pays once. Its sum is in `jobs.spent`.

-- name: pay
-- The real cost of a claim that was lost replaces its reservation. Returns the difference.
insert into ledger (claim_id, job_id, payee, tokens_in, tokens_out, cost, spent)
select claim_id, job_id, payee, tokens_in, tokens_out, cost, spent
from jsonb_to_recordset(cast(:rows as jsonb)) as row (
    claim_id uuid, job_id bigint, payee text, tokens_in bigint, tokens_out bigint, cost float8, spent float8)
on conflict (claim_id) do update
set is_lost = false, tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out, cost = excluded.cost,
    spent = excluded.spent, replaced = ledger.spent
where ledger.is_lost
returning job_id, spent - replaced as difference

-- name: spend
update jobs set spent = spent + :spent where id = :job_id

-- name: charge_lost
-- The reservations of claims whose requests are under way while their worker ends. Returns them.
insert into ledger (claim_id, job_id, payee, is_lost, spent)
select claim_id, job_id, 'teacher', true, reserved from job_questions
where state = 'running' and reserved > 0
  and (job_id, question_id, claim_id) in (
    select * from unnest(cast(:job_ids as bigint[]), cast(:question_ids as bigint[]), cast(:claim_ids as uuid[])))
on conflict do nothing
returning job_id, spent as difference
