"""Forecasts from a sample of questions: intervals that hold the result of a job over other questions of the source.

Traces of one question resemble each other, so a question counts as one cluster, never its traces. A job over few
questions varies too. So each standard error grows by sqrt(1 + n / m): n questions in the sample, m in the job.
"""

import math
from collections.abc import Sequence

from tracemill.statistics import Interval, Z, share


def student_t(freedom: int) -> float:
    """97.5 % quantile of Student's t with this number of degrees of freedom, at least 1.

    Expansion around the normal quantile (Abramowitz and Stegun 1964, 26.7.5): 0.3 % too low at 4 degrees of freedom.
    """
    terms = (
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
    )
    return Z + sum(term / math.pow(freedom, power) for power, term in enumerate(terms, 1))


def forecast_share(hits: Sequence[int], of: Sequence[int], m: int) -> Interval:
    """The share of hits in a job over `m` questions, by the hits of each sampled question.

    Wilson's interval for an effective number of trials (Korn and Graubard 1998, Survey Methodology 24:193). It is the
    number of independent trials with the same variance as the clusters. If no trial or each trial is a hit, the
    variance is not known, and a question counts as one trial. Fewer than two questions give the interval [0, 1].
    """
    n, trials = len(of), sum(of)
    if n < 2 or not trials:
        return Interval(sum(hits) / max(1, trials), 0.0, 1.0)
    value = sum(hits) / trials
    errors = sum((hit - value * each) ** 2 for hit, each in zip(hits, of, strict=True))
    variance = n / (n - 1) * errors / trials**2
    effective = min(float(trials), value * (1 - value) / variance) if variance > 0 else float(n)
    effective *= (Z / student_t(n - 1)) ** 2 / (1 + n / m)
    return share(value * effective, effective)


def forecast_ratio(amounts: Sequence[float], units: Sequence[float], m: int) -> Interval | None:
    """sum(amounts) / sum(units) in a job over `m` questions, by the sums of each sampled question.

    Such as tokens per accepted trace. The interval is symmetric on the logarithmic scale, because such ratios are
    skewed. None for fewer than two questions, or if a sum is 0.
    """
    residuals = _log_residuals(amounts, units)
    if residuals is None:
        return None
    return _interval(sum(amounts) / sum(units), residuals, math.sqrt(1 + len(residuals) / m))


def compare_ratios(
    first: tuple[Sequence[float], Sequence[float]], second: tuple[Sequence[float], Sequence[float]]
) -> Interval | None:
    """The first ratio divided by the second; both are (amounts, units) of the same questions, in the same order.

    The pairing removes the difficulty of the questions. Otherwise as `forecast_ratio`, for the expected ratios.
    """
    of_first, of_second = _log_residuals(*first), _log_residuals(*second)
    if of_first is None or of_second is None:
        return None
    value = sum(first[0]) / sum(first[1]) / (sum(second[0]) / sum(second[1]))
    return _interval(value, [a - b for a, b in zip(of_first, of_second, strict=True)], 1.0)


def _log_residuals(amounts: Sequence[float], units: Sequence[float]) -> list[float] | None:
    """The share of each question in the logarithm of the ratio, to first order."""
    n, amount, unit = len(units), sum(amounts), sum(units)
    if n < 2 or amount <= 0 or unit <= 0:
        return None
    return [n * (a / amount - u / unit) for a, u in zip(amounts, units, strict=True)]


def _interval(value: float, residuals: Sequence[float], widened: float) -> Interval:
    n = len(residuals)
    error = math.sqrt(sum(residual**2 for residual in residuals) / (n * (n - 1)))
    factor = math.exp(student_t(n - 1) * error * widened)
    return Interval(value, value / factor, value * factor)
