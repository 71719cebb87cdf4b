"""How far a judge can be trusted: its signals measured on labelled traces.

A signal may gate traces only if it scores right ones above wrong ones more often than chance would. That is its AUC,
and it decides; the reliability curve and the agreement tell people what a score of this judge is worth.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from tracemill.policy import SIGNALS, Signal
from tracemill.settings import settings
from tracemill.statistics import Interval, auc, share

if TYPE_CHECKING:
    from tracemill.verification.judge import Case, Judged

#: Right traces, and wrong traces, below which nothing is measured: the intervals would span nearly everything.
LEAST = 10
#: Points of a reliability curve, and traces behind each, at most and at least (as far as equal scores allow).
MOST_BINS = 10
BIN_COUNT = 10
#: Where a signal's scale begins, if not at 0; it ends at 1. Uplift is a difference of two probabilities.
LOWEST: Mapping[Signal, float] = {"uplift": -1.0}


class Rated(NamedTuple):
    """A trace with its label, and what the judge says of it."""

    correct: bool
    scores: Mapping[Signal, float]


@dataclass(frozen=True)
class Bin:
    """Traces with neighbouring scores: the lowest, the highest, how many, their mean score, how many are right."""

    low: float
    high: float
    count: int
    mean: float
    right: int

    @property
    def share(self) -> Interval:
        """Share of them that is right, with its Wilson interval."""
        return share(self.right, self.count)


@dataclass(frozen=True)
class Measured:
    """What one signal of a judge is worth."""

    signal: Signal
    n_right: int
    n_wrong: int
    #: Chance that a right trace scores above a wrong one.
    auc: Interval
    #: Share of the traces where "the score is in the upper half of its scale" equals the label.
    agreement: Interval
    #: The reliability curve, lowest scores first.
    bins: tuple[Bin, ...]

    @property
    def lowest(self) -> float:
        """Where the scale of the signal begins; it ends at 1."""
        return LOWEST.get(self.signal, 0.0)

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error (Naeini et al. 2015): mean distance of the score from the share right, 0 to 1.

        Null for a signal that is no share, because its scale begins below 0.
        """
        if self.lowest < 0:
            return None
        total = sum(b.count for b in self.bins)
        return sum(b.count * abs(b.share.value - b.mean) for b in self.bins) / total


def ask_all(
    judge: str, cases: "Sequence[Case]", signals: Sequence[Signal], heard: Callable[[], None]
) -> "list[Judged]":
    """What the judge says of each case, in order; its engine runs in this process and is ended afterwards.

    `heard` is called after each answer. Raises UsageError or EngineError when the judge cannot be asked at all.
    """
    from tracemill.engines.registry import close_engines, engine
    from tracemill.event_loop import run
    from tracemill.verification.judge import ask  # every command imports this module, and hardly any needs a judge

    async def every() -> "list[Judged]":
        room = asyncio.Semaphore(settings().generate_concurrency)

        async def one(case: "Case") -> "Judged":
            async with room:
                judged = await ask(running, case, signals)
            heard()
            return judged

        asking = [asyncio.ensure_future(one(case)) for case in cases]
        try:
            return await asyncio.gather(*asking)
        finally:  # a dead engine is not asked again
            for left in asking:
                left.cancel()

    try:
        running = engine(judge)
        return run(every())
    finally:
        close_engines()


def measure(rows: Sequence[Rated]) -> list[Measured]:
    """Each signal that at least LEAST right and LEAST wrong traces have.

    Traces count as independent: of several samples of one question the intervals come out a little too narrow.
    """
    found = []
    for signal in SIGNALS:
        scored = [(row.scores[signal], row.correct) for row in rows if signal in row.scores]
        right = [score for score, correct in scored if correct]
        wrong = [score for score, correct in scored if not correct]
        if len(right) < LEAST or len(wrong) < LEAST:
            continue
        area = auc(right, wrong)
        assert area is not None  # there are right ones and wrong ones
        middle = (LOWEST.get(signal, 0.0) + 1) / 2
        agreeing = sum((score >= middle) == correct for score, correct in scored)
        found.append(
            Measured(signal, len(right), len(wrong), area, share(agreeing, len(scored)), tuple(reliability(scored)))
        )
    return found


def reliability(scored: Iterable[tuple[float, bool]]) -> list[Bin]:
    """The reliability curve of (score, right) pairs in bins of about equal count; equal scores share a bin.

    Equal counts, because judges crowd near 0 and 1: of ten bins of equal width most would be empty (the adaptive scheme
    of Nixon et al. 2019, arXiv:1904.01685).
    """
    ordered = sorted(scored)
    wanted = max(1, min(MOST_BINS, len(ordered) // BIN_COUNT))
    bins: dict[int, list[tuple[float, bool]]] = {}
    start = 0
    for _, group in groupby(ordered, key=lambda pair: pair[0]):
        ties = list(group)
        middle = start + len(ties) / 2
        bins.setdefault(int(wanted * middle / len(ordered)), []).extend(ties)
        start += len(ties)
    return [
        Bin(
            low=inside[0][0],
            high=inside[-1][0],
            count=len(inside),
            mean=sum(score for score, _ in inside) / len(inside),
            right=sum(right for _, right in inside),
        )
        for inside in bins.values()
    ]


def why_not(measured: Measured | None, above: float) -> str | None:
    """Why a signal is uninformative, as a sentence; null when its AUC interval lies above `above`."""
    if measured is None:
        return "not calibrated"
    if measured.auc.low > above:
        return None
    value, low, high = measured.auc
    return f"AUC {value:.2f} [{low:.2f}, {high:.2f}] is not above {above:g}"
