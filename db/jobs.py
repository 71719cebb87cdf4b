"""Opening a job: what enqueue does for a new one, and the trainer when it repeats an evaluation with an adapter."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection

from db.queries import Q
from tracemill.errors import UsageError
from tracemill.policy import Policy
from tracemill.prompts import Prompt


@dataclass(frozen=True)
class JobSpec:
    """Questions × model × method × sampling × policy, under a name."""

    name: str
    purpose: Literal["teach", "evaluate"]
    model: str
    method: str
    prompt: Prompt
    samples: int
    #: temperature, top_p, max_tokens, stop (`workers.engines.Sampling`).
    sampling: dict[str, Any]
    policy: Policy
    #: Where the questions came from, for people.
    source: str
    round_id: int | None = None
    priority: int = field(default=0, compare=False)


def open_job(connection: Connection, spec: JobSpec) -> int:
    """Open the job, state `filling`, or find the one of this name that was opened with the same settings; its id.

    Raises UsageError naming the difference when the name belongs to a job with other settings.
    """
    connection.execute(Q["insert_prompt"], {"hash": spec.prompt.hash, "messages": json.dumps(spec.prompt.messages)})
    row = {
        "name": spec.name,
        "purpose": spec.purpose,
        "model": spec.model,
        "round_id": spec.round_id,
        "method": spec.method,
        "prompt_hash": spec.prompt.hash,
        "samples": spec.samples,
        "sampling": json.dumps(spec.sampling),
        "policy": spec.policy.model_dump_json(),
        "verifier": spec.policy.verifier,
        "source": spec.source,
        "priority": spec.priority,
    }
    new = connection.execute(Q["insert_job"], row).scalar()
    if new is not None:
        return int(new)
    known = dict(connection.execute(Q["job_by_name"], {"name": spec.name}).mappings().one())
    # How informative the judge is was settled when the job was opened.
    known["policy"] = policy = Policy.model_validate(known["policy"])
    wanted = row | {
        "sampling": spec.sampling,
        "policy": spec.policy.model_copy(update={"uninformative": policy.uninformative}),
    }
    for column in ("purpose", "model", "round_id", "method", "prompt_hash", "samples", "sampling", "policy", "source"):
        if known[column] != wanted[column]:
            raise UsageError(
                f"job '{spec.name}' exists with another {column}: {known[column]!r}, not {wanted[column]!r}. "
                "Give the new job another --name, or repeat the first command to resume it."
            )
    return int(known["id"])
