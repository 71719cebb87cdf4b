"""What an objective is: a function from a lesson to an adapter folder, registered under a name.

An objective runs in a process of its own (`trainer.fit`) that trains once and ends: a bitsandbytes 4-bit model that was
ever switched to evaluation on CPU trains wrongly afterwards, so nothing here generates or evaluates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracemill.errors import UsageError
from tracemill.prompts import Prompt
from trainer.spec import FitSpec


@dataclass(frozen=True)
class Example:
    """One trace to learn from: the question, what was written about it, and what it is used as."""

    role: str
    question: str
    text: str


@dataclass(frozen=True)
class Progress:
    """How far the fit is. `loss` holds (step, mean loss since the previous entry) pairs."""

    step: int
    steps: int
    loss: tuple[tuple[int, float], ...]
    examples_per_second: float
    eta_seconds: float


@dataclass(frozen=True)
class Outcome:
    """What a finished fit used: examples, those left out as too long, prompt + answer tokens of one epoch, seconds."""

    examples: int
    too_long: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Lesson:
    """Everything that an objective is given."""

    #: The student's folder or hub name.
    model: str
    prompt: Prompt
    examples: list[Example]
    fit: FitSpec
    #: Where the adapter is saved; the folder is there and empty.
    folder: Path
    #: Called every few steps.
    report: Callable[[Progress], None]


Objective = Callable[[Lesson], Outcome]

#: Every objective by name.
OBJECTIVES: dict[str, Objective] = {}


def objective(name: str) -> Callable[[Objective], Objective]:
    """Register the decorated function as the objective `name`."""

    def register(function: Objective) -> Objective:
        OBJECTIVES[name] = function
        return function

    return register


def find(name: str) -> Objective:
    """The objective of this name. Raises UsageError naming those there are."""
    if name not in OBJECTIVES:
        raise UsageError(f"fit.objective: there is no objective '{name}'. There is {', '.join(sorted(OBJECTIVES))}.")
    return OBJECTIVES[name]
