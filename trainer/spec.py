"""ROUND.toml: what one round trains on, how it learns, and which evaluations are repeated with its adapter."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from tracemill.errors import UsageError
from tracemill.sections import Section
from trainer.ask_spec import Columns, TeachSpec
from trainer.fit_spec import FitSpec
from trainer.select.spec import CurriculumSpec, SelectSpec


class EvaluateSpec(Section):
    """What is measured before and after: jobs that were enqueued, benchmarks that the round enqueues, or both."""

    #: Names of `evaluate` jobs of the student without an adapter. Each is repeated with the adapter, and the student is
    #: trained on the prompt that they ask with, so all of them must ask with the same one.
    jobs: list[str] = Field(default=[])
    #: gsm8k, math-500, svamp, or any SOURCE. Rounds that ask the same of a benchmark share its job.
    benchmarks: list[str] = Field(default=[])
    #: Which of their columns are ours, as in `--map`; those that are known by name need none.
    map: Columns = Field(default={})
    #: How the benchmarks are asked: the domain's way of asking, answers a question, …
    domain: Literal["math", "code", "legal", "medical", "general"] = "math"
    samples: int = Field(default=1, ge=1, le=1024)
    temperature: float = Field(default=0.0, ge=0, le=10)
    #: … the longest answer in tokens, and how many of the first questions; 0: all.
    max_tokens: int = Field(default=512, ge=1)
    limit: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _measures_something(self) -> "EvaluateSpec":
        if not self.jobs and not self.benchmarks:
            raise ValueError('name what is measured: jobs = ["…"], or benchmarks = ["gsm8k"]')
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"{self.samples} samples at temperature 0 are {self.samples} times the same: set temperature"
            )
        return self


class RoundSpec(Section):
    """One round."""

    #: The round's name, and its folder's.
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    #: Model alias of the model to train.
    student: str = "student"
    #: Jobs that are opened, and waited for, before the round is queued; by default `select.jobs` are these.
    teach: list[TeachSpec] = Field(default=[])
    select: SelectSpec
    #: Absent: one stage of fit.epochs.
    curriculum: CurriculumSpec | None = None
    fit: FitSpec = FitSpec()
    evaluate: EvaluateSpec

    @model_validator(mode="before")
    @classmethod
    def _learns_from_what_it_teaches(cls, given: Any) -> Any:
        match given:
            case {"teach": [_, *_] as taught, **rest}:
                select = rest.get("select", {})
                names = [job.get("name") for job in taught if isinstance(job, dict)]
                if isinstance(select, dict) and "jobs" not in select:
                    return given | {"select": select | {"jobs": names}}
        return given


def load(path: Path, changes: Sequence[str] = ()) -> RoundSpec:
    """Read a ROUND.toml, with KEY=VALUE `changes`. Raises UsageError naming the key and what is wrong with it."""
    return parse(read(path, "round", changes), str(path))


def read(path: Path, what: str, changes: Sequence[str] = ()) -> dict[str, Any]:
    """A TOML file with `changes`, each KEY=VALUE, like `fit.epochs=1` or `teach.0.source=few.jsonl`.

    A VALUE is TOML, or text where it is none. Raises UsageError; `what` says what the file is.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # not there, not UTF-8, not TOML
        raise UsageError(f"cannot read the {what} file {path}: {error}") from None
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise UsageError(f"--set {change}: write KEY=VALUE, like fit.epochs=1")
        _change(content, key.strip().split("."), _value(value), change)
    return content


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _change(content: Any, key: list[str], value: Any, change: str) -> None:
    first, *rest = key
    try:
        place: Any = int(first) if isinstance(content, list) else first
        if not rest:
            content[place] = value
            return
        inner = content.setdefault(place, {}) if isinstance(content, dict) else content[place]
    except (AttributeError, IndexError, TypeError, ValueError):
        raise UsageError(f"--set {change}: the file has no such place") from None
    _change(inner, rest, value, change)


def parse(content: dict[str, Any], where: str) -> RoundSpec:
    """Check a round's content; `where` names it in the UsageError that a wrong key raises."""
    try:
        return RoundSpec.model_validate(content)
    except ValidationError as error:
        problems = (f"{key_of(problem['loc'])}: {problem['msg']}" for problem in error.errors())
        raise UsageError(f"{where}: " + "; ".join(problems)) from None


def key_of(location: tuple[int | str, ...]) -> str:
    """A pydantic error's place as people write it: `select.jobs`."""
    return ".".join(str(part) for part in location)
