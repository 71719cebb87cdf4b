"""STAR.toml: rounds one after the other, each taught by the model of the round before, and when that ends.

STaR, Zelikman et al. 2022, arXiv:2203.14465: attempt, keep what is right, rationalise what failed, train from the base
on all that was kept, and again with the better model.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from tracemill.errors import UsageError
from tracemill.sections import Section
from trainer.ask_spec import AskSpec
from trainer.fit_spec import FitSpec
from trainer.spec import EvaluateSpec, RoundSpec, key_of, parse, read


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
    #: The share of right answers at which the loop ends. Absent: it does not matter.
    target: float | None = Field(default=None, gt=0, le=1)
    #: The loop ends when a round gains no more than this share over the best before; -1: never for that.
    plateau: float = Field(default=0.005, ge=-1, le=1)
    #: What the student is asked in every round. Examples are shown to the base model, which does not know the form yet,
    #: and beside every hint; who has learnt from a round is asked as its evaluation asks.
    attempt: AskSpec
    #: Absent: what failed is not asked again.
    rationalize: RationalizeSpec | None = None
    #: [select] and [curriculum] of each round, without `jobs`: a round learns from all attempts so far.
    select: dict[str, Any] = Field(default={})
    curriculum: dict[str, Any] | None = None
    fit: FitSpec = FitSpec()
    evaluate: EvaluateSpec


def load(path: Path, changes: Sequence[str] = ()) -> LoopSpec:
    """Read a loop's file, with KEY=VALUE `changes`. Raises UsageError naming the key and what is wrong with it."""
    content = read(path, "loop", changes)
    try:
        spec = LoopSpec.model_validate(content)
    except ValidationError as error:
        problems = (f"{key_of(problem['loc'])}: {problem['msg']}" for problem in error.errors())
        raise UsageError(f"{path}: " + "; ".join(problems)) from None
    if "jobs" in spec.select:
        raise UsageError(f"{path}: select.jobs: a round of a loop learns from the loop's own jobs")
    round_of(spec, 1, ["none"], where=str(path))  # what is wrong with [select] is said now
    return spec


def round_of(spec: LoopSpec, number: int, jobs: Sequence[str], where: str = "the loop") -> RoundSpec:
    """Round `number`, from 1, which learns from the traces of `jobs`, always from the base model."""
    content = {
        "name": f"{spec.name}-{number}",
        "student": spec.student,
        "select": {**spec.select, "jobs": list(jobs)},
        "fit": spec.fit.model_dump(),
        "evaluate": spec.evaluate.model_dump(),
    }
    return parse(content | ({"curriculum": spec.curriculum} if spec.curriculum else {}), where)


def ended(spec: LoopSpec, before: float, after: Sequence[float]) -> str | None:
    """Why the loop ends after rounds with these shares of right answers, `before` the base model's; None: it goes on.

    >>> spec = LoopSpec.model_construct(rounds=4, target=0.5, plateau=0.01)
    >>> ended(spec, 0.1, [0.3]), ended(spec, 0.1, [0.3, 0.305]), ended(spec, 0.1, [0.6])
    (None, 'round 2 gained no more than 1.0 points', 'the target of 50.0 % is reached')
    """
    if not after:
        return None
    best = max(before, *after[:-1]) if after[:-1] else before
    if spec.target is not None and after[-1] >= spec.target:
        return f"the target of {spec.target:.1%} is reached".replace("%", " %")
    if after[-1] - best <= spec.plateau:
        return f"round {len(after)} gained no more than {100 * spec.plateau:.1f} points"
    if len(after) >= spec.rounds:
        return f"all {spec.rounds} rounds are done"
    return None
