"""The two statistics that every claim here carries: an interval for a share, and one for a judge's AUC."""

import math
from collections.abc import Sequence
from typing import NamedTuple

#: 97.5 % quantile of the normal distribution: two-sided 95 % intervals.
Z = 1.959964


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def share(hits: int, of: int) -> Interval:
    """hits / of with its Wilson score interval (Wilson 1927). `of` = 0 gives 0 [0, 1]: nothing is known."""
    if of == 0:
        return Interval(0.0, 0.0, 1.0)
    p = hits / of
    centre = (p + Z**2 / (2 * of)) / (1 + Z**2 / of)
    half = Z / (1 + Z**2 / of) * math.sqrt(p * (1 - p) / of + Z**2 / (4 * of**2))
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def auc(right: Sequence[float], wrong: Sequence[float]) -> Interval | None:
    """Chance that a right item scores above a wrong one, ties half, with its interval (Hanley and McNeil 1982).

    Null when there are no right or no wrong items to compare.
    """
    if not right or not wrong:
        return None
    ordered = sorted([(score, True) for score in right] + [(score, False) for score in wrong])
    wins = 0.0
    below = start = 0
    while start < len(ordered):  # one group of equal scores at a time
        end = start
        while end < len(ordered) and ordered[end][0] == ordered[start][0]:
            end += 1
        rights = sum(is_right for _, is_right in ordered[start:end])
        wrongs = end - start - rights
        wins += rights * (below + wrongs / 2)
        below += wrongs
        start = end
    m, n = len(right), len(wrong)
    a = wins / (m * n)
    q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
    error = math.sqrt((a * (1 - a) + (m - 1) * (q1 - a**2) + (n - 1) * (q2 - a**2)) / (m * n))
    return Interval(a, max(0.0, a - Z * error), min(1.0, a + Z * error))
