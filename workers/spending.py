"""Budgets: the reservation before a visit, and the payment after it, in the ledger of the job.

A process reserves out of its slice of the budget, so that the fleet does not wait for one lock at each claim. The lock
of the job is for taking a slice, and for the last claims, which the rest of the budget allows one after another.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import Connection

from db.queries import Q
from tracemill.engines.usage import Usage
from tracemill.errors import TracemillError
from tracemill.settings import model
from workers.job import WorkerJob
from workers.visit import Visit, cost_limit, token_limit

#: A row of the ledger.
Payment: TypeAlias = dict[str, Any]

#: Size of a slice, in reservations like the one that needs it, and its largest share of what is left of the budget.
SLICE_CLAIMS, SLICE_SHARE = 64, 0.01


class Shortage(NamedTuple):
    """The missing traces of a question, and the lengths of the texts that its prompts quote: a row of `shortages`."""

    question_id: int
    question_bytes: int
    gold_bytes: int
    trace_bytes: int
    missing: int


def reserve(job: WorkerJob, shortage: Shortage) -> float:
    """The highest cost of a visit, in the unit of the job's budget."""
    _, question, gold, trace, missing = shortage
    slot_bytes = {"question": question, "gold": gold, "trace": trace}
    alias = model(job.model)
    longest = job.sampling.max_tokens or alias.context
    if longest is None:  # the alias had a context when the job was opened
        raise TracemillError(f"a budget needs the longest answer, and the context of model {job.model} is not known")
    tokens = max(token_limit(chains, missing, slot_bytes, longest) for chains in job.prompts.values())
    return tokens if job.budget_unit == "tokens" else cost_limit(tokens, alias)


def take_from_slice(connection: Connection, job: WorkerJob, owner: str, reserved: float) -> bool:
    """Take a reservation out of this process's slice of the budget, or out of a new one.

    False if the budget may not suffice. No process has a slice then, and this one has locked the job.
    """
    key = {"job_id": job.id, "owner": owner}
    # A judge spends without a reservation, so only the exact sum shows when the budget is reached.
    has_slices = job.policy.judge is None
    if has_slices and connection.execute(Q["spend_slice"], key | {"reserved": reserved}).rowcount:
        return True
    connection.execute(Q["lock_job"], key)
    left = connection.execute(Q["budget_left"], key).scalar_one()
    if not has_slices or left < reserved:
        connection.execute(Q["end_slices"], key)
        return False
    size = min(SLICE_CLAIMS * reserved, SLICE_SHARE * left)
    if size > reserved:
        connection.execute(Q["take_slice"], key | {"remainder": size - reserved})
    return True


def payment(claim_id: UUID, job: WorkerJob, visit: Visit) -> Payment:
    """The cost of a visit."""
    return _payment(claim_id, job, "teacher", visit.usage, visit.cost)


def judge_payment(claim_id: UUID, job: WorkerJob, usage: Usage, alias: str) -> Payment:
    """The cost of a judge's replies."""
    return _payment(claim_id, job, "judge", usage, usage.cost(model(alias)))


def _payment(claim_id: UUID, job: WorkerJob, payee: str, usage: Usage, cost: float) -> Payment:
    spent = {"tokens": usage.tokens, "money": cost, None: 0}[job.budget_unit]
    tokens = {"tokens_in": usage.tokens_in, "tokens_out": usage.tokens_out}
    return {"claim_id": str(claim_id), "job_id": job.id, "payee": payee, "cost": cost, "spent": spent} | tokens


def pay(connection: Connection, payments: Sequence[Payment]) -> None:
    """Enter payments in the ledger, and add them to what their jobs have spent. A repeated payment changes nothing."""
    rows = [row for row in payments if row["tokens_in"] or row["tokens_out"]]
    if rows:
        connection.execute(Q["pay"], {"rows": json.dumps(rows)})


def charge_lost(connection: Connection, keys: Mapping[str, Any]) -> None:
    """Charge the reservations of claims whose requests this worker abandons: the server may have been paid."""
    if keys["claim_ids"]:
        connection.execute(Q["charge_lost"], keys)
