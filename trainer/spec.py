"""ROUND.toml: the training set, the fit and the evaluations of one round."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from producer.job_request import tier_names
from tracemill.errors import UsageError, reason_of
from tracemill.sampling import SamplingSettings
from tracemill.sections import Section, apply_changes, key_of
from tracemill.settings import model
from trainer.ask_spec import Columns, TeachSpec
from trainer.fit_spec import FitSpec
from trainer.select.spec import CurriculumSpec, SelectSpec


class EvaluateSpec(SamplingSettings):
    """The evaluations before and after: enqueued jobs, benchmarks that the round enqueues, or both."""

    #: Names of `evaluate` jobs of the student without an adapter. Each is repeated with the adapter. All must use the
    #: same prompt, because the student is trained on it.
    jobs: list[str] = Field(default=[])
    #: gsm8k, math-500, svamp, or any SOURCE. Rounds with the same settings for a benchmark share its job.
    benchmarks: list[str] = Field(default=[])
    #: Column names, ours → the benchmarks', as in `--map`. Benchmarks known by name need none.
    map: Columns = Field(default={})
    #: With fit.tuning = "full": alias of an engine that loads the round's model. Its `model` is the folder that the
    #: round writes, and its worker starts when the fit is done.
    served_by: str | None = None
    #: The domain whose prompt the benchmarks use.
    domain: Literal["math", "code", "legal", "medical", "general"] = "math"
    #: Answers per question.
    samples: int = Field(default=1, ge=1, le=1024)
    #: The number of questions, from the first; 0 means all.
    limit: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _measures_something(self) -> "EvaluateSpec":
        if not self.jobs and not self.benchmarks:
            raise ValueError('name the evaluations: jobs = ["…"], or benchmarks = ["gsm8k"]')
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(f"{self.samples} samples at temperature 0 are all the same: set temperature")
        return self


APART = "what decides must not be what is reported"


def require_apart(dev: EvaluateSpec | None, reported: EvaluateSpec) -> None:
    """Raise ValueError if both name the same job or benchmark."""
    if dev is None:
        return
    shared = {*dev.jobs} & {*reported.jobs}
    if dev.limit == reported.limit:
        shared |= {*dev.benchmarks} & {*reported.benchmarks}
    if shared:
        raise ValueError(f"[dev] and [evaluate] both name {', '.join(sorted(shared))}: {APART}")


class RoundSpec(Section):
    """One round."""

    #: The name of the round and of its folder.
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    #: Alias of the model to train.
    student: str = "student"
    #: The name of another round of this student: the fit continues to train its adapter. Default: a new adapter.
    start: str | None = None
    #: Jobs that are opened and finished before the round is queued. They are the default of `select.jobs`.
    teach: list[TeachSpec] = Field(default=[])
    #: The traces that the round trains on.
    select: SelectSpec
    #: The order of the traces. Default: one stage of fit.epochs.
    curriculum: CurriculumSpec | None = None
    #: The training: its objective and its parameters.
    fit: FitSpec = FitSpec()
    #: The evaluations before and after, which are reported. Choose nothing by them.
    evaluate: EvaluateSpec
    #: The evaluations to choose by, between epochs, settings or rounds. They are measured in the same way, and no
    #: claim of a report counts them. Default: none.
    dev: EvaluateSpec | None = None

    @property
    def measured_jobs(self) -> list[str]:
        """All evaluation jobs of the base model: the reported ones, then those to choose by."""
        return [*self.evaluate.jobs, *self.dev_jobs]

    @property
    def dev_jobs(self) -> list[str]:
        """The evaluation jobs to choose by."""
        return self.dev.jobs if self.dev is not None else []

    @model_validator(mode="after")
    def _dev_and_reported_sets_differ(self) -> "RoundSpec":
        require_apart(self.dev, self.evaluate)
        return self

    @model_validator(mode="before")
    @classmethod
    def _selects_its_teaching_jobs_by_default(cls, given: Any) -> Any:
        match given:
            case {"teach": [_, *_] as taught, **rest}:
                select = rest.get("select", {})
                names = [name for job in taught if isinstance(job, dict) for name in _job_names(job)]
                if isinstance(select, dict) and "jobs" not in select:
                    return given | {"select": select | {"jobs": names}}
        return given


def _job_names(job: dict[str, Any]) -> list[Any]:
    """The names of a teaching job and of its next tiers, before the job is checked."""
    escalate = job.get("escalate")
    return [job.get("name"), *tier_names(str(job.get("name")), escalate if isinstance(escalate, list) else [])]


def load(path: Path, changes: Sequence[str] = ()) -> RoundSpec:
    """Read a ROUND.toml, with KEY=VALUE `changes`. Raises UsageError with each wrong key and its problem."""
    content = read(path, "round", changes)
    if "attempt" in content:
        raise UsageError(f"{path} describes a loop, because it has [attempt]: run `tracemill loop {path}`")
    return parse(content, str(path))


def read(path: Path, kind: str, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Read a TOML file with `changes`, each KEY=VALUE, like `fit.epochs=1` or `teach.0.source=few.jsonl`.

    A VALUE that is not TOML is text. Raises UsageError; its message calls the file a `kind` file.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # missing, not UTF-8, not TOML
        raise UsageError(f"cannot read the {kind} file {path}: {reason_of(error)}") from None
    apply_changes(content, changes, "--set", "fit.epochs=1")
    return content


def parse(content: dict[str, Any], where: str) -> RoundSpec:
    """Check a round's content. Raises UsageError for a wrong key; the message starts with `where`."""
    try:
        return RoundSpec.model_validate(content)
    except ValidationError as error:
        problems = (f"{key_of(problem['loc'])}: {problem['msg']}" for problem in error.errors())
        raise UsageError(f"{where}: " + "; ".join(problems)) from None


def with_row_limit(spec: RoundSpec) -> RoundSpec:
    """The round with a value of `fit.max_tokens`, by default the student's context: it cannot serve longer answers."""
    if spec.fit.max_tokens is not None:
        return spec
    fit = spec.fit.model_copy(update={"max_tokens": model(spec.student).context})
    return spec.model_copy(update={"fit": fit})
