"""Calibrate a judge: measure its signals on labelled traces.

The AUC of a signal decides whether it may gate traces: right traces must score above wrong ones more often than by
chance. The reliability curve and the agreement show people the meaning of a score of this judge.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from tracemill.policy import SIGNALS, Gate, Signal, Threshold
from tracemill.statistics import Interval, Z, auc, share

if TYPE_CHECKING:
    from tracemill.verification.judge import Case, Judged
    from tracemill.verification.judge.bounded import Progress

#: Right traces, and wrong traces, that a measurement needs. With fewer the intervals would span nearly everything.
MIN_TRACES = 10
#: Points of a reliability curve.
MAX_BINS = 10
#: Traces behind a point, as far as equal scores allow.
MIN_BIN_TRACES = 10
#: Lowest value of a signal, if not 0; the highest is 1. Uplift is a difference of two probabilities.
LOWEST: Mapping[Signal, float] = {"uplift": -1.0}


class Rated(NamedTuple):
    """The label of a trace, and the judge's signals of it."""

    correct: bool
    scores: Mapping[Signal, float]


@dataclass(frozen=True)
class Bin:
    """Traces with neighbouring scores: their lowest, highest and mean score, their number, and how many are right."""

    low: float
    high: float
    count: int
    mean: float
    right: int

    @property
    def share(self) -> Interval:
        """Share of right traces, with its Wilson interval."""
        return share(self.right, self.count)


@dataclass(frozen=True)
class Measured:
    """The measurement of one signal of a judge."""

    signal: Signal
    n_right: int
    n_wrong: int
    #: Chance that a right trace scores above a wrong one.
    auc: Interval
    #: Share of traces whose label equals "the score is in the upper half of its scale".
    agreement: Interval
    #: The reliability curve, lowest scores first.
    bins: tuple[Bin, ...]

    @property
    def lowest(self) -> float:
        """Lowest value of the signal; the highest is 1."""
        return LOWEST.get(self.signal, 0.0)

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error (Naeini et al. 2015): mean distance of scores from shares of right traces, 0 to 1.

        None for a signal that can be below 0, because it is no share.
        """
        if self.lowest < 0:
            return None
        total = sum(b.count for b in self.bins)
        return sum(b.count * abs(b.share.value - b.mean) for b in self.bins) / total


def ask_all(alias: str, cases: "Sequence[Case]", signals: Sequence[Signal], progress: "Progress") -> "list[Judged]":
    """The judge's signals of each case, in order. Its engine runs in this process and ends with the call.

    `progress` takes each reply. Raises UsageError or EngineError when the judge cannot be asked at all.
    """
    # Every command imports this module, and few need a judge.
    from tracemill.verification.judge.bounded import Judge, Request

    with closing(Judge(alias)) as judge:
        replies = [reply for reply in judge.ask([Request(case, signals) for case in cases], progress) if reply]
    away = next((reply.away for reply in replies if reply.away), None)
    if away is not None:
        raise away
    return replies


def measure(rows: Sequence[Rated]) -> list[Measured]:
    """Measure each signal that at least `MIN_TRACES` right and `MIN_TRACES` wrong traces have.

    Traces count as independent. Several samples of one question make the intervals a little too narrow.
    """
    measured = []
    for signal in SIGNALS:
        scored = [(row.scores[signal], row.correct) for row in rows if signal in row.scores]
        right = [score for score, correct in scored if correct]
        wrong = [score for score, correct in scored if not correct]
        if len(right) < MIN_TRACES or len(wrong) < MIN_TRACES:
            continue
        area = auc(right, wrong)
        assert area is not None  # there are right and wrong traces
        middle = (LOWEST.get(signal, 0.0) + 1) / 2
        agreeing = sum((score >= middle) == correct for score, correct in scored)
        measured.append(
            Measured(signal, len(right), len(wrong), area, share(agreeing, len(scored)), tuple(reliability(scored)))
        )
    return measured


def reliability(scored: Iterable[tuple[float, bool]]) -> list[Bin]:
    """The reliability curve of (score, right) pairs, in bins with about equal numbers; equal scores share a bin.

    Most scores of a judge are near 0 or 1, so most of ten bins of equal width would be empty (the adaptive scheme of
    Nixon et al. 2019, arXiv:1904.01685).
    """
    ordered = sorted(scored)
    n_bins = max(1, min(MAX_BINS, len(ordered) // MIN_BIN_TRACES))
    bins: dict[int, list[tuple[float, bool]]] = {}
    start = 0
    for _, group in groupby(ordered, key=lambda pair: pair[0]):
        ties = list(group)
        middle = start + len(ties) / 2
        bins.setdefault(int(n_bins * middle / len(ordered)), []).extend(ties)
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
    """Why a signal is uninformative, as a sentence; None if its AUC interval lies above `above`."""
    if measured is None:
        return "not calibrated"
    if measured.auc.low > above:
        return None
    return f"AUC {measured.auc} is not above {above:g}"


def threshold(measured: Measured, gate: Gate) -> Threshold | str:
    """The threshold of a gate with a precision or a quantile; a sentence if the calibration gives none.

    The candidates are the lower ends of the bins. A precision takes the lowest one whose interval lies at or above it.
    A quantile takes the highest one that refuses at most this share of the right traces.
    """
    candidates: list[Threshold] = []
    passing = right = 0
    for b in reversed(measured.bins):
        passing, right = passing + b.count, right + b.right
        candidates.append(Threshold(b.low, share(right, passing), share(right, measured.n_right)))
    if gate.quantile is not None:
        return next(each for each in candidates if 1 - each.kept.value <= gate.quantile)
    assert gate.precision is not None
    sure = [each for each in candidates if each.precision.low >= gate.precision]
    if sure:
        return sure[-1]
    # If all of n traces are right, the interval of their share begins at n / (n + Z²).
    needed = math.ceil(Z**2 * gate.precision / (1 - gate.precision))
    if measured.n_right < needed:
        return (
            f"{measured.n_right} right traces are too few labels for a precision of {gate.precision:g}: at least "
            f"{needed} are needed"
        )
    best = max(candidates, key=lambda each: each.precision.low)
    return f"no threshold surely has a precision of {gate.precision:g}: at {best.least:.2f} it is {best.precision}"
