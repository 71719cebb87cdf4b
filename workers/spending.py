"""Budgets: the reservation before a visit, and the payment after it, in the ledger of the job."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import Connection, Row

from db.queries import Q
from tracemill.engines.usage import Usage
from tracemill.errors import TracemillError
from tracemill.settings import model
from workers.job import WorkerJob
from workers.visit import Visit, cost_limit, token_limit

#: A row of the ledger.
Payment: TypeAlias = dict[str, Any]


class Shortage(NamedTuple):
    """The missing traces of a question, and the lengths of the texts that its prompts quote: a row of `lock_job`."""

    question_bytes: int
    gold_bytes: int
    trace_bytes: int
    missing: int


def reserve(job: WorkerJob, shortage: Shortage) -> float:
    """The highest cost of a visit, in the unit of the job's budget."""
    question, gold, trace, missing = shortage
    slot_bytes = {"question": question, "gold": gold, "trace": trace}
    alias = model(job.model)
    longest = job.sampling.max_tokens or alias.context
    if longest is None:  # the alias had a context when the job was opened
        raise TracemillError(f"a budget needs the longest answer, and the context of model {job.model} is not known")
    tokens = max(token_limit(chains, missing, slot_bytes, longest) for chains in job.prompts.values())
    return tokens if job.budget_unit == "tokens" else cost_limit(tokens, alias)


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
        _spend(connection, connection.execute(Q["pay"], {"rows": json.dumps(rows)}))


def charge_lost(connection: Connection, keys: Mapping[str, Any]) -> None:
    """Charge the reservations of claims whose requests this worker abandons: the server may have been paid."""
    if keys["claim_ids"]:
        _spend(connection, connection.execute(Q["charge_lost"], keys))


def _spend(connection: Connection, rows: Iterable[Row[Any]]) -> None:
    spent: dict[int, float] = {}
    for row in rows:
        spent[row.job_id] = spent.get(row.job_id, 0.0) + row.difference
    for job_id, difference in sorted(spent.items()):
        if difference:
            connection.execute(Q["spend"], {"job_id": job_id, "spent": difference})
