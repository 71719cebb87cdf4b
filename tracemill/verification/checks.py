"""All checks of one trace that need neither a model nor a sandbox. A check that cannot decide gives None, never False.

The text of a model is hostile input. Our own parsers read it in linear time. Its answer reaches a computer algebra
system only behind a filter. None of it is evaluated, and all checks run in a child process that can be killed
(`pool.CheckPool`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

from tracemill.scores import measure
from tracemill.text import storable
from tracemill.verification.answers.compare import compare
from tracemill.verification.answers.extract import extract, readings
from tracemill.verification.answers.gold import final_answer
from tracemill.verification.answers.kinds import Kind, guess
from tracemill.verification.reasoning import read
from tracemill.verification.reasoning.steps import MAX_FINDINGS, AtStep, Steps
from tracemill.verification.reasoning.steps import read as read_steps
from tracemill.verification.scorers import Scoring, judge

MAX_TEXT = 1_000_000  # characters of a trace or a gold answer; the longest traces of reasoning models have a quarter


class Item(NamedTuple):
    """One trace to verify, with its question and gold answer if they are known."""

    text: str
    gold: str | None = None
    question: str | None = None
    #: None: guessed from gold and question.
    kind: Kind | None = None
    #: The steps that the trace brings; empty: they are read from the text.
    steps: tuple[str, ...] = ()
    #: The scorer of its data set, which decides in place of the gold answer.
    scorer: Scoring | None = None
    #: Check only the answer: no steps, no equations, no scores. It is two to three times as fast.
    answer_only: bool = False

    # The checks do not read the following fields; votes and policies do.

    #: Samples of one question share it. Without a gold answer they vote. None: no vote.
    question_id: int | None = None
    #: Whether the answer has an asked form, as the method reads it; None: as the checks read it.
    is_stated: bool | None = None
    #: The model reached its longest length before it ended.
    is_cut_off: bool = False
    #: The trace has its verdict and only votes again: it is neither judged nor accepted.
    only_votes: bool = False


@dataclass(frozen=True)
class Findings:
    """The results of the checks of one trace."""

    #: Whether the answer equals the gold answer; None: undecided (no gold answer, no answer, too costly, …).
    correct: bool | None
    #: How `correct` was decided, or why it could not be.
    proof: str
    #: The final answer as the trace gives it.
    answer: str | None = None
    #: The form of the answer (`answers.extract.Form`).
    answer_form: str | None = None
    #: The kind of answer that the question asks for.
    kind: Kind | None = None
    #: The steps of the reasoning. The findings below name a step by its index from 0.
    steps: list[str] = field(default_factory=list)
    #: The steps are the thoughts of a reasoning model. No finding below then counts against the trace.
    steps_are_thoughts: bool = False
    #: Then the steps of the answer after the thoughts.
    steps_after_thoughts: list[str] = field(default_factory=list)
    #: Arithmetic equations in the steps that could be checked, and how many of them are false.
    equations_checked: int = 0
    equations_false: int = 0
    #: The first false equations, at most `MAX_FINDINGS`.
    false_equations: list[AtStep] = field(default_factory=list)
    #: Equations that do several operations at once: steps were skipped.
    equations_compound: int = 0
    #: Numbers of the question that no equation uses; None: there is no question.
    unused: int | None = None
    #: Numbers that neither the question nor an earlier result explains; None: there is no question.
    ungrounded: list[AtStep] | None = None
    #: Whether the last value that the reasoning derives equals its answer; None: it derives none.
    concludes: bool | None = None
    #: Values of the scores that have a check of their own, by name (`tracemill.scores`).
    measured: Mapping[str, bool | float | None] = field(default_factory=dict)
    #: Wall time.
    seconds: float = 0.0
    #: What failed in the checks themselves.
    error: str | None = None

    @property
    def first_error(self) -> int | None:
        """The first step with a false equation; None: there is none."""
        return min((finding.step for finding in self.false_equations), default=None)


def check(item: Item) -> Findings:
    """Check one trace. A pure function; call it through `pool.CheckPool`, which can kill it.

    Text or gold longer than `MAX_TEXT` characters is refused unread. Two cases stay undecided here: a program, which
    the sandbox runs (`code.check_code`), and free text that differs from its reference, which a judge may decide.
    """
    start = perf_counter()
    longest = max(len(item.text), len(item.gold or ""), len(item.question or ""), sum(map(len, item.steps)))
    if longest > MAX_TEXT:
        return Findings(None, f"refused: too long ({longest} characters, at most {MAX_TEXT})")
    text = storable(item.text)
    gold = item.gold if item.gold and item.gold.strip() else None
    if gold is not None and item.kind != "code":
        gold = final_answer(gold)
    kind = item.kind or guess(gold, item.question)
    if item.answer_only:
        read_or_given = Steps([])
    else:
        read_or_given = Steps([storable(step) for step in item.steps]) if item.steps else read_steps(text)
    steps, are_thoughts, after_thoughts = read_or_given
    answer = extract(text, kind)
    question = None if item.question is None or item.answer_only else storable(item.question)
    reasoning = read(question, steps, answer.value if answer and not item.answer_only else None, are_thoughts)
    equations, unexplained = reasoning.equations, reasoning.ungrounded
    correct: bool | None
    if item.scorer:
        correct, proof = judge(readings(text, answer), item.scorer)
    elif gold is None:
        correct, proof = None, "no gold answer"
    elif answer is None:
        # For these kinds any number, letter or last line would count, so there is nothing that could be right.
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
        steps_after_thoughts=list(after_thoughts),
        equations_checked=equations.checked,
        equations_false=len(equations.false),
        false_equations=equations.false[:MAX_FINDINGS],
        equations_compound=equations.compound,
        unused=reasoning.unused,
        ungrounded=unexplained,
        concludes=reasoning.concludes,
        measured=measure(question, steps),
        seconds=perf_counter() - start,
    )
