"""The learning benchmark claims differences between recipes over their seeds, as its stored result does."""

import json
from typing import Any

import pytest

from benchmarks.learning import PAIRS, RESULT, differences, figures
from tracemill.statistics import Paired
from trainer.compare import Compared

STORED: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))


def stored_pairs() -> list[list[Compared]]:
    """The arms of each pair and seed with their stored right answers, as few as possible in common."""

    def compared(first: str, second: str, seed: str) -> Compared:
        right = [round(400 * STORED["arms"][arm][seed]["accuracy"]) for arm in (second, first)]
        return Compared("test", Paired(0, *right, 400 - sum(right)))

    return [[compared(first, second, seed) for seed in ("1", "2", "3")] for first, second in PAIRS]


def test_the_stored_differences_follow_from_the_accuracies_by_seed() -> None:
    for pair, row in differences(stored_pairs()).items():
        for key in ("value", "low", "high", "p", "p_holm", "over"):
            assert STORED["differences"][pair][key] == pytest.approx(row[key]), (pair, key)


def test_the_filter_for_right_answers_alone_shows_no_gain_over_seeds() -> None:
    row = differences(stored_pairs())["verified_minus_unfiltered"]
    assert [round(100 * row[key], 1) for key in ("value", "low", "high")] == [3.4, -4.1, 10.9]
    assert row["over"] == "3 seeds"


def test_one_seed_has_a_difference_and_no_interval() -> None:
    one = differences([pairs[:1] for pairs in stored_pairs()])
    assert set(one["verified_minus_unfiltered"]) == {"value", "by_seed_over_questions"}
    flat = figures(STORED | {"differences": one})
    assert flat["verified_minus_unfiltered_value"] == pytest.approx(0.0625)
    assert "verified_minus_unfiltered_low" not in flat
