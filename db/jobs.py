"""The settings of a job: stored when it opens, and read again to repeat it with another model."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from sqlalchemy import Connection

from db.queries import Q
from tracemill.errors import UsageError
from tracemill.policy import MEASURED, Policy
from tracemill.prompts import DOMAINS, Prompt
from tracemill.sampling import Sampling

#: The prompts for a question of one domain: variant -> call -> template, both in order.
Chains = Mapping[str, Mapping[str, Prompt]]


@dataclass(frozen=True)
class JobSpec:
    """The specification of a job: model, method, sampling and policy, under a name."""

    name: str
    purpose: Literal["teach", "evaluate", "round"]
    model: str
    method: str
    #: By domain (`tracemill.prompts.DOMAINS`).
    prompts: Mapping[str, Chains]
    #: Number of samples for each question and variant of the method.
    samples: int
    sampling: Sampling
    policy: Policy
    #: The source of the questions, for people.
    source: str
    #: How it is read: `map`, `domain`, `dataset`; None if it is another job.
    source_options: Mapping[str, Any] | None = None
    round_id: int | None = None
    ask_as: str | None = None
    from_job_id: int | None = None
    #: It takes what the job `from_job_id` fails.
    escalates: bool = False
    #: Its traces are those of `from_job_id`, with its own model's log-probabilities of their tokens or of their text.
    scores: Literal["tokens", "text"] | None = None
    negative: bool = False
    #: Adaptive sampling. `enough`: accepted traces that finish a question. `batch`: traces to request at a time.
    #: `give_up`: least chance of reaching `enough`, below which a question ends. None, None, 0: all samples at once.
    enough: int | None = None
    batch: int | None = None
    give_up: float = 0.0
    #: The largest cost, and its unit.
    budget: float | None = field(default=None, compare=False)
    budget_unit: Literal["tokens", "money"] | None = None
    priority: int = field(default=0, compare=False)

    @property
    def most(self) -> int:
        """The largest number of traces for a question."""
        return self.samples * len(next(iter(self.prompts.values())))


def one_prompt(prompt: Prompt) -> dict[str, Chains]:
    """The prompts of a job with the same single prompt for all domains."""
    return {domain: {"": {"answer": prompt}} for domain in DOMAINS}


def open_job(connection: Connection, spec: JobSpec) -> int:
    """Open the job in state `filling`, or find the job with this name and the same settings. Returns its id.

    Raises UsageError with the difference if the name belongs to a job with other settings, or if the job is cancelled.
    """
    row = {
        "name": spec.name,
        "purpose": spec.purpose,
        "model": spec.model,
        "round_id": spec.round_id,
        "method": spec.method,
        "ask_as": spec.ask_as,
        "from_job_id": spec.from_job_id,
        "escalates": spec.escalates,
        "scores": spec.scores,
        "negative": spec.negative,
        "samples": spec.samples,
        "most": spec.most,
        "batch": min(spec.batch or spec.most, spec.most),
        "enough": spec.enough,
        "give_up": spec.give_up,
        "budget": spec.budget,
        "budget_unit": spec.budget_unit,
        "sampling": json.dumps(spec.sampling.as_json()),
        "policy": spec.policy.model_dump_json(),
        "verifier": spec.policy.verifier,
        "source": spec.source,
        "source_options": None if spec.source_options is None else json.dumps(spec.source_options),
        "priority": spec.priority,
    }
    prompts = list(_prompt_rows(spec))
    new = connection.execute(Q["insert_job"], row).scalar()
    if new is not None:
        distinct = {p.hash: p for _, p in prompts}.values()
        connection.execute(Q["insert_prompt"], [{"hash": p.hash, "messages": json.dumps(p.messages)} for p in distinct])
        connection.execute(Q["insert_job_prompt"], [key | {"job_id": new, "prompt_hash": p.hash} for key, p in prompts])
        return int(new)
    known = dict(connection.execute(Q["job_by_name"], {"name": spec.name}).mappings().one())
    if known["state"] == "cancelled":
        raise cancelled(spec.name)
    if known["state"] == "deleting":
        raise UsageError(f"job '{spec.name}' is being deleted: `tracemill jobs delete {spec.name}` completes that")
    # The calibration's part of the policy was fixed when the job was opened.
    known["policy"] = policy = Policy.model_validate(known["policy"])
    # A job of an older release lacks newer keys. They have their defaults.
    known["sampling"] = Sampling.from_json(known["sampling"]).as_json()
    stored = connection.execute(Q["job_prompts"], {"job_id": known["id"]}).mappings()
    known["prompts"] = {(p["domain"], p["variant"], p["call"], p["prompt_hash"]) for p in stored}
    options = known["source_options"] or spec.source_options or {}  # a job of an older release has none
    known |= options
    requested = row | {
        **(spec.source_options or options),
        "sampling": spec.sampling.as_json(),
        "policy": spec.policy.model_copy(update={name: getattr(policy, name) for name in MEASURED}),
        "prompts": {(key["domain"], key["variant"], key["call"], p.hash) for key, p in prompts},
    }
    for column in ("source", *options, *SAME_IN_A_RESUMED_JOB, "prompts"):
        if known[column] != requested[column]:
            difference = "prompt" if column == "prompts" else f"{column}: {known[column]!r}, not {requested[column]!r}"
            raise UsageError(
                f"job '{spec.name}' exists with other settings ({difference}). "
                "Give the new job another --name, or repeat the first command to resume it."
            )
    return int(known["id"])


def cancelled(name: str) -> UsageError:
    """The error of adding questions to a cancelled job."""
    return UsageError(
        f"job '{name}' is cancelled: its traces are kept, and it takes no questions. To go on, repeat the command with "
        "another --name"
    )


def stored_job(connection: Connection, name: str) -> JobSpec | None:
    """The settings of the job of that name when it was opened; None if there is no such job."""
    row = connection.execute(Q["job_by_name"], {"name": name}).mappings().one_or_none()
    if row is None:
        return None
    prompts: dict[str, dict[str, dict[str, Prompt]]] = {}
    for prompt in connection.execute(Q["job_prompts"], {"job_id": row["id"]}):
        calls = prompts.setdefault(prompt.domain, {}).setdefault(prompt.variant, {})
        calls[prompt.call] = Prompt(tuple(prompt.messages))
    columns: dict[str, Any] = {field.name: row[field.name] for field in fields(JobSpec) if field.name in row}
    columns["sampling"] = Sampling.from_json(row["sampling"])
    columns["policy"] = Policy.model_validate(row["policy"])
    return JobSpec(prompts=prompts, **columns)


#: Compared in this order, after the source and its options: another source explains all other differences.
SAME_IN_A_RESUMED_JOB = (
    *(
        "purpose",
        "model",
        "round_id",
        "method",
        "ask_as",
        "from_job_id",
        "escalates",
        "scores",
        "negative",
        "samples",
        "most",
        "batch",
        "enough",
    ),
    *("budget_unit", "sampling", "policy"),
)


def _prompt_rows(spec: JobSpec) -> Iterator[tuple[dict[str, Any], Prompt]]:
    """(key of `job_prompts`, prompt) for each domain, variant and call."""
    for domain, chains in spec.prompts.items():
        for variant_number, (variant, chain) in enumerate(chains.items()):
            for call_number, (call, prompt) in enumerate(chain.items()):
                yield (
                    {
                        "domain": domain,
                        "variant_place": variant_number,
                        "call_place": call_number,
                        "variant": variant,
                        "call": call,
                    },
                    prompt,
                )
