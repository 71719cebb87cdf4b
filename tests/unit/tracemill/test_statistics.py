"""Intervals: known values and edge cases."""

import math
from itertools import product

import pytest

from tracemill.statistics import Paired, auc, difference, majority_right, mcnemar, pass_at, share


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_a_share_has_wilsons_interval(hits: int, of: int, low: float, high: float) -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
    assert share(hits, of) == pytest.approx((hits / of, low, high), abs=5e-5)


@pytest.mark.parametrize(("hits", "of"), [(0, 3), (1, 4), (7, 7), (250, 1000)])
def test_the_ends_of_an_interval_are_1_96_errors_from_the_share(hits: int, of: int) -> None:
    interval = share(hits, of)
    for end in (interval.low, interval.high):
        assert (interval.value - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / of, abs=1e-12)


def test_rounding_leaves_no_share_outside_its_interval() -> None:
    for of in range(1, 200):
        for hits in (0, of // 2, of):
            interval = share(hits, of)
            assert 0 <= interval.low <= interval.value <= interval.high <= 1


def test_a_paired_difference_has_newcombes_interval() -> None:
    # Newcombe 1998, Statistics in Medicine 17:2635, method 10: 36 both, 12 one way, 2 the other way, 0 neither
    assert difference(Paired(36, 2, 12, 0)) == pytest.approx((0.2, 0.0569, 0.3404), abs=5e-5)
    # Answers that agree, by hand: phi is 1250 less the correction of 50, over the root of 35 * 65 * 50 * 50: 0.50317.
    assert difference(Paired(30, 5, 20, 45)) == pytest.approx((0.15, 0.053489, 0.241370), abs=5e-6)


def test_the_interval_of_no_items_is_0_to_1() -> None:
    assert share(0, 0) == (0.0, 0.0, 1.0)


def test_a_perfect_judge_has_auc_one_and_a_useless_one_a_half() -> None:
    perfect = auc([0.9, 0.8], [0.1, 0.2])
    useless = auc([0.5] * 40, [0.5] * 40)
    assert perfect is not None
    assert perfect.value == 1.0
    assert useless is not None
    assert useless.value == 0.5
    assert useless.low < 0.5 < useless.high


def test_auc_counts_ties_as_half() -> None:
    interval = auc([1, 2, 3], [2, 2, 0])
    assert interval is not None
    # pairs won: 1>0; 2>0 and two ties; 3 beats all three = 1 + 1 + 2 * 0.5 + 3 = 6 of 9
    assert interval.value == pytest.approx(6 / 9)


def test_unequal_spreads_of_scores_widen_the_interval_of_an_auc() -> None:
    interval = auc([0.9] * 5 + [0.1] * 5, [0.5] * 10)
    assert interval is not None
    assert interval.value == 0.5
    # DeLong: ten placements of 0 or 1 around 0.5, 2.5 / (9 * 10); Newcombe: 0.25 / 100 * (1 + 9 * 2 / 3).
    widened = (2.5 / 90) / (0.25 / 100 * 7)
    for end in (interval.low, interval.high):
        variance = end * (1 - end) / 100 * (1 + 9 * ((1 - end) / (2 - end) + end / (1 + end)))
        assert abs(end - 0.5) == pytest.approx(1.959964 * math.sqrt(widened * variance))


def test_auc_without_wrong_items_is_unknown() -> None:
    assert auc([1.0], []) is None


def test_a_paired_interval_holds_the_truth_in_about_95_percent_of_cases() -> None:
    def coverage(chances: tuple[float, float, float, float], n: int = 20) -> float:
        """The share of tables of n questions whose interval holds the truth, weighted by their chance."""
        truth = chances[2] - chances[1]
        held = 0.0
        for both, first, second in product(range(n + 1), repeat=3):
            if (neither := n - both - first - second) >= 0:
                table = Paired(both, first, second, neither)
                interval = difference(table)
                ways = math.factorial(n) / math.prod(map(math.factorial, table))
                chance = ways * math.prod(p**count for p, count in zip(chances, table, strict=True))
                held += chance * (interval.low <= truth <= interval.high)
        return held

    for chances in ((0.25, 0.25, 0.25, 0.25), (0.1, 0.05, 0.25, 0.6), (0.6, 0.1, 0.1, 0.2), (0.1, 0.4, 0.1, 0.4)):
        assert 0.93 < coverage(chances) < 0.99, chances


def test_a_paired_difference_turns_its_sign_with_the_order() -> None:
    forward, backward = difference(Paired(30, 5, 20, 45)), difference(Paired(30, 20, 5, 45))
    assert forward == pytest.approx((-backward.value, -backward.high, -backward.low))
    assert forward.value == pytest.approx(0.15)


def test_correlated_answers_narrow_the_interval_of_the_difference() -> None:
    # 50 % and 60 % right in both tables. The right questions are nearly the same, or unrelated.
    alike, unrelated = difference(Paired(48, 2, 12, 38)), difference(Paired(30, 20, 30, 20))
    assert alike.value == unrelated.value == pytest.approx(0.1)
    assert alike.high - alike.low < (unrelated.high - unrelated.low) / 1.5


@pytest.mark.parametrize("table", [Paired(0, 0, 0, 0), Paired(10, 0, 0, 0), Paired(0, 0, 10, 0), Paired(0, 10, 0, 0)])
def test_a_paired_difference_stays_between_minus_one_and_one(table: Paired) -> None:
    interval = difference(table)
    assert -1 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.low < interval.high


def test_mcnemar_is_a_sign_test_of_the_flips() -> None:
    assert mcnemar(Paired(7, 1, 8, 4)) == pytest.approx(2 * (1 + 9) / 2**9)
    assert mcnemar(Paired(90, 0, 0, 10)) == mcnemar(Paired(0, 5, 5, 0)) == 1.0
    assert mcnemar(Paired(0, 8, 1, 0)) == mcnemar(Paired(500, 1, 8, 900))


def test_mcnemar_takes_thousands_of_flips() -> None:
    assert 0 < mcnemar(Paired(0, 1000, 1200, 0)) < 0.001


def test_pass_at_k_is_the_mean_over_all_choices_of_k_samples() -> None:
    samples = [True, True, False, False, False]
    pairs = [(a, b) for i, a in enumerate(samples) for b in samples[i + 1 :]]
    assert pass_at(2, 2, 5) == pytest.approx(sum(a or b for a, b in pairs) / len(pairs))
    assert pass_at(1, 2, 5) == pytest.approx(0.4)
    assert (pass_at(5, 1, 5), pass_at(3, 0, 5)) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("answers", "right"),
    [
        ([("7", True), ("7.0", True), ("8", False)], 1.0),
        ([("7", True), ("8", False), ("8 ", False)], 0.0),
        ([("7", True), ("8", False), (None, False)], 0.5),
        ([("7", True), ("8", False), ("9", False)], 1 / 3),
        ([("A b", False), ("a B", False), ("7", True)], 0.0),
        ([("", False), ("", False), ("7", True)], 0.0),
        ([(None, False)], 0.0),
        ([], 0.0),
    ],
)
def test_a_majority_vote_joins_right_answers_and_separates_wrong_spellings(
    answers: list[tuple[str | None, bool]], right: float
) -> None:
    assert majority_right(answers) == pytest.approx(right)
