"""The data of a job that an archive keeps besides its traces: settings, prompts, models, results and uses."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection

from db.queries import Q
from db.schema import revision_of
from tracemill.errors import UsageError

#: The states of jobs that can be archived.
ARCHIVABLE = ("cancelled", "done")
#: Figures of `job_progress` that tell whether a job is as it was when it was archived.
FIGURES = ("job_id", "created_at", "traces", "verified", "correct", "accepted")


def state(connection: Connection, job: Mapping[str, Any]) -> dict[str, Any]:
    """The figures and the uses of a job (a row of `job_progress`). Raises UsageError if it has not ended.

    A cancelled job has ended when no worker holds questions of it.
    """
    name = job["job"]
    if job["state"] not in ARCHIVABLE:
        end = "" if job["state"] == "deleting" else f": end it first with `tracemill jobs cancel {name}`"
        raise UsageError(f"job {name} is {job['state']}{end}")
    if connection.execute(Q["running_questions"], {"job_id": job["job_id"]}).scalar_one():
        raise UsageError(f"workers still hold questions of job {name}: try again in a few seconds")
    if not job["traces"]:
        raise UsageError(f"job {name} has no traces: there is nothing to archive")
    uses = connection.execute(Q["uses_of_job"], {"job_id": job["job_id"], "name": name}).mappings()
    return {figure: job[figure] for figure in FIGURES} | {"uses": [dict(use) for use in uses]}


def question_range(connection: Connection, job_id: int) -> tuple[int, int]:
    """The ids of the job's questions: above the first number, up to the second."""
    row = connection.execute(Q["question_range"], {"job_id": job_id}).one()
    return row.after, row.last


def record(connection: Connection, job: Mapping[str, Any], models: Collection[str]) -> dict[str, Any]:
    """All that describes a job, for its manifest. `models` are the hashes of the settings that answered."""
    key = {"job_id": job["job_id"]}

    def rows(query: str, **values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in connection.execute(Q[query], key | values).mappings()]

    return {
        "schema": revision_of(connection),
        "job": rows("job_by_name", name=job["job"])[0],
        "progress": dict(job),
        "prompts": rows("job_prompts"),
        "models": rows("models_by_hash", hashes=list(models)),
        "evaluations": rows("evaluations_by_job"),
        "errors": rows("job_errors"),
    }
