"""Run single named statements of `db/sql`, as the factory's processes do."""

import json
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from sqlalchemy import Connection

from db.queries import Q
from db.session import transaction
from tests.integration.factory import change, rows

#: The states of a question in order.
STATES = ("pending", "queued", "running", "generated", "done", "failed")


def execute(name: str, *rows: dict[str, Any], **values: Any) -> int:
    """Run a statement in a transaction, once or for each row; return the number of changed rows."""
    with transaction() as connection:
        return count_changed(connection, name, *rows, **values)


def count_changed(connection: Connection, name: str, *rows: dict[str, Any], **values: Any) -> int:
    """Run a statement in the caller's transaction; return the number of changed rows."""
    return connection.execute(Q[name], [values | row for row in rows] if rows else values).rowcount


def fetch(name: str, **values: Any) -> list[Any]:
    """Run a statement in a transaction; return its rows."""
    with transaction() as connection:
        return list(connection.execute(Q[name], values).all())


def claim_id(name: str) -> UUID:
    """The id of the claim of that name."""
    return uuid5(NAMESPACE_OID, name)


def keys(job_id: int, *question_ids: int, claim: str = "worker", reserved: float = 0) -> dict[str, Any]:
    """The keys of claims on questions of a job, and what they reserve."""
    n = len(question_ids)
    ids = {"job_ids": [job_id] * n, "question_ids": list(question_ids), "claim_ids": [claim_id(claim)] * n}
    return ids | {"reserved": [reserved] * n, "is_covered": False}


def claim(job_id: int, *question_ids: int, owner: str = "worker", reserved: float = 0) -> list[int]:
    """Claim questions as the live worker `owner`, with a claim of that name; return the claimed ones."""
    alive(owner)
    claimed = fetch("claim", **keys(job_id, *question_ids, claim=owner, reserved=reserved), owner=owner)
    return sorted(row.question_id for row in claimed)


def beat(process: str, **values: Any) -> None:
    """One heartbeat of a process."""
    row = {"kind": "worker", "host": "elsewhere", "queues": "[]", "concurrency": 0, "leads": False, "trouble": None}
    with transaction() as connection:
        connection.execute(Q["beat"], row | {"name": process, "is_hidden": True} | values)


def alive(process: str, seconds_ago: float = -3600) -> None:
    """Store a heartbeat of a process; by default it lasts for an hour."""
    beat(process)
    change("update processes set seen_at = clock_timestamp() - make_interval(secs => :seconds) where name = :name",
           name=process, seconds=seconds_ago)  # fmt: skip


def spread(job_id: int) -> dict[int, str]:
    """Put the six questions of a job into one state each, owned by `worker` with an expired lease."""
    change(
        "update job_questions q set state = (cast(:states as text[]))[n.number], attempts = 1, "
        "owner = 'worker', claim_id = :claim_id, "
        "wanted = 0, reserved = 5, lease_until = now() - interval '1 minute' from (select question_id, "
        "row_number() over (order by question_id) as number from job_questions where job_id = :job) n "
        "where q.job_id = :job and q.question_id = n.question_id",
        states=list(STATES),
        claim_id=claim_id("worker"),
        job=job_id,
    )
    return state_of(job_id)


def versions() -> dict[tuple[int, int], str]:
    """The version of each row of `job_questions`; it changes with any update of the row."""
    result = rows("select job_id, question_id, cast(ctid as text) as version from job_questions")
    return {(row.job_id, row.question_id): row.version for row in result}


def state_of(job_id: int) -> dict[int, str]:
    """The state of each question of a job."""
    result = rows("select question_id, state from job_questions where job_id = :job", job=job_id)
    return {row.question_id: row.state for row in result}


def insert_trace(job_id: int, question_id: int, *, index: int = 0, text: str = "The answer is 2.",
                 worker: str = "worker", cost: float = 0.0) -> int:  # fmt: skip
    """Store a trace as a worker does; return the number of new rows."""
    row = {
        "job_id": job_id,
        "question_id": question_id,
        "variant": "",
        "sample_index": index,
        "prompt_hash": fetch("job_prompts", job_id=job_id)[0].prompt_hash,
        "text": text,
        "reasoning": text,
        "steps": [],
        "calls": [],
        "tokens_in": 5,
        "tokens_out": 5,
        "thinking_tokens": 0,
        "latency_seconds": 0.1,
        "engine_seconds": 0.1,
        "cost": cost,
        "worker": worker,
    }
    return execute("insert_traces", rows=json.dumps([row]))
