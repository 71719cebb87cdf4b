"""Before and after: the student's evaluation jobs are repeated with the adapter, and each job becomes one row.

Evaluating is ordinary work: the job is opened here, the feeder and the workers do the rest, this process only waits.
"""

from typing import Any

from sqlalchemy import Connection

from db.jobs import JobSpec, open_job
from db.queries import Q
from tracemill.errors import TracemillError
from tracemill.policy import Policy
from tracemill.prompts import Prompt
from tracemill.statistics import share
from trainer.spec import RoundSpec


def advance(connection: Connection, round_id: int, spec: RoundSpec) -> bool:
    """Open what can be opened; when all jobs are done, write the evaluations and return True.

    May be called any number of times. Raises TracemillError when a job was cancelled.
    """
    before = jobs_by_names(connection, spec.evaluate.jobs)
    after = jobs_by_names(connection, [repeated(spec, name) for name in before])
    for job in before.values():
        known = after.get(repeated(spec, job["name"]))
        # While a job is filling, its questions are not all there to be copied.
        if job["state"] != "filling" and (known is None or known["round_id"] != round_id):
            _repeat(connection, round_id, spec, job)
    for job in (*before.values(), *after.values()):
        if job["state"] == "cancelled":
            raise TracemillError(
                f"round '{spec.name}': evaluation job '{job['name']}' was cancelled, so there is nothing to compare. "
                "Evaluate with another job, in a round of another name."
            )
    if len(after) < len(before) or any(job["state"] != "done" for job in (*before.values(), *after.values())):
        return False
    for stage, jobs in (("before", before), ("after", after)):
        for job in jobs.values():
            _record(connection, round_id, stage, int(job["id"]))
    return True


def jobs_by_names(connection: Connection, names: list[str]) -> dict[str, dict[str, Any]]:
    """The rows of `jobs` with these names, in the order of the names."""
    rows = connection.execute(Q["jobs_by_names"], {"names": names}).mappings()
    found = {row["name"]: dict(row) for row in rows}
    return {name: found[name] for name in names if name in found}


def repeated(spec: RoundSpec, job: str) -> str:
    """The name of an evaluation job's repetition with the round's adapter."""
    return f"{spec.name}/{job}"


def _repeat(connection: Connection, round_id: int, spec: RoundSpec, job: dict[str, Any]) -> None:
    prompts: dict[str, dict[str, dict[str, Prompt]]] = {}
    for row in connection.execute(Q["job_prompts"], {"job_id": job["id"]}):
        prompts.setdefault(row.domain, {}).setdefault(row.variant, {})[row.call] = Prompt(tuple(row.messages))
    new = JobSpec(
        name=repeated(spec, job["name"]),
        purpose="evaluate",
        model=job["model"],
        method=job["method"],
        prompts=prompts,
        ask_as=job["ask_as"],
        samples=job["samples"],
        enough=job["enough"],
        batch=job["batch"],
        give_up=job["give_up"],
        sampling=job["sampling"],
        policy=Policy.model_validate(job["policy"]),
        source=job["source"],
        round_id=round_id,
        priority=job["priority"],
    )
    job_id = open_job(connection, new)
    every = {"job_id": job_id, "from_job_id": job["id"], "accepted": None, "most": None}
    connection.execute(Q["copy_job_questions"], every)
    connection.execute(Q["job_filled"], {"job_id": job_id})


def _record(connection: Connection, round_id: int, stage: str, job_id: int) -> None:
    counts = connection.execute(Q["evaluation_counts"], {"job_id": job_id}).mappings().one()
    if counts["questions"] == 0:
        raise TracemillError(f"evaluation job {job_id} has no questions, so it measured nothing")
    found = share(counts["correct"], counts["questions"])
    row = {"round_id": round_id, "job_id": job_id, "stage": stage, **counts}
    connection.execute(Q["insert_evaluation"], {**row, "accuracy": found.value, "low": found.low, "high": found.high})
