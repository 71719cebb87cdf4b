"""Checks: each scores one aspect of a trace and names its evidence. One that cannot decide says None, never False.

`check` runs everything that needs no model on one trace. What a model wrote is hostile input: it is read by our own
linear parsers, its answer goes to a computer algebra system only behind a filter, nothing of it is ever evaluated, and
all of it happens in a child process that can be killed (`pool.CheckPool`).
"""

from dataclasses import dataclass, field
from time import perf_counter

from workers.checks.answers import extract
from workers.checks.correctness import compare
from workers.checks.equations import check_equations

MAX_TEXT = 1_000_000  # characters of a trace or a gold answer; the longest reasoning models write is a quarter of it


@dataclass(frozen=True)
class Findings:
    """What the checks found about one trace."""

    #: does the answer equal the gold answer; None when that cannot be decided (no gold, no answer, too costly, …)
    correct: bool | None
    #: how `correct` was decided, or why it could not be
    proof: str
    #: the answer as the trace gives it, and its form (`answers.Form`)
    answer: str | None = None
    answer_form: str | None = None
    #: arithmetic equations in the text that could be checked, how many of them are false, and the first false ones
    equations_checked: int = 0
    equations_false: int = 0
    false_equations: list[str] = field(default_factory=list)
    #: wall time
    seconds: float = 0.0
    #: what went wrong in the checks themselves
    error: str | None = None


def check(text: str, gold: str | None) -> Findings:
    """Check one trace. A pure function that reads nothing but its arguments; call it through `pool.CheckPool`.

    Text or gold longer than `MAX_TEXT` characters is refused unread.
    """
    start = perf_counter()
    longest = max(len(text), len(gold or ""))
    if longest > MAX_TEXT:
        return Findings(None, f"refused: too long ({longest} characters, at most {MAX_TEXT})")
    text = text.replace("\x00", "").encode("utf-8", "replace").decode()  # no database takes these
    equations = check_equations(text)
    answer = extract(text)
    if gold is None or not gold.strip():
        correct, proof = None, "no gold answer"
    elif answer is None:
        correct, proof = None, "no answer found"
    else:
        correct, proof = compare(gold, answer.value)
    return Findings(
        correct=correct,
        proof=proof,
        answer=answer.value if answer else None,
        answer_form=answer.form if answer else None,
        equations_checked=equations.checked,
        equations_false=len(equations.false),
        false_equations=equations.false[:20],
        seconds=perf_counter() - start,
    )
