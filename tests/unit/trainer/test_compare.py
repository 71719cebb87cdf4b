"""Compared sides: their order, the condition for a difference, and its text."""

import pytest

from tracemill.statistics import Interval, Paired, PairedShares, difference, mcnemar, mean_share, share
from trainer.compare import Compared, OverSeeds, family, over_seeds, p_value, percent, points, together, verdict

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
        "over": "questions",
        "p": SUMS.p,
        "p_holm": SUMS.p,
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
    assert verdict(SUMS) == "+15.0 points [+5.3, +24.1] over 100 questions, p = 0.004: more than chance"
    alike = Compared("b", Paired(10, 3, 4, 10))
    assert verdict(alike).endswith(", p = 1.000: no difference is shown")


def test_of_several_tests_one_is_shown_only_by_holm() -> None:
    # Six flips of six have p = 0.03125, which counts twice beside another test.
    weak, none = family([Compared("a", Paired(0, 0, 6, 0)), Compared("b", Paired(0, 3, 3, 0))])
    assert (weak.p, weak.p_holm, weak.shown) == (0.03125, 0.0625, False)
    assert verdict(weak).endswith("over 6 questions, p = 0.031, by Holm p = 0.062: no difference is shown")
    assert (none.as_json()["p"], none.as_json()["p_holm"]) == (1.0, 1.0)
    assert family([SUMS]) == [SUMS]


def test_several_samples_are_compared_by_their_shares_and_not_by_the_first() -> None:
    # Two questions with samples of 4: 1 and 2 right before, 3 and 2 after. The first samples were all wrong.
    shares = PairedShares(2, 4, 0.75, 1.25, 0.0625 + 0.25, 0.5625 + 0.25, 0.1875 + 0.25)
    several = Compared("sums", Paired(0, 0, 0, 2), shares)
    assert several.first == mean_share(2, 0.75, 0.3125, 4)
    assert [several.second.value, several.difference.value] == pytest.approx([0.625, 0.25])
    assert several.p == pytest.approx(0.5)  # differences of 0.5 and 0: t is 1 with one degree of freedom
    # With a benchmark of one sample: 45 of 100 and 2 questions more.
    whole = together([SUMS, several])
    assert whole.questions == 102
    assert (whole.first.value, whole.second.value) == pytest.approx(((35 + 0.75) / 102, (50 + 1.25) / 102))


#: Right answers of 400 by seed: unfiltered traces, and verified ones.
UNFILTERED, VERIFIED = (92, 102, 101), (117, 103, 116)


def pair(benchmark: str, first: int, second: int) -> Compared:
    """Two rounds with so many right answers of 400, as few as possible in common."""
    return Compared(benchmark, Paired(0, first, second, 400 - first - second))


def test_recipes_are_compared_by_the_differences_of_their_seeds() -> None:
    (result,) = over_seeds([[pair("sums", *right)] for right in zip(UNFILTERED, VERIFIED, strict=True)])
    assert result.differences == pytest.approx((0.0625, 0.0025, 0.0375))
    assert result.difference == pytest.approx((0.0342, -0.0407, 0.1090), abs=1e-4)
    assert verdict(result) == "+3.4 points [-4.1, +10.9] over 3 seeds, p = 0.189: no difference is shown"
    figures = result.as_json()
    assert (figures["seeds"], figures["over"], figures["firsts"]) == (3, "seeds", (0.23, 0.255, 0.2525))


def test_only_benchmarks_of_all_seeds_are_compared_over_them() -> None:
    pairs = [[pair("sums", 1, 2), pair("words", 3, 5)], [pair("sums", 1, 4)]]
    assert [result.benchmark for result in over_seeds(pairs)] == ["sums"]


def test_seeds_with_the_same_difference_have_no_interval() -> None:
    result = OverSeeds("sums", (0.25, 0.5), (0.5, 0.75))
    assert (result.difference, result.shown, result.as_json()["difference"]) == (None, False, None)
    assert verdict(result) == "+25.0 points in each of 2 seeds, so there is no interval: no difference is shown"
