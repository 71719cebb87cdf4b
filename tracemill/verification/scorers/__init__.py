"""Scorers: the judges that data sets bring with their questions.

A scorer is a function of the answer and the *entry*, the data that its data set stores with the question. It returns 1
for a right answer, less for any other one, and None if it cannot decide. A name stands for a scorer, never a path: a
row of data must not choose the code that runs. The names are the entry points of installed packages in the group
`tracemill.scorers`, and `reasoning_gym`.

A scorer reads hostile text. So it runs in a child process with the limits of all checks (`pool.CheckPool`), never here.
It is trusted not to execute the answer: the child protects other processes, not its own verdict.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, TypeAlias

GROUP = "tracemill.scorers"
Score: TypeAlias = Callable[[str, Mapping[str, Any]], float | bool | None]

_BUILT_IN = EntryPoint("reasoning_gym", "tracemill.verification.scorers.gym:score", GROUP)
_RIGHT = 1 - 1e-9
_MAX_REASON = 120  # characters


class Scoring(NamedTuple):
    """The scorer of a question, and its entry: plain data, as JSON holds it."""

    name: str
    entry: Mapping[str, Any]


@cache
def names() -> frozenset[str]:
    """The names of all installed scorers."""
    return frozenset(_by_name())


@cache
def load(name: str) -> Score:
    """Return the scorer. Raises any exception of its package."""
    scorer: Score = _by_name()[name].load()
    return scorer


def _by_name() -> dict[str, EntryPoint]:
    return {point.name: point for point in (_BUILT_IN, *entry_points(group=GROUP))}


def scoring_of(
    value: object, *, question: str | None, answer: object, metadata: Callable[[], Mapping[str, Any]]
) -> Scoring | None:
    """Return the scorer that the field `scorer` of a row names; None if it names none.

    The field is `{"name": NAME, "entry": OBJECT}`, or the name alone. The entry then has the question, the answer and
    the metadata of the row. Any other text is no name of a scorer. Raises ValueError for an object without an
    installed scorer.
    """
    if isinstance(value, str) and value in names():
        return Scoring(value, {"question": question, "answer": answer, "metadata": metadata()})
    if not isinstance(value, Mapping):
        return None
    name, entry = value.get("name"), value.get("entry")
    if not isinstance(name, str) or not isinstance(entry, Mapping):
        raise ValueError('"scorer" is not {"name": …, "entry": {…}}')
    if name not in names():
        raise ValueError(missing(name))
    return Scoring(name, entry)


def missing(name: str) -> str:
    """The sentence about a scorer that is not installed."""
    return f"no scorer is called {name!r}. Installed: {', '.join(sorted(names()))}. Install the package that brings it"


def judge(readings: Iterable[str], scoring: Scoring) -> tuple[bool | None, str]:
    """The verdict of a scorer on an answer, and its proof. The best score of all readings of the answer counts."""
    scores = []
    reason = f"{scoring.name} gives no score"
    for reading in dict.fromkeys(readings):
        try:
            score = load(scoring.name)(reading, scoring.entry)
        except MemoryError:
            raise
        except Exception as error:
            reason = f"{scoring.name} failed: {type(error).__name__}: {str(error)[:_MAX_REASON]}"
        else:
            if score is not None and math.isfinite(score):
                scores.append(float(score))
    if not scores:
        return None, reason
    return max(scores) >= _RIGHT, f"{scoring.name} scored {max(scores):g}"
