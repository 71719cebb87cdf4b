"""Compared sides: their order, the condition for a difference, and its text."""

import pytest

from tracemill.statistics import Interval, Paired, difference, mcnemar, share
from trainer.compare import Compared, p_value, percent, points, verdict

SUMS = Compared("sums", Paired(both=30, first=5, second=20, neither=45))


def test_each_side_has_its_own_share_of_all_questions() -> None:
    assert SUMS.questions == 100
    assert SUMS.first == share(35, 100)
    assert SUMS.second == share(50, 100)
    assert SUMS.difference == difference(Paired(30, 5, 20, 45))
    assert SUMS.difference.value == pytest.approx(0.15)
    assert SUMS.p == mcnemar(Paired(30, 5, 20, 45))


def test_json_names_each_figure() -> None:
    assert SUMS.as_json() == {
        "benchmark": "sums",
        "questions": 100,
        "first": share(35, 100)._asdict(),
        "second": share(50, 100)._asdict(),
        "difference": SUMS.difference._asdict(),
        "p": SUMS.p,
        "only_first": 5,
        "only_second": 20,
        "both": 30,
        "neither": 45,
    }


@pytest.mark.parametrize(("flips", "shown"), [(5, False), (6, True)])
def test_a_difference_is_shown_below_one_chance_in_twenty(flips: int, shown: bool) -> None:
    # Five flips of one direction have p = 0.0625, six 0.03125.
    assert Compared("b", Paired(0, 0, flips, 0)).shown is shown
    assert Compared("b", Paired(0, flips, 0, 0)).shown is shown


def test_figures_are_written_in_percent_and_points() -> None:
    assert percent(Interval(0.2354, 0.2, 0.2796)) == "23.5 [20.0, 28.0]"
    assert points(Interval(0.087, -0.032, 0.14)) == "+8.7 [-3.2, +14.0]"
    assert points(Interval(-0.087, -0.14, 0.032)) == "-8.7 [-14.0, +3.2]"


@pytest.mark.parametrize(
    ("p", "words"), [(0.00099, "p < 0.001"), (0.001, "p = 0.001"), (0.0309, "p = 0.031"), (1.0, "p = 1.000")]
)
def test_a_p_value_below_one_in_a_thousand_is_no_number(p: float, words: str) -> None:
    assert p_value(p) == words


def test_a_comparison_has_the_difference_its_interval_and_a_conclusion() -> None:
    assert verdict(SUMS) == "+15.0 points [+5.3, +24.1], p = 0.004: more than chance"
    alike = Compared("b", Paired(10, 3, 4, 10))
    assert verdict(alike).endswith(", p = 1.000: no difference is shown")
