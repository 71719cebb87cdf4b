"""What an objective is: a function from a lesson to an adapter folder, registered under a name with what it needs.

An objective runs in a process of its own (`trainer.fit`) that trains once and ends: a bitsandbytes 4-bit model that was
ever switched to evaluation on CPU trains wrongly afterwards, so nothing here generates or evaluates.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from tracemill.errors import UsageError
from tracemill.prompts import Prompt
from tracemill.sections import Section
from trainer.fit_settings import FitSettings

Options = TypeVar("Options", bound=Section)


class TeacherOptions(Section):
    """Options of an objective that loads the teacher beside the student."""

    #: Model alias of the teacher.
    teacher: str = "teacher"


@dataclass(frozen=True)
class Example:
    """One trace to learn from: the question, what was written about it, and what it is used as."""

    role: str
    question: str
    text: str
    #: 0-based stage of the curriculum, and place in it; the two examples of a pair share both.
    stage: int = 0
    position: int = 0
    #: The texts of its steps, in order, as they stand in `text`; empty: its method does not tell them apart.
    steps: tuple[str, ...] = ()
    #: The teacher's log-probabilities as they are stored (`tracemill.logprobs`); only for objectives that need them.
    logprobs: bytes | None = None


@dataclass(frozen=True)
class Progress:
    """How far the fit is. `loss` holds (step, mean loss since the previous entry) pairs."""

    step: int
    steps: int
    loss: tuple[tuple[int, float], ...]
    examples_per_second: float
    tokens_per_second: float
    eta_seconds: float


@dataclass(frozen=True)
class Outcome:
    """What a finished fit used: examples (or pairs), those left out as too long, prompt + answer tokens of one epoch.

    `seconds` are those of the process that finished it, which went on from step `resumed` (0: it did it all).
    """

    examples: int
    too_long: int
    tokens: int
    seconds: float
    resumed: int


@dataclass(frozen=True)
class Lesson(Generic[Options]):
    """Everything that an objective is given; `Options` is the class of its options."""

    #: The student's folder or hub name.
    model: str
    prompt: Prompt
    #: By stage and position.
    examples: list[Example]
    fit: FitSettings
    options: Options
    #: Times that the examples of each stage are seen, one stage after the other.
    epochs: tuple[int, ...]
    #: The round's folder, where checkpoints and kept epochs are.
    round: Path
    #: Where the adapter is saved; the folder is there and empty.
    folder: Path
    #: Called every few steps.
    report: Callable[[Progress], None]
    #: Folders or hub names: of the teacher to load, or of those whose log-probabilities are learnt.
    teachers: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides what the fit does: a checkpoint of another lesson must not be gone on from."""
        settings = (self.fit.model_dump_json(), self.options.model_dump_json())
        decisive = (self.model, self.prompt.hash, self.examples, settings, self.epochs, self.teachers)
        return hashlib.blake2b(repr(decisive).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Objective:
    """A way to learn, and what it needs."""

    name: str
    #: Fits an adapter and saves it (PEFT format). Raises TracemillError where no example is short enough.
    fit: Callable[[Lesson[Any]], Outcome]
    #: The class of its options, the section [fit.NAME].
    options: type[Section]
    #: It learns from pairs of traces (roles `chosen` and `rejected`), not from single ones (role `sft`).
    pairs: bool
    #: The teacher's stored log-probabilities.
    logprobs: bool

    @property
    def teacher(self) -> bool:
        """Whether it needs the teacher's weights, beside the student's."""
        return issubclass(self.options, TeacherOptions)


#: Every objective by name.
OBJECTIVES: dict[str, Objective] = {}


def objective(
    name: str, options: type[Options], *, pairs: bool = False, logprobs: bool = False
) -> Callable[[Callable[[Lesson[Options]], Outcome]], Callable[[Lesson[Options]], Outcome]]:
    """Register the decorated function as the objective `name`. Its module must not import torch when it is imported."""

    def register(fit: Callable[[Lesson[Options]], Outcome]) -> Callable[[Lesson[Options]], Outcome]:
        OBJECTIVES[name] = Objective(name, fit, options, pairs, logprobs)
        return fit

    return register


def find(name: str) -> Objective:
    """The objective of this name. Raises UsageError naming those there are."""
    if name not in OBJECTIVES:
        raise UsageError(f"fit.objective: there is no objective '{name}'. There is {', '.join(sorted(OBJECTIVES))}.")
    return OBJECTIVES[name]
