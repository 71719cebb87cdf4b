"""Forecasts hold what a job over other questions gives: known values, edge cases, and coverage by simulation."""

import random
from collections.abc import Sequence

import pytest

from tracemill.forecasts import compare_ratios, forecast_ratio, forecast_share, student_t
from tracemill.statistics import share

SAMPLES, PILOT, JOB, RUNS = 4, 40, 200, 150


@pytest.mark.parametrize(("freedom", "value"), [(4, 2.776), (9, 2.262), (29, 2.045), (10**6, 1.96)])
def test_students_t_has_the_values_of_its_tables(freedom: int, value: float) -> None:
    assert student_t(freedom) == pytest.approx(value, rel=0.004)


def simulated(chance: random.Random, questions: int, mean: float) -> tuple[list[int], list[float]]:
    """Accepted traces and tokens of each question: questions differ, and hard ones have long answers."""
    accepted, tokens = [], []
    for _ in range(questions):
        rate = chance.betavariate(mean, 1 - mean)
        accepted.append(sum(chance.random() < rate for _ in range(SAMPLES)))
        tokens.append(chance.lognormvariate(5, 0.4) * (1.5 - rate) * SAMPLES)
    return accepted, tokens


@pytest.mark.parametrize("mean", [0.1, 0.5, 0.85])
def test_a_forecast_holds_the_result_of_the_job_nineteen_times_of_twenty(mean: float) -> None:
    chance = random.Random(1)
    held = dict.fromkeys(("share", "price", "tokens"), 0)
    for _ in range(RUNS):
        accepted, tokens = simulated(chance, PILOT, mean)
        job_accepted, job_tokens = simulated(chance, JOB, mean)
        intervals = {
            "share": (forecast_share(accepted, [SAMPLES] * PILOT, JOB), sum(job_accepted) / JOB / SAMPLES),
            "price": (forecast_ratio(tokens, accepted, JOB), sum(job_tokens) / sum(job_accepted)),
            "tokens": (forecast_ratio(tokens, [1] * PILOT, JOB), sum(job_tokens) / JOB),
        }
        for name, (interval, result) in intervals.items():
            held[name] += interval is not None and interval.low <= result <= interval.high
    # 0.9 is three standard errors below 0.95, and intervals that hold everything say nothing.
    assert all(0.9 * RUNS <= count < RUNS for count in held.values()), held


def test_traces_of_one_question_do_not_count_as_independent() -> None:
    alike = forecast_share([4, 0] * 20, [4] * 40, 10**9)
    mixed = forecast_share([2] * 20 + [1, 3] * 10, [4] * 40, 10**9)
    assert alike.value == mixed.value == 0.5
    assert alike.high - alike.low > share(20, 40).high - share(20, 40).low > mixed.high - mixed.low


def test_a_job_over_few_questions_varies_more() -> None:
    accepted, tokens = [1, 3] * 10, [100.0, 300.0] * 10
    assert forecast_share(accepted, [4] * 20, 20).low < forecast_share(accepted, [4] * 20, 1000).low
    few, many = forecast_ratio(tokens, [1] * 20, 20), forecast_ratio(tokens, [1] * 20, 1000)
    assert few is not None
    assert many is not None
    assert few.high > many.high


def test_a_sample_without_a_hit_does_not_promise_none() -> None:
    assert forecast_share([0] * 40, [4] * 40, 10**9).high == pytest.approx(0.09, abs=0.01)


@pytest.mark.parametrize("accepted", [[], [1], [0, 0]])
def test_a_ratio_without_an_interval_is_none(accepted: Sequence[int]) -> None:
    assert forecast_ratio([10.0] * len(accepted), accepted, 100) is None


def test_a_share_of_no_questions_can_be_anything() -> None:
    assert forecast_share([], [], 100) == (0.0, 0.0, 1.0)


def test_paired_arms_are_told_apart_where_separate_intervals_overlap() -> None:
    chance = random.Random(2)
    accepted, tokens = simulated(chance, PILOT, 0.5)
    dearer = [1.1 * each for each in tokens]
    ratio = compare_ratios((dearer, accepted), (tokens, accepted))
    assert ratio is not None
    assert 1 < ratio.low <= ratio.value == pytest.approx(1.1)
    separate, other = forecast_ratio(dearer, accepted, 1000), forecast_ratio(tokens, accepted, 1000)
    assert separate is not None
    assert other is not None
    assert separate.low < other.high
