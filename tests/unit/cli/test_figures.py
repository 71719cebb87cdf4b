"""People read rounded figures with units, and no JSON."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from cli.figures import duration, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.20689655172413793103"), "0.2069"),
        (Decimal("0E-20"), "0"),
        (Decimal("74153"), "74153"),
        (Decimal("12345678901234567890"), "12345678901234567890"),
        (22_020.4, "22020"),
        (2.202e4, "22020"),
        (5e6, "5000000"),
        (872.7123, "872.7"),
        (9999.7, "10000"),
        (999.99, "1000"),
        (0.00001234567, "0.00001235"),
        (3e-20, "3e-20"),
        (-0.0, "0"),
        (float("nan"), "nan"),
        (1_234_567_890_123, "1234567890123"),
        (True, "yes"),
        (None, ""),
        (timedelta(minutes=14, seconds=33), "14 min 33 s"),
    ],
)
def test_figures_are_rounded_and_written_out(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (3.46, "3.5 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (872.7, "14 min 33 s"),
        (3599.9, "1 h 0 min"),
        (11_100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_have_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"rating": 2 / 3, "uninformative": ["rating", "uplift"]}, "rating 0.6667, uninformative rating, uplift"),
        ({"vllm": {"device": "cuda", "options": {}}}, "vllm.device cuda, vllm.options"),
        (["2 + 2 = 4, so it is 4.", "The answer is 4."], "2 + 2 = 4, so it is 4.\nThe answer is 4."),
        ([1, 0.5], "1, 0.5"),
        ([], ""),
        ({}, ""),
    ],
)
def test_lists_and_nested_values_are_words_and_no_json(value: Any, text: str) -> None:
    assert shown(value) == text
