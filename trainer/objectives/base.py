"""The interface of an objective: a function from a lesson to an adapter folder, registered with its needs.

An objective runs in a process of its own (`trainer.fit`) that trains once and ends. It must neither generate nor
evaluate: on CPU a bitsandbytes 4-bit model that was once switched to evaluation has wrong gradients afterwards.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import Field

from tracemill.errors import UsageError
from tracemill.prompts import Prompt
from tracemill.sections import Section
from trainer.fit_settings import FitSettings

Options = TypeVar("Options", bound=Section)


class TeacherOptions(Section):
    """Options of an objective that loads the teacher beside the student."""

    #: Model alias of the teacher.
    teacher: str = "teacher"


class Scorer(NamedTuple):
    """The model that scores the tokens of the student's samples."""

    #: Model alias.
    model: str
    #: The method whose prompt it reads before a sample.
    method: str
    #: Likeliest tokens that are stored at each position.
    top_k: int
    #: Whether it scores the tokens of a sample, or its text in its own tokens.
    of: Literal["tokens", "text"] = "tokens"


class OwnOptions(Section):
    """Options of an objective that learns from samples of the student itself, which a loop makes for each round."""

    def scorer(self, student: str) -> Scorer | None:
        """The model that scores the samples of `student`; None if their verdicts are enough."""
        return None


class ScoredOptions(OwnOptions):
    """Options of an objective whose teacher scores every token of the samples."""

    #: Likeliest tokens of the teacher that are stored at each position.
    top_k: int = Field(default=20, ge=1, le=20)


@dataclass(frozen=True)
class Example:
    """One trace to learn from: its question, its text and its role."""

    #: `sft`, or `chosen` and `rejected` in a pair.
    role: str
    question: str
    text: str
    #: 0-based stage of the curriculum, and position in it; the two examples of a pair share both.
    stage: int = 0
    position: int = 0
    #: Its steps in order, each a part of `text`; empty when its method does not separate them.
    steps: tuple[str, ...] = ()
    #: The teacher's stored log-probabilities (`tracemill.logprobs`); only for objectives that need them.
    logprobs: bytes | None = None
    #: Whether its text ends where its model had to stop. Then the student learns no end of the turn.
    is_cut_off: bool = False
    #: Its reward minus the mean reward of the question's samples; only for objectives that need it.
    advantage: float | None = None


@dataclass(frozen=True)
class Progress:
    """The state of a running fit. `loss` holds (step, mean loss since the previous entry) pairs."""

    step: int
    steps: int
    loss: tuple[tuple[int, float], ...]
    examples_per_second: float
    tokens_per_second: float
    eta_seconds: float


@dataclass(frozen=True)
class Outcome:
    """The counts of a finished fit: examples (or pairs), those left out as too long, and all tokens of one epoch.

    `seconds` is the time of the process that finished it. It resumed at step `resumed`; 0 means that it did all steps.
    """

    examples: int
    too_long: int
    tokens: int
    seconds: float
    resumed: int


@dataclass(frozen=True)
class Lesson(Generic[Options]):
    """The input of an objective; `Options` is the class of its options."""

    #: The student's folder or hub name.
    model: str
    prompt: Prompt
    #: Ordered by stage and position.
    examples: list[Example]
    fit: FitSettings
    options: Options
    #: Epochs of each stage; one stage follows the other.
    epochs: tuple[int, ...]
    #: The round's folder, where checkpoints and kept epochs are.
    round: Path
    #: The folder for the adapter; it exists and is empty.
    folder: Path
    #: Receives the progress every few steps.
    report: Callable[[Progress], None]
    #: Folders or hub names of the teacher to load, or of the teachers whose log-probabilities are learnt.
    teachers: tuple[str, ...] = ()
    #: The folder of the adapter that the fit continues to train. None means a new adapter.
    start: str | None = None
    #: Variables of the chat template, as in the evaluation.
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything that changes the result; a fit resumes only from checkpoints with the same hash."""
        settings = (self.fit.model_dump_json(), self.options.model_dump_json())
        prompt = (self.prompt.hash, dict(self.chat_template_kwargs))
        inputs = (self.model, prompt, settings, self.epochs, self.teachers, self.start)
        fingerprint = hashlib.blake2b(digest_size=16)
        for part in chain(inputs, self.examples):  # the text of one example at a time
            fingerprint.update(f"{part!r}\n".encode("utf-8", "surrogatepass"))
        return fingerprint.hexdigest()


@dataclass(frozen=True)
class Objective:
    """A way to learn, and its needs."""

    name: str
    #: Fits an adapter and saves it in PEFT format. Raises TracemillError when no example is short enough.
    fit: Callable[[Lesson[Any]], Outcome]
    #: The class of its options, the section [fit.NAME].
    options: type[Section]
    #: Whether it learns from pairs of traces (roles `chosen` and `rejected`) instead of single traces (role `sft`).
    pairs: bool
    #: Whether it needs the stored log-probabilities of its traces.
    logprobs: bool
    #: Whether it needs the advantage of each trace over the other samples of its question.
    rewards: bool

    @property
    def teacher(self) -> bool:
        """Whether it loads the teacher beside the student."""
        return issubclass(self.options, TeacherOptions)

    @property
    def learns_own_words(self) -> bool:
        """Whether it learns from samples of the student itself."""
        return issubclass(self.options, OwnOptions)


#: Every objective by name.
OBJECTIVES: dict[str, Objective] = {}


def objective(
    name: str, options: type[Options], *, pairs: bool = False, logprobs: bool = False, rewards: bool = False
) -> Callable[[Callable[[Lesson[Options]], Outcome]], Callable[[Lesson[Options]], Outcome]]:
    """Register the decorated function as the objective `name`. Its module must not import torch when it is imported."""

    def register(fit: Callable[[Lesson[Options]], Outcome]) -> Callable[[Lesson[Options]], Outcome]:
        OBJECTIVES[name] = Objective(name, fit, options, pairs, logprobs, rewards)
        return fit

    return register


def find(name: str) -> Objective:
    """The objective of this name. Raises UsageError that lists all names."""
    if name not in OBJECTIVES:
        raise UsageError(f"fit.objective: there is no objective '{name}'. Objectives: {', '.join(sorted(OBJECTIVES))}.")
    return OBJECTIVES[name]
