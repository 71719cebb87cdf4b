"""Methods: ways to prompt a model and to read its answers, one small file each.

A method registers itself with `@method`, so a new one needs one file. Users add more as templates in `tracemill.toml`
(`templates`). The prompts are stored with the job, so the prompt of every trace is known.

A method has one or several *variants*, and each variant gives its own traces. A variant is a chain of one or several
*calls*. A later call may quote the text of an earlier one (slot `{name}`). The text of the last call is the trace; the
earlier texts are stored with it.
"""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tracemill import thinking
from tracemill.concurrency import once
from tracemill.errors import UsageError
from tracemill.prompts import DOMAINS, Prompt
from tracemill.settings import settings
from tracemill.verification.answers.extract import extract
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.checks import Findings

#: What a question needs besides its text: a gold answer, or a trace of the job that this one builds on.
Need = Literal["gold", "trace"]


@dataclass(frozen=True)
class Shot:
    """A worked example for the model: a question and its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Call:
    """One request of a chain. Later prompts quote its text as `{name}`."""

    name: str
    prompt: Prompt


@dataclass(frozen=True)
class Parsed:
    """The parts of a trace's text that a method reads."""

    #: The thoughts of a reasoning model; the whole text of any other model.
    reasoning: str
    answer: str | None
    #: boxed, stated, hashes, equation, last number or last line (`tracemill.verification.answers.extract`).
    answer_form: str | None
    #: Steps that the method itself separates, each with at least `text`. If there are none, the verifier reads them.
    steps: list[dict[str, Any]] = field(default_factory=list)


class Method(ABC):
    """A way to prompt a model and to read its answers."""

    #: The NAME of `--method NAME`, in kebab-case.
    name: str
    #: One line: its publication with the arXiv number. Empty for a user's template.
    paper: str
    needs: frozenset[Need] = frozenset()
    #: Its traces are examples of wrong reasoning. They are accepted only if their answer is wrong.
    negative: bool = False

    @property
    def teaches_thoughts(self) -> bool:
        """Whether a student also learns the thoughts of its traces, and not only the answers.

        Only if the model saw only the question, as the student does, and should answer it right. Other thoughts may
        mention a hint, a draft or an intended error. `refusal` reads only the answer, and a student that learns such
        thoughts expects a hint.
        """
        is_chain = any(len(calls) > 1 for calls in self.variants("general", ()).values())
        return not (self.needs or self.negative or is_chain)

    @abstractmethod
    def variants(self, domain: str, shots: Sequence[Shot]) -> Mapping[str, tuple[Call, ...]]:
        """The chains of calls by the variant's name. The name of a single variant is "".

        `domain` is one of `tracemill.prompts.DOMAINS`. `shots` become the first turns of the chat. Slots are
        `{question}`, `{gold}` and `{trace}` if the method needs them, and the names of earlier calls.
        """

    def parse(self, text: str, kind: Kind) -> Parsed:
        """Read the text of a trace. The text is hostile input: take linear time and never raise."""
        thoughts, answer_text, _ = thinking.split(text)
        answer = extract(text, kind)
        return Parsed(
            reasoning=(answer_text if thoughts is None else thoughts).strip(),
            answer=answer.value if answer else None,
            answer_form=answer.form if answer else None,
        )

    def refusal(self, text: str, findings: Findings) -> str | None:
        """Why a trace is unusable for this method, even if its answer is right; None if it is usable.

        The verifier calls this. `text` is the text of the model, `findings` are the results of the checks.
        """
        return None


_methods: dict[str, Method] = {}


def method(cls: type[Method]) -> type[Method]:
    """Register a method class under its name. Two methods must not share a name."""
    if cls.name in _methods:
        raise ValueError(f"two methods are called '{cls.name}'")
    _methods[cls.name] = cls()
    return cls


@once
def all_methods() -> Mapping[str, Method]:
    """All methods by name: the files in this folder, and `[methods.NAME]` in the settings.

    Raises UsageError that names the key of an invalid template.
    """
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    from tracemill.methods.templates import template_methods

    return dict(sorted((_methods | template_methods(settings().methods, _methods)).items()))


def named(name: str) -> Method:
    """The method of that name. Raises UsageError that lists all methods."""
    methods = all_methods()
    if name not in methods:
        raise UsageError(f"unknown method '{name}': there are {', '.join(methods)}")
    return methods[name]


def prompts(method: Method, shots: Sequence[Shot]) -> dict[str, dict[str, dict[str, Prompt]]]:
    """All templates of a method, in order: domain -> variant -> call (`db.jobs.JobSpec.prompts`)."""
    return {
        domain: {
            variant: {call.name: call.prompt for call in chain}
            for variant, chain in method.variants(domain, shots).items()
        }
        for domain in DOMAINS
    }
