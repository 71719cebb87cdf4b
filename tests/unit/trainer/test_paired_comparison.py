"""The comparison of two sides that answered the same questions."""

import pytest

from tracemill.statistics import Interval, Paired, difference, share
from trainer.compare import Compared, p_value, percent, points, verdict

#: Right both times, only the first time, only the second time, never.
FOUND = Compared("gsm8k", Paired(both=38, first=3, second=17, neither=42))


def test_each_side_has_its_own_share() -> None:
    assert FOUND.questions == 100
    assert (FOUND.first, FOUND.second) == (share(41, 100), share(55, 100))
    assert FOUND.difference == difference(FOUND.table)
    assert FOUND.difference.value == pytest.approx(0.14)


def test_json_output_has_every_figure() -> None:
    told = FOUND.as_json()
    counts = {name: told[name] for name in ("benchmark", "questions", "both", "only_first", "only_second", "neither")}
    assert counts == {
        "benchmark": "gsm8k",
        "questions": 100,
        "both": 38,
        "only_first": 3,
        "only_second": 17,
        "neither": 42,
    }
    assert [told[name]["value"] for name in ("first", "second", "difference")] == pytest.approx([0.41, 0.55, 0.14])
    # 3 or fewer of 20 flips, twice: the binomial by hand.
    assert told["p"] == pytest.approx(2 * (1 + 20 + 190 + 1140) / 2**20)


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        (0, 5, False),  # p = 2 / 32 = 0.0625
        (0, 6, True),  # p = 2 / 64 = 0.03125
        (6, 0, True),
        (5, 5, False),
    ],
)
def test_a_difference_is_shown_below_a_probability_of_one_in_twenty(first: int, second: int, shown: bool) -> None:
    assert Compared("b", Paired(10, first, second, 10)).shown is shown


def test_a_chance_of_exactly_one_in_twenty_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for p, shown in ((0.05, False), (0.0499, True)):
        monkeypatch.setattr("trainer.compare.mcnemar", lambda table, p=p: p)
        assert FOUND.shown is shown


def test_a_comparison_has_the_difference_and_its_significance() -> None:
    assert verdict(FOUND) == (
        f"{points(FOUND.difference).replace(' [', ' points [')} over 100 questions, p = 0.003: more than chance"
    )
    assert verdict(Compared("b", Paired(0, 2, 3, 0))).endswith("p = 1.000: no difference is shown")


def test_figures_are_written_in_percent_with_their_interval() -> None:
    assert percent(Interval(0.235, 0.201, 0.279)) == "23.5 [20.1, 27.9]"
    assert points(Interval(0.087, -0.032, 0.14)) == "+8.7 [-3.2, +14.0]"


@pytest.mark.parametrize(
    ("p", "text"), [(0.031, "p = 0.031"), (0.001, "p = 0.001"), (0.00099, "p < 0.001"), (1.0, "p = 1.000")]
)
def test_a_chance_is_written_with_three_decimals(p: float, text: str) -> None:
    assert p_value(p) == text
