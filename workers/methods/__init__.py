"""How to ask: a method is one small file that makes a prompt template and reads the answer.

A method registers itself with `@method`; adding one touches one file. Its template is stored with the job, so what was
asked is known for every trace.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tracemill.errors import UsageError
from tracemill.once import once
from tracemill.prompts import Prompt


@dataclass(frozen=True)
class Shot:
    """A worked example to show the model: a question and the answer it should imitate."""

    question: str
    answer: str


@dataclass(frozen=True)
class Parsed:
    """What a method reads out of one completion."""

    reasoning: str
    answer: str | None
    #: boxed, stated, hashes, equation, last number or last line (`workers.checks.answers`).
    answer_form: str | None
    steps: list[str] = field(default_factory=list)


class Method(Protocol):
    """A way of asking."""

    #: As in `--method NAME`.
    name: str
    #: One line: who published it.
    paper: str

    def prompt(self, shots: Sequence[Shot]) -> Prompt:
        """The template, with the slot `{question}`; `shots` are shown first, as turns of the chat."""
        ...

    def parse(self, text: str) -> Parsed:
        """Read a completion. Model output is hostile: must be linear in its length and must not raise."""
        ...


_methods: dict[str, Method] = {}


def method(cls: type[Method]) -> type[Method]:
    """Register a method class under its name."""
    _methods[cls.name] = cls()
    return cls


@once
def _import_all() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


def named(name: str) -> Method:
    """The method of that name. Raises UsageError listing the methods there are."""
    _import_all()
    if name not in _methods:
        raise UsageError(f"unknown method '{name}': there are {', '.join(sorted(_methods))}")
    return _methods[name]
