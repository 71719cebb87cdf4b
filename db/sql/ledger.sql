-- The ledger: one row a claim, so that a repeated transaction pays once. `job_counts` has its sums, so that workers who pay
-- do not wait for each other.

-- name: pay
-- The real cost of a claim that was lost replaces its reservation.
with paid as (
    insert into ledger (claim_id, job_id, payee, tokens_in, tokens_out, cost, spent)
    select claim_id, job_id, payee, tokens_in, tokens_out, cost, spent
    from jsonb_to_recordset(cast(:rows as jsonb)) as row (
        claim_id uuid, job_id bigint, payee text, tokens_in bigint, tokens_out bigint, cost float8, spent float8)
    on conflict (claim_id) do update
    set is_lost = false, tokens_in = excluded.tokens_in, tokens_out = excluded.tokens_out, cost = excluded.cost,
        spent = excluded.spent, replaced = ledger.spent
    where ledger.is_lost
    returning job_id, spent - replaced as difference
)
insert into job_counts (job_id, spent) select job_id, sum(difference) from paid group by job_id having sum(difference) <> 0

-- name: charge_lost
-- The reservations of claims whose requests are under way while their worker ends.
with charged as (
    insert into ledger (claim_id, job_id, payee, is_lost, spent)
    select claim_id, job_id, 'teacher', true, reserved from job_questions
    where state = 'running' and reserved > 0
      and (job_id, question_id, claim_id) in (
        select * from unnest(cast(:job_ids as bigint[]), cast(:question_ids as bigint[]), cast(:claim_ids as uuid[])))
    on conflict do nothing
    returning job_id, spent
)
insert into job_counts (job_id, spent) select job_id, sum(spent) from charged group by job_id

-- name: spend_slice
-- Takes a reservation out of the slice of its process, if that holds enough. No other process waits for this.
update budget_slices set remainder = remainder - :reserved
where job_id = :job_id and owner = :owner and remainder >= :reserved

-- name: lock_job
-- One process at a time takes a slice of the budget, or claims the last questions that the budget allows.
select from jobs where id = :job_id for no key update

-- name: budget_left
-- The part of a job's budget that is neither spent nor reserved, nor in a slice.
select j.budget - j.spent
       - (select coalesce(sum(spent), 0) from job_counts where job_id = j.id)
       - (select coalesce(sum(reserved), 0) from job_questions where job_id = j.id and state = 'running')
       - (select coalesce(sum(remainder), 0) from budget_slices where job_id = j.id)
from jobs j where j.id = :job_id

-- name: take_slice
-- A smaller rest of an earlier slice goes back to the budget.
insert into budget_slices (job_id, owner, remainder) values (:job_id, :owner, :remainder)
on conflict (job_id, owner) do update set remainder = excluded.remainder

-- name: end_slices
-- All slices go back to the budget, also those of processes that have ended.
delete from budget_slices where job_id = :job_id
