"""The forecast of a pilot from the traces of its arms, and the arm that it recommends."""

import random
from typing import Any

import pytest

from db.question_figures import QuestionFigures
from producer.pilot_forecast import ArmTraces, adaptive_tokens, forecast, recommend
from tracemill.adaptive import Plan


def figures(n: int, outcomes: list[bool], tokens: int = 10, cost: float = 0.0, **changes: Any) -> QuestionFigures:
    """The traces of question n, each with the same tokens."""
    fields = {
        "content_hash": str(n),
        "traces": len(outcomes),
        "accepted": sum(outcomes),
        "outcomes": outcomes,
        "tokens": [tokens] * len(outcomes),
        "cost": cost,
        "engine_seconds": 1.0,
        "bare": 0,
        "cut_off": 0,
        "malformed": 0,
    }
    return QuestionFigures(**(fields | changes))


def arm(job: str, rows: list[QuestionFigures], judge_cost: float = 0.0) -> ArmTraces:
    return ArmTraces({"job": job, "most": 4, "judge_cost": judge_cost, "done": len(rows)}, rows, 0)


def answered(job: str, rate: float, tokens: int, *, seed: int = 0, cost: float = 0.0, noise: int = 0) -> ArmTraces:
    chance = random.Random(seed)
    return arm(
        job,
        [
            figures(n, [chance.random() < rate for _ in range(4)], tokens + chance.randint(0, noise), cost)
            for n in range(60)
        ],
    )


def recommended(*arms: ArmTraces) -> tuple[str, str, list[str]] | None:
    take = recommend(arms, [forecast(each, 1000, 1) for each in arms])
    return take and (take.job, take.by, list(take.alike))


def test_a_forecast_multiplies_the_sample_to_the_whole_source() -> None:
    rows = [figures(n, [True, True, False, False], cost=0.5) for n in range(20)]
    result = forecast(arm("a", rows, judge_cost=10.0), 1000, 1)
    assert result.accepted.value == 2000
    assert result.tokens == pytest.approx((40_000, 40_000, 40_000))
    assert result.cost == pytest.approx((1000, 1000, 1000))  # 0.5 for the teacher and 0.5 for the judge
    assert result.engine_seconds == pytest.approx((1000, 1000, 1000))
    assert result.tokens_per_accepted == pytest.approx((20, 20, 20))
    assert result.accepted.low < 2000 < result.accepted.high


def test_answers_that_fail_are_shares_of_the_traces() -> None:
    rows = [figures(n, [False] * 4, bare=1, cut_off=2, malformed=3) for n in range(20)]
    result = forecast(arm("a", rows), 1000, 1)
    assert (result.bare.value, result.cut_off.value, result.malformed.value) == (0.25, 0.5, 0.75)
    assert (result.tokens_per_accepted, result.cost) == (None, None)


def test_an_arm_without_answers_has_no_figures() -> None:
    result = forecast(arm("a", []), 1000, 1)
    assert (result.accepted_share, result.tokens, result.adaptive_saving) == ((0, 0, 1), None, None)


def test_the_replay_stops_as_adaptive_sampling_would() -> None:
    plan = Plan(max_traces=4, batch=4, enough=1, give_up=0.0)
    # The first accepted trace comes after 1, 3, 2 and 1 traces in the four rotations.
    assert adaptive_tokens(plan, figures(0, [True, False, False, True])) == 10 * (1 + 3 + 2 + 1) / 4
    assert adaptive_tokens(plan, figures(0, [False] * 4)) == 40
    assert adaptive_tokens(Plan(4, 4, 2, 0.0), figures(0, [True] * 4)) == 20


def test_the_saving_of_adaptive_sampling_has_an_interval() -> None:
    saving = forecast(answered("a", 0.5, 10), 1000, 1).adaptive_saving
    assert saving is not None
    assert 0.2 < saving.low < saving.value < saving.high < 0.8
    assert forecast(answered("a", 0.5, 10), 1000, 4).adaptive_saving is None


def test_the_arm_with_the_cheapest_accepted_traces_is_recommended() -> None:
    assert recommended(answered("a", 0.5, 20), answered("b", 0.5, 10, seed=1)) == ("b", "tokens", [])


def test_a_cheap_arm_with_a_lower_yield_is_not_recommended() -> None:
    assert recommended(answered("rich", 0.8, 20), answered("poor", 0.2, 1)) == ("rich", "tokens", [])


def test_arms_that_the_pilot_cannot_tell_apart_are_named() -> None:
    assert recommended(answered("a", 0.5, 10, noise=5), answered("b", 0.5, 10, seed=7, noise=5)) in (
        ("a", "tokens", ["b"]),
        ("b", "tokens", ["a"]),
    )


def test_prices_decide_where_all_arms_have_them() -> None:
    long, short = answered("long", 0.5, 20, cost=1.0), answered("short", 0.5, 10, cost=3.0)
    assert recommended(long, short) == ("long", "cost", [])


def test_no_arm_is_recommended_without_an_accepted_trace() -> None:
    assert recommended(answered("a", 0.0, 10)) is None
