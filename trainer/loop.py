"""STAR.toml: rounds one after the other, each taught by the model of the round before, and when that ends.

STaR, Zelikman et al. 2022, arXiv:2203.14465: attempt, keep what is right, rationalise what failed, train from the base
on all that was kept, and again with the better model.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from tracemill.errors import UsageError
from tracemill.sections import Section
from trainer.ask_spec import AskSpec
from trainer.fit_spec import FitSpec
from trainer.spec import EvaluateSpec, RoundSpec, key_of, parse, read

#: The plateau of a loop that names none.
PLATEAU = 0.005
APART = "a loop must not end on the figure that it reports"


class RationalizeSpec(Section):
    """How the student is asked again, with the gold answer as a hint, where no attempt was accepted."""

    samples: int = Field(default=4, ge=1, le=1024)
    temperature: float = Field(default=0.7, ge=0, le=10)


class LoopSpec(Section):
    """One loop."""

    #: The loop's name; its rounds are NAME-1, NAME-2, …
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$")
    student: str = "student"
    #: Rounds at most.
    rounds: int = Field(default=4, ge=1, le=99)
    #: The share of right answers on the dev set at which the loop ends. Absent: all rounds run.
    target: float | None = Field(default=None, gt=0, le=1)
    #: The loop ends when a round gains no more than this share over the best before, on the dev set. Absent: PLATEAU
    #: where there is a dev set; -1: it never ends for that.
    plateau: float | None = Field(default=None, ge=-1, le=1)
    #: What the student is asked in every round. Examples are shown to the base model, which does not know the form yet,
    #: and beside every hint; who has learnt from a round is asked as its evaluation asks.
    attempt: AskSpec
    #: Absent: what failed is not asked again.
    rationalize: RationalizeSpec | None = None
    #: [select] and [curriculum] of each round, without `jobs`: a round learns from all attempts so far.
    select: dict[str, Any] = Field(default={})
    curriculum: dict[str, Any] | None = None
    fit: FitSpec = FitSpec()
    #: What is reported. It never decides anything.
    evaluate: EvaluateSpec
    #: Questions that decide when the loop ends, and nothing else. Absent: all rounds run.
    dev: EvaluateSpec | None = None

    @model_validator(mode="after")
    def _ends_on_other_questions_than_it_reports(self) -> "LoopSpec":
        if self.dev is None:
            if self.target is not None or self.min_gain is not None:
                raise ValueError(
                    "target and plateau are judged on questions that are not reported: add a table [dev] with jobs or "
                    "benchmarks of its own, as in [evaluate]; without both keys all rounds run"
                )
            return self
        dev, reported = self.dev, self.evaluate
        shared = {*dev.jobs} & {*reported.jobs}
        if dev.limit == reported.limit:
            shared |= {*dev.benchmarks} & {*reported.benchmarks}
        if shared:
            raise ValueError(f"[dev] and [evaluate] both name {', '.join(sorted(shared))}: {APART}")
        return self

    @property
    def min_gain(self) -> float | None:
        """What a round must gain on the dev set for the loop to continue; None: nothing."""
        if self.plateau is None:
            return PLATEAU if self.dev is not None else None
        return None if self.plateau == -1 else self.plateau


def load(path: Path, changes: Sequence[str] = ()) -> LoopSpec:
    """Read a loop's file, with KEY=VALUE `changes`. Raises UsageError naming the key and what is wrong with it."""
    content = read(path, "loop", changes)
    try:
        spec = LoopSpec.model_validate(content)
    except ValidationError as error:
        problems = (f"{key_of(problem['loc']) or 'the loop'}: {problem['msg']}" for problem in error.errors())
        raise UsageError(f"{path}: " + "; ".join(problems)) from None
    if "jobs" in spec.select:
        raise UsageError(f"{path}: select.jobs: a round of a loop learns from the loop's own jobs")
    round_of(spec, 1, ["none"], where=str(path))  # what is wrong with [select] is said now
    return spec


def round_of(spec: LoopSpec, number: int, jobs: Sequence[str], where: str = "the loop") -> RoundSpec:
    """Round `number`, from 1, which learns from the traces of `jobs`, always from the base model.

    It is measured on the dev set as well.
    """
    dev = spec.dev.jobs if spec.dev is not None else []
    content = {
        "name": round_name(spec.name, number),
        "student": spec.student,
        "select": {**spec.select, "jobs": list(jobs)},
        "fit": spec.fit.model_dump(),
        "evaluate": {**spec.evaluate.model_dump(), "jobs": [*spec.evaluate.jobs, *dev]},
    }
    return parse(content | ({"curriculum": spec.curriculum} if spec.curriculum else {}), where)


def round_name(loop: str, number: int) -> str:
    """The name of a loop's round, from 1."""
    return f"{loop}-{number}"


def attempt_name(loop: str, number: int) -> str:
    """The job in which the model of the round before is asked everything."""
    return f"{loop}-{number}-attempt"


def rationalize_name(loop: str, number: int) -> str:
    """The job in which it is asked again, with a hint, where it failed."""
    return f"{loop}-{number}-rationalize"


def ended(spec: LoopSpec, finished: int, dev: Sequence[float] = ()) -> str | None:
    """Why the loop ends after `finished` rounds; None: it continues.

    `dev`: shares of right answers on the dev set: of the base model, then of each round.

    >>> spec = LoopSpec.model_construct(rounds=4, target=0.5, plateau=0.01)
    >>> ended(spec, 1, [0.1, 0.3]), ended(spec, 2, [0.1, 0.3, 0.305]), ended(spec, 1, [0.1, 0.6])
    (None, 'round 2 gained no more than 1.0 points', 'the target of 50.0 % is reached')
    """
    if finished and dev:
        *earlier, last = dev
        if spec.target is not None and last >= spec.target:
            return f"the target of {spec.target:.1%} is reached".replace("%", " %")
        if spec.min_gain is not None and last - max(earlier) <= spec.min_gain:
            return f"round {finished} gained no more than {100 * spec.min_gain:.1f} points"
    return f"all {spec.rounds} rounds are done" if finished >= spec.rounds else None
