"""A job as a worker needs it. Each process reads it once: only the state and the budget of a job change."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from db.queries import Q
from db.session import transaction
from tracemill.adaptive import Plan
from tracemill.errors import TracemillError, UnknownMethod, UsageError
from tracemill.methods import Call, Method, named
from tracemill.policy import Policy
from tracemill.prompts import Prompt, prompt_domain
from tracemill.sampling import Sampling

#: The variants of a method, each with its chain of calls.
Chains = Mapping[str, tuple[Call, ...]]


@dataclass(frozen=True)
class WorkerJob:
    """The fields of a job that answering and verifying need."""

    id: int
    model: str
    method: str
    #: By domain.
    prompts: Mapping[str, Chains]
    ask_as: str | None
    from_job_id: int | None
    scores: Literal["tokens", "text"] | None
    negative: bool
    plan: Plan
    budget_unit: str | None
    sampling: Sampling
    policy: Policy
    adapter: Path | None

    def chains(self, domain: str) -> Chains:
        """The chains of calls for a question of `domain`."""
        return self.prompts[self.ask_as or prompt_domain(domain)]


@lru_cache(maxsize=256)
def worker_job(job_id: int) -> WorkerJob:
    """The job with this id. Raises TracemillError if there is none, or if its round has no model yet."""
    with transaction() as connection:
        row = connection.execute(Q["job_for_work"], {"job_id": job_id}).mappings().one_or_none()
        calls = connection.execute(Q["job_prompts"], {"job_id": job_id}).all()
    if row is None:
        raise TracemillError(f"no job {job_id} in this database: the message is from another one")
    if row["round_id"] is not None and row["adapter_path"] is None:
        raise TracemillError(f"job {row['name']}: its round has no adapter yet")
    prompts: dict[str, dict[str, tuple[Call, ...]]] = {}
    for domain, variant, call, _, messages in calls:
        chain = prompts.setdefault(domain, {}).setdefault(variant, ())
        prompts[domain][variant] = (*chain, Call(call, Prompt(tuple(messages))))
    return WorkerJob(
        id=row["id"],
        model=row["model"],
        method=row["method"],
        prompts=prompts,
        ask_as=row["ask_as"],
        from_job_id=row["from_job_id"],
        scores=row["scores"],
        negative=row["negative"],
        plan=Plan(max_traces=row["most"], batch=row["batch"], enough=row["enough"], give_up=row["give_up"]),
        budget_unit=row["budget_unit"],
        sampling=Sampling.from_json(row["sampling"]),
        policy=Policy.model_validate(row["policy"]),
        # The engine of a round's whole model has its weights.
        adapter=Path(row["adapter_path"]) if row["adapter_path"] and not row["is_whole_model"] else None,
    )


def method_of(job: WorkerJob, kind: str) -> Method:
    """The method of a job. Raises UnknownMethod in a worker (`kind`: generate or verify) that started without it."""
    try:
        return named(job.method)
    except UsageError:
        raise UnknownMethod(
            f"the {kind} worker on {socket.gethostname()} does not know the method '{job.method}'. Give all workers "
            f"the same settings, then: tracemill restart {kind}"
        ) from None
