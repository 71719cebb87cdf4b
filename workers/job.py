"""A job as a worker sees it: read once a process, because nothing in it but its state ever changes."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from db.queries import Q
from db.session import transaction
from tracemill.errors import TracemillError
from tracemill.policy import Policy
from tracemill.prompts import Prompt
from workers.engines import Sampling


@dataclass(frozen=True)
class WorkerJob:
    """What a worker needs to know of a job to answer and to verify."""

    id: int
    model: str
    method: str
    prompt: Prompt
    samples: int
    sampling: Sampling
    policy: Policy
    adapter: Path | None


@lru_cache(maxsize=256)
def worker_job(job_id: int) -> WorkerJob:
    """The job of that id. Raises TracemillError if there is none, or if its round has no adapter yet."""
    with transaction() as connection:
        row = connection.execute(Q["job_for_work"], {"job_id": job_id}).mappings().one_or_none()
    if row is None:
        raise TracemillError(f"no job {job_id} in this database: the message is from another one")
    if row["round_id"] is not None and row["adapter_path"] is None:
        raise TracemillError(f"job {row['name']}: its round has no adapter yet")
    return WorkerJob(
        id=row["id"],
        model=row["model"],
        method=row["method"],
        prompt=Prompt(tuple(row["messages"])),
        samples=row["samples"],
        sampling=Sampling(**(row["sampling"] | {"stop": tuple(row["sampling"].get("stop", ()))})),
        policy=Policy.model_validate(row["policy"]),
        adapter=Path(row["adapter_path"]) if row["adapter_path"] else None,
    )
