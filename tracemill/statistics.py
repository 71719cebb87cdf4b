"""Confidence intervals, tests of one comparison and of several, and figures for several answers to one question."""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from statistics import fmean, stdev
from typing import NamedTuple

#: 97.5 % quantile of the normal distribution: two-sided 95 % intervals.
Z = 1.959964


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def share(hits: float, of: float) -> Interval:
    """hits / of with its Wilson score interval (Wilson 1927). `of` = 0 gives 0 [0, 1]."""
    if of == 0:
        return Interval(0.0, 0.0, 1.0)
    p = hits / of
    centre = (p + Z**2 / (2 * of)) / (1 + Z**2 / of)
    half = Z / (1 + Z**2 / of) * math.sqrt(p * (1 - p) / of + Z**2 / (4 * of**2))
    # After rounding, the interval must still contain the share.
    return Interval(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


def mean_share(questions: int, total: float, squares: float, samples: int) -> Interval:
    """The mean over questions of the share of right samples, with its interval over questions.

    `total` and `squares` are the sums of the shares and of their squares. The interval is Wilson's for the number of
    one-sample questions with the same variance of the mean, at most all samples (effective sample size, Franco et al.
    2019, Journal of Survey Statistics and Methodology 7:334). So samples of one question do not count as questions.
    """
    mean, variance = total / max(1, questions), _spread(questions, total, squares) / max(1, questions)
    effective = min(mean * (1 - mean) * questions / variance, questions * samples) if variance > 0 else questions
    return share(mean * effective, effective)


def _spread(n: int, total: float, squares: float) -> float:
    """The sum of the squared distances of n values to their mean; 0 for a sum within rounding of it."""
    spread = squares - total * total / max(1, n)
    return spread if spread > 1e-9 else 0.0


class Paired(NamedTuple):
    """Counts of questions answered twice: right both times, only first, only second, neither."""

    both: int
    first: int
    second: int
    neither: int


def difference(table: Paired) -> Interval:
    """The second share of right answers minus the first, with its interval.

    The interval is Newcombe's for paired shares (1998, Statistics in Medicine 17:2635, method 10). It joins the Wilson
    intervals of the two shares by their correlation. No questions give 0 [-1, 1].
    """
    n = sum(table)
    if n == 0:
        return Interval(0.0, -1.0, 1.0)
    return _joined(share(table.both + table.first, n), share(table.both + table.second, n), _correlation(table))


class PairedShares(NamedTuple):
    """Questions that two sides answered several times: sums over questions of their shares of right samples."""

    questions: int
    #: Samples of a question on one side.
    samples: int
    first: float
    second: float
    first_squares: float
    second_squares: float
    product: float

    @property
    def shares(self) -> tuple[Interval, Interval]:
        """The mean share of either side, with its interval over questions."""
        first = mean_share(self.questions, self.first, self.first_squares, self.samples)
        return first, mean_share(self.questions, self.second, self.second_squares, self.samples)

    @property
    def difference(self) -> Interval:
        """The second mean minus the first. Newcombe's interval joins theirs by the correlation over questions."""
        n = self.questions
        spreads = _spread(n, self.first, self.first_squares) * _spread(n, self.second, self.second_squares)
        covariance = self.product - self.first * self.second / max(1, n)
        return _joined(*self.shares, covariance / math.sqrt(spreads) if spreads > 0 else 0.0)

    @property
    def p(self) -> float:
        """The p-value of Student's test of the differences by question; 1 if they have no spread."""
        n, total = self.questions, self.second - self.first
        spread = _spread(n, total, self.first_squares + self.second_squares - 2 * self.product)
        return _student_tail(total / math.sqrt(n * spread / (n - 1)), n - 1) if spread > 0 else 1.0


def _joined(before: Interval, after: Interval, correlation: float) -> Interval:
    """The second share minus the first, from their intervals and their correlation (Newcombe's method 10)."""

    def reach(up: float, down: float) -> float:
        """Half-width on one side. `up` and `down` are the half-widths of the second and the first share."""
        return math.sqrt(max(0.0, up * up - 2 * correlation * up * down + down * down))

    value = after.value - before.value
    low = value - reach(after.value - after.low, before.high - before.value)
    high = value + reach(after.high - after.value, before.value - before.low)
    return Interval(value, max(-1.0, low), min(1.0, high))


def mcnemar(table: Paired) -> float:
    """The p-value of McNemar's test, exact and two-sided (1947, Psychometrika 12:153).

    It is the chance of a split at least this uneven among the flipped questions if both directions are equally likely.
    """
    flips, fewer = table.first + table.second, min(table.first, table.second)
    return float(min(1.0, 2 * sum(math.comb(flips, k) for k in range(fewer + 1)) / 2**flips))


def over_runs(values: Sequence[float]) -> Interval | None:
    """The mean of one figure by run, such as the difference between two arms by seed, with Student's interval.

    Every run adds one value, so the interval holds the mean over all seeds of a recipe, for the questions that were
    answered. None for values without a spread, such as one value.
    """
    if len(set(values)) < 2:
        return None
    value = fmean(values)
    half = _student_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Interval(value, value - half, value + half)


def paired_t(differences: Sequence[float]) -> float:
    """The two-sided p-value of Student's test that the mean of the differences is 0; 1 if they have no spread."""
    if len(set(differences)) < 2:
        return 1.0
    error = stdev(differences) / math.sqrt(len(differences))
    return _student_tail(fmean(differences) / error, len(differences) - 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of a family of tests, each raised by Holm's method (1979, Scandinavian Journal of Statistics 6:65).

    If no difference of the family is real, the chance that one of them falls below a level is at most that level.
    """
    raised, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        raised[index] = highest
    return raised


def pass_at(k: int, right: int, of: int) -> float:
    """Unbiased estimate of the chance that at least one of k samples is right.

    It uses `of` samples with `right` right ones (Chen et al. 2021, arXiv:2107.03374). Needs 1 <= k <= of.
    """
    return 1 - math.comb(of - right, k) / math.comb(of, k)


def majority_right(answers: Sequence[tuple[str | None, bool]]) -> float:
    """1 if the most frequent answer is right, otherwise 0; 1 / t if the right one ties with t - 1 others.

    `answers` are (answer, right) of one question's samples (Wang et al. 2022, arXiv:2203.11171). All right answers
    count as the same answer. Wrong answers with different spellings count as different answers. None does not vote.
    """
    given = ((answer, right) for answer, right in answers if answer is not None)
    votes = Counter("" if right else answer.strip().casefold() or " " for answer, right in given)
    max_votes = max(votes.values(), default=0)
    return 1 / sum(count == max_votes for count in votes.values()) if max_votes and votes[""] == max_votes else 0.0


def _student_tail(t: float, freedom: int) -> float:
    """The chance of a value at least this far from 0, on both sides, by Student's distribution."""
    # Abramowitz and Stegun 1964, 26.7.3 and 26.7.4: a finite sum for a whole number of degrees of freedom.
    angle = math.atan(abs(t) / math.sqrt(freedom))
    is_odd = freedom % 2
    term = math.cos(angle) if is_odd else 1.0
    total = 0.0
    for k in range(1 + is_odd, freedom, 2):
        total += term
        term *= math.cos(angle) ** 2 * k / (k + 1)
    inside = 2 / math.pi * (angle + math.sin(angle) * total) if is_odd else math.sin(angle) * total
    return min(1.0, max(0.0, 1.0 - inside))


@cache
def _student_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's distribution, by bisection. With one degree of freedom it is 12.7."""
    low, high = Z, 13.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_tail(middle, freedom) > 0.05 else (low, middle)
    return low


def _correlation(table: Paired) -> float:
    """Phi of the two answers, with Newcombe's continuity correction; 0 if a share is 0 or 1."""
    a, b, c, d = table
    product = (a + b) * (c + d) * (a + c) * (b + d)
    covariance = a * d - b * c
    if product == 0:
        return 0.0
    corrected = covariance if covariance < 0 else max(0.0, covariance - sum(table) / 2)
    return corrected / math.sqrt(product)


def auc(right: Sequence[float], wrong: Sequence[float]) -> Interval | None:
    """Chance that a right item scores above a wrong one, with its interval; a tie counts half.

    None if there are no right or no wrong items. The interval is Newcombe's (2006, Statistics in Medicine 25:559,
    method 5). It holds every value within 1.96 of its own standard errors of the estimate. So it stays between 0 and 1,
    and it is not a single point when all items are in order. Its standard error assumes scores of equal spread.
    DeLong's (1988, Biometrics 44:837) assumes nothing; where it is larger, it widens the interval.

    In simulations with 40 right and 40 wrong items of true AUC 0.5, 0.8 and 0.95, the interval holds the true value in
    94.7 to 97.8 % of the cases (untied, unequal spreads, five levels; above 96 % with two levels). Hanley and McNeil's
    interval falls to 88 %, DeLong's to 85 %. At AUC 0.5, at most 2.5 % of the intervals lie above 0.5, also with 10
    against 200 items.
    """
    if not right or not wrong:
        return None
    m, n = len(right), len(wrong)
    won = _placements(right, sorted(wrong))
    lost = _placements(wrong, sorted(right))
    a = sum(won) / m
    assumed = _auc_variance(a, m, n)
    observed = _mean_variance(won, a) + _mean_variance(lost, 1 - a)
    widened = max(1.0, observed / assumed) if assumed > 0 else 1.0

    def distance(true: float) -> float:
        """Distance from `true` to the estimate, in standard errors."""
        error = math.sqrt(widened * _auc_variance(true, m, n))
        return abs(true - a) / error if error > 0 else math.inf

    return Interval(a, _last_within(a, 0.0, distance), _last_within(a, 1.0, distance))


def _placements(scores: Sequence[float], others: Sequence[float]) -> list[float]:
    """The share of `others` (sorted) below each score; a tie counts half."""
    return [(bisect_left(others, score) + bisect_right(others, score)) / (2 * len(others)) for score in scores]


def _mean_variance(values: Sequence[float], mean: float) -> float:
    """Variance of the mean of `values`; 0 for a single value, which has no spread."""
    return sum((value - mean) ** 2 for value in values) / (max(1, len(values) - 1) * len(values))


def _auc_variance(a: float, m: int, n: int) -> float:
    """Hanley and McNeil's variance (1982) of the AUC of m against n items, in Newcombe's symmetric form."""
    half = (m + n) / 2 - 1
    return a * (1 - a) / (m * n) * (1 + half * ((1 - a) / (2 - a) + a / (1 + a)))


def _last_within(start: float, end: float, distance: Callable[[float], float]) -> float:
    """The value farthest from `start` towards `end` with a distance of at most Z, by bisection."""
    inside, outside = start, end
    for _ in range(50):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if distance(middle) <= Z else (inside, middle)
    return inside
