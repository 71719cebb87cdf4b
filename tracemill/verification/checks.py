"""Checks: each scores one aspect of a trace and names its evidence. One that cannot decide says None, never False.

`check` runs everything on one trace that needs neither a model nor a sandbox. What a model wrote is hostile input: it
is read by our own linear parsers, its answer goes to a computer algebra system only behind a filter, nothing of it is
ever evaluated, and all of it happens in a child process that can be killed (`pool.CheckPool`).
"""

from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

from tracemill.verification.answers.compare import compare
from tracemill.verification.answers.extract import extract
from tracemill.verification.answers.kinds import Kind, guess
from tracemill.verification.reasoning import read
from tracemill.verification.reasoning.steps import AtStep, Steps
from tracemill.verification.reasoning.steps import read as read_steps

MAX_TEXT = 1_000_000  # characters of a trace or a gold answer; the longest reasoning models write is a quarter of it
MAX_FINDINGS = 20  # of one sort, kept for one trace


class Item(NamedTuple):
    """One trace to check, with what is known about it."""

    text: str
    gold: str | None = None
    question: str | None = None
    #: null: guessed from gold and question
    kind: Kind | None = None
    #: The steps that the trace brings; none: they are read from the text.
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Findings:
    """What the checks found about one trace."""

    #: does the answer equal the gold answer; None when that cannot be decided (no gold, no answer, too costly, …)
    correct: bool | None
    #: how `correct` was decided, or why it could not be
    proof: str
    #: the answer as the trace gives it, its form (`answers.Form`), and what kind of answer was asked for
    answer: str | None = None
    answer_form: str | None = None
    kind: Kind | None = None
    #: the steps of the reasoning; findings below name them by their place from 0
    steps: list[str] = field(default_factory=list)
    #: whether the steps are a reasoning model's thoughts: none of the findings below is then held against the trace
    steps_are_thoughts: bool = False
    #: arithmetic equations in the steps that could be checked, how many of them are false, and the first false ones
    equations_checked: int = 0
    equations_false: int = 0
    false_equations: list[AtStep] = field(default_factory=list)
    #: equations that do several operations at once: steps were skipped
    equations_compound: int = 0
    #: numbers of the question that no equation works with; None: there is no question
    unused: int | None = None
    #: numbers that neither the question nor an earlier result explains; None: there is no question to look in
    ungrounded: list[AtStep] | None = None
    #: does the last value that the reasoning derives equal its answer; None: it derives none
    concludes: bool | None = None
    #: share of the sentences that repeat the question or an earlier one; None: there is no sentence to count
    restatements: float | None = None
    #: wall time
    seconds: float = 0.0
    #: what went wrong in the checks themselves
    error: str | None = None

    @property
    def first_error(self) -> int | None:
        """The first step that holds a false equation."""
        return min((finding.step for finding in self.false_equations), default=None)


def check(item: Item) -> Findings:
    """Check one trace. A pure function that reads nothing but its argument; call it through `pool.CheckPool`.

    Text or gold longer than `MAX_TEXT` characters is refused unread. `correct` of a trace of kind `code` is left to the
    sandbox (`code.check_code`), and of free text that differs from its reference to the LLM verifier.
    """
    start = perf_counter()
    longest = max(len(item.text), len(item.gold or ""), len(item.question or ""), sum(map(len, item.steps)))
    if longest > MAX_TEXT:
        return Findings(None, f"refused: too long ({longest} characters, at most {MAX_TEXT})")
    text = _clean(item.text)
    gold = item.gold if item.gold and item.gold.strip() else None
    kind = item.kind or guess(gold, item.question)
    steps, are_thoughts = Steps([_clean(step) for step in item.steps]) if item.steps else read_steps(text)
    answer = extract(text, kind)
    question = None if item.question is None else _clean(item.question)
    reasoning = read(question, steps, answer.value if answer else None, are_thoughts)
    equations, unexplained = reasoning.equations, reasoning.ungrounded
    if gold is None:
        correct, proof = None, "no gold answer"
    elif answer is None:
        # Where any number, letter or last line would have counted, there is nothing that could be right.
        correct, proof = (None if kind in ("text", "code") else False), "no answer in it"
    else:
        correct, proof = compare(gold, answer.value, kind, item.question)
    return Findings(
        correct=correct,
        proof=proof,
        answer=answer.value if answer else None,
        answer_form=answer.form if answer else None,
        kind=kind,
        steps=steps,
        steps_are_thoughts=are_thoughts,
        equations_checked=equations.checked,
        equations_false=len(equations.false),
        false_equations=equations.false[:MAX_FINDINGS],
        equations_compound=equations.compound,
        unused=reasoning.unused,
        ungrounded=None if unexplained is None else unexplained[:MAX_FINDINGS],
        concludes=reasoning.concludes,
        restatements=reasoning.restatements,
        seconds=perf_counter() - start,
    )


def _clean(text: str) -> str:
    """Without what no database takes: NUL and lone surrogates."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
