"""How to ask: a method is one small file that makes prompt templates, says in how many calls, and reads the answers.

A method registers itself with `@method`; adding one touches one file. People add more as templates in `tracemill.toml`
(`templates`). What it asks with is stored with the job, so what was asked is known for every trace.

A method asks a question in one or several *variants*, each a style of its own that gives traces of its own. A variant
is a chain of one or several *calls*: each later call may quote what the earlier ones brought (slot `{name}`), and the
text of the last call is the trace. The earlier texts are kept beside it.
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

#: What a question must bring besides its text: a gold answer, or a trace of the job that this one builds on.
Need = Literal["gold", "trace"]


@dataclass(frozen=True)
class Shot:
    """A worked example to show the model: a question and the answer it should imitate."""

    question: str
    answer: str


@dataclass(frozen=True)
class Call:
    """One request of a chain. Later prompts quote its text by `{name}`."""

    name: str
    prompt: Prompt


@dataclass(frozen=True)
class Parsed:
    """What a method reads out of the text of a trace."""

    #: The thoughts of a reasoning model; what was said, from any other.
    reasoning: str
    answer: str | None
    #: boxed, stated, hashes, equation, last number or last line (`tracemill.verification.answers.extract`).
    answer_form: str | None
    #: Steps that the method itself can tell apart, each with at least `text`; none: the verifier reads them.
    steps: list[dict[str, Any]] = field(default_factory=list)


class Method(ABC):
    """A way of asking."""

    #: As in `--method NAME`: kebab-case.
    name: str
    #: One line: who published it, with its arXiv number; empty for a user's own template.
    paper: str
    needs: frozenset[Need] = frozenset()
    #: Its traces show how not to reason: they are accepted only if their answer is wrong.
    negative: bool = False

    @property
    def teaches_thoughts(self) -> bool:
        """Whether a student learns the thoughts of its traces as well, not only the answers.

        Only if the model was given the question alone, as the student is, and a right answer was asked for. Other
        thoughts may speak of a hint, a draft or an intended error. `refusal` reads only the answer, and a student that
        learns such thoughts expects a hint.
        """
        is_chain = any(len(calls) > 1 for calls in self.variants("general", ()).values())
        return not (self.needs or self.negative or is_chain)

    @abstractmethod
    def variants(self, domain: str, shots: Sequence[Shot]) -> Mapping[str, tuple[Call, ...]]:
        """The chains of calls, by the variant's name; a method with one variant calls it "".

        `domain`: one of `tracemill.prompts.DOMAINS`. `shots` are shown first, as turns of the chat. Slots:
        `{question}`, `{gold}` and `{trace}` where the method needs them, and the names of earlier calls.
        """

    def parse(self, text: str, kind: Kind) -> Parsed:
        """Read the text of a trace. Model output is hostile: must be linear in its length and must not raise."""
        thoughts, said, _ = thinking.split(text)
        answer = extract(text, kind)
        return Parsed(
            reasoning=(said if thoughts is None else thoughts).strip(),
            answer=answer.value if answer else None,
            answer_form=answer.form if answer else None,
        )

    def refusal(self, text: str, found: Findings) -> str | None:
        """Why a trace of this method is of no use, however right it is; null: nothing is wrong with it.

        Asked by the verifier. `text` is what the model wrote, `found` what the checks say of it.
        """
        return None


_methods: dict[str, Method] = {}


def method(cls: type[Method]) -> type[Method]:
    """Register a method class under its name, which no other may have."""
    if cls.name in _methods:
        raise ValueError(f"two methods are called '{cls.name}'")
    _methods[cls.name] = cls()
    return cls


@once
def all_methods() -> Mapping[str, Method]:
    """Every method there is, by name: the files here, and the `[methods.NAME]` of the settings.

    Raises UsageError that names the key of a template that cannot be asked.
    """
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    from tracemill.methods.templates import template_methods

    return dict(sorted((_methods | template_methods(settings().methods, _methods)).items()))


def named(name: str) -> Method:
    """The method of that name. Raises UsageError listing the methods there are."""
    methods = all_methods()
    if name not in methods:
        raise UsageError(f"unknown method '{name}': there are {', '.join(methods)}")
    return methods[name]


def prompts(method: Method, shots: Sequence[Shot]) -> dict[str, dict[str, dict[str, Prompt]]]:
    """All templates of a method: domain -> variant -> call, each in its order (`db.jobs.JobSpec.prompts`)."""
    return {
        domain: {
            variant: {call.name: call.prompt for call in chain}
            for variant, chain in method.variants(domain, shots).items()
        }
        for domain in DOMAINS
    }
