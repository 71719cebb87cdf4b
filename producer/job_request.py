"""The request for a job: flags, TOML files, loops, benchmarks and the demo all build it.

`producer.opening` turns a request into the job's settings (`db.jobs.JobSpec`) and stores its questions.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tracemill.errors import UsageError
from tracemill.methods import Shot
from tracemill.policy import Policy
from tracemill.sampling import SamplingSettings

COLUMNS = ("question", "gold", "domain", "kind", "choices")


@dataclass(frozen=True)
class SourceSpec:
    """The questions of a job."""

    #: A file, glob, `hf:`, `gym:` or `words:` source, a benchmark's name, or `job:NAME[?failed|?accepted|?escalated]`.
    address: str
    #: Column names, ours → the source's.
    mapping: Mapping[str, str] = field(default_factory=dict)
    #: The domain of questions without one.
    domain: str = "math"
    #: None means the source's name.
    dataset: str | None = None
    #: The maximum number of questions; None means all.
    limit: int | None = None

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.dataset or source_name(self.address)

    @property
    def options(self) -> dict[str, Any]:
        """How the source is read. With other options its rows would be other questions."""
        return {"map": dict(self.mapping), "domain": self.domain, "dataset": self.name}


@dataclass(frozen=True)
class Stopping:
    """Adaptive sampling: the rule that ends the sampling of a question."""

    #: Accepted traces at which a question is done.
    enough: int
    #: Traces requested at a time; None means a quarter of all.
    batch: int | None = None
    #: A question is given up when its chance of success falls below this; 0 means never.
    give_up: float = 0.0


@dataclass(frozen=True)
class Budget:
    """The maximum cost of a job."""

    amount: float
    unit: Literal["tokens", "money"]


@dataclass(frozen=True)
class JobRequest:
    """Questions × model × method × sampling × policy, as the user writes them."""

    source: SourceSpec
    #: None means a name made of the dataset, the model and the method.
    name: str | None = None
    purpose: Literal["teach", "evaluate", "round"] = "teach"
    model: str = "teacher"
    #: The round whose adapter answers; None means the model without an adapter.
    round_id: int | None = None
    method: str = "cot"
    #: Worked examples that are shown first.
    shots: Sequence[Shot] = ()
    #: The domain whose prompt all questions use; None means each question's own domain.
    ask_as: str | None = None
    #: Answers per question and variant of the method.
    samples: int = 4
    #: What it says nothing about follows from the model alias and the model itself.
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    #: Likeliest tokens stored at each position; 0 means none.
    logprobs: int = 0
    stopping: Stopping | None = None
    budget: Budget | None = None
    policy: Policy = field(default_factory=Policy)
    priority: int = 0
    #: Aliases of the next tiers: each gets the questions that end without an accepted trace in the tier before.
    escalate: Sequence[str] = ()


def next_tiers(request: JobRequest, name: str) -> list[JobRequest]:
    """The requests of the tiers after the job of that name. They differ only in their model and their questions.

    Raises UsageError if one model has two tiers.
    """
    models = (request.model, *request.escalate)
    if repeated := [alias for alias in models if models.count(alias) > 1]:
        raise UsageError(f"escalate (--escalate): {repeated[0]} has two tiers. Name another model for each tier")
    names = tier_names(name, request.escalate)
    return [
        replace(request, name=own, model=alias, source=SourceSpec(f"job:{before}?escalated"), escalate=())
        for before, own, alias in zip((name, *names), names, request.escalate, strict=False)
    ]


def tier_names(name: str, escalate: Sequence[str]) -> list[str]:
    """The names of the jobs of the next tiers: NAME-tier2, NAME-tier3."""
    return [f"{name}-tier{tier}" for tier in range(2, len(escalate) + 2)]


def stopping_of(enough: int | None, batch: int | None, give_up: float) -> Stopping | None:
    """Build the stopping rule; None means all samples. Raises UsageError for a part without `enough`."""
    if enough is None:
        if batch is not None or give_up:
            raise UsageError("batch and give_up belong to adaptive sampling: set enough (--enough) as well")
        return None
    return Stopping(enough, batch, give_up)


def budget_of(tokens: float | None, money: float | None) -> Budget | None:
    """Build the job's budget; None means no limit. Raises UsageError when both are given."""
    if tokens is not None and money is not None:
        raise UsageError("a job has one budget: tokens (--budget-tokens) or money (--budget-money)")
    if tokens is not None:
        return Budget(tokens, "tokens")
    return None if money is None else Budget(money, "money")


def mapping_of(pairs: Sequence[str], names: Sequence[str] = COLUMNS) -> dict[str, str]:
    """Parse `OURS=THEIRS` pairs into a dictionary. Raises UsageError for anything else."""
    columns: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not equals or ours not in names or not theirs:
            raise UsageError(f"--map {pair}: write OURS=THEIRS with OURS one of {', '.join(names)}")
        columns[ours] = theirs
    return columns


def source_name(address: str) -> str:
    """A short name for a source: a file's stem, a glob's folder and pattern, or a generator's scheme and name."""
    head = address.split("?")[0]
    name = Path(head).name.split(".")[0] if "/" in head or "." in head else head
    if "*" in head or "[" in head:
        name = f"{Path(head).parent.name}-{name}"
    return re.sub("-+", "-", "".join(c if c.isalnum() or c in "-_" else "-" for c in name)).strip("-") or "questions"


def read_shots(path: Path | None) -> tuple[Shot, ...]:
    """Read the worked examples of a JSONL file. Raises UsageError with the number of a wrong line."""
    if path is None:
        return ()
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a JSONL file (--examples)")
    if not path.is_file():
        raise UsageError(f"no such file: {path} (--examples)")
    shots: list[Shot] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            shots.append(Shot(str(row["question"]), str(row["answer"])))
        except (ValueError, KeyError, TypeError):
            raise UsageError(f'{path}:{number}: each line is {{"question": "…", "answer": "…"}}') from None
    return tuple(shots)
