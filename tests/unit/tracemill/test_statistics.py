"""Intervals: known values and edge cases."""

import math
import random
from itertools import product

import pytest

from tracemill.statistics import (
    Paired,
    PairedShares,
    auc,
    difference,
    holm,
    majority_right,
    mcnemar,
    mean_share,
    over_runs,
    paired_t,
    pass_at,
    share,
)


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


def test_the_mean_over_runs_has_students_interval() -> None:
    # By hand: mean 3.4167, standard deviation 3.0139; Student's quantiles are 4.3027 (2 degrees) and 2.7764 (4).
    assert over_runs([6.25, 0.25, 3.75]) == pytest.approx((3.4167, -4.0702, 10.9035), abs=1e-4)
    assert over_runs([1, 2, 3, 4, 5]) == pytest.approx(
        (3, 3 - 2.7764 * math.sqrt(0.5), 3 + 2.7764 * math.sqrt(0.5)), abs=1e-4
    )
    # With two values the quantile is 12.7062, and the standard error half their distance.
    assert over_runs([0, 2]) == pytest.approx((1, 1 - 12.7062, 1 + 12.7062), abs=1e-4)


@pytest.mark.parametrize("values", [[], [0.25], [0.25, 0.25, 0.25]])
def test_runs_without_a_spread_have_no_interval(values: list[float]) -> None:
    assert over_runs(values) is None
    assert paired_t(values) == 1.0


def test_students_test_of_paired_differences_has_its_tabled_p_values() -> None:
    # With 2 degrees of freedom p is 1 - t / sqrt(2 + t^2); t is 1.9635.
    assert paired_t([6.25, 0.25, 3.75]) == pytest.approx(0.18856, abs=1e-5)
    # Three pairs of degrees of freedom and 97.5 % quantiles of Student's table.
    for values, t in (([-1, 1], 12.7062), ([-1, 0, 1, 0], 3.1824), ([-2, -1, 0, 1, 2], 2.7764)):
        error = math.sqrt(sum(value * value for value in values) / (len(values) - 1) / len(values))
        assert paired_t([value + t * error for value in values]) == pytest.approx(0.05, abs=1e-5)
    assert paired_t([1, -2, 4]) == paired_t([-1, 2, -4])


@pytest.mark.parametrize("n", [2, 3, 5])
def test_an_interval_over_runs_holds_the_recipes_mean_95_times_of_100(n: int) -> None:
    draw = random.Random(n)
    intervals = [over_runs([draw.gauss(3.4, 2.0) for _ in range(n)]) for _ in range(4000)]
    covered = sum(interval is not None and interval.low <= 3.4 <= interval.high for interval in intervals)
    assert 0.94 < covered / 4000 < 0.96


def test_holm_raises_each_p_value_by_the_tests_that_are_left() -> None:
    # By hand: 0.005 * 4, 0.01 * 3, 0.03 * 2; the last, 0.04 * 1, may not fall below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert (holm([0.04]), holm([])) == ([0.04], [])


def test_holm_claims_a_difference_in_5_of_100_families_without_one() -> None:
    draw = random.Random(20)
    families = [holm([draw.random() for _ in range(6)]) for _ in range(4000)]
    assert 0.04 < sum(min(family) < 0.05 for family in families) / 4000 < 0.06


def paired_shares(first: list[float], second: list[float], samples: int) -> PairedShares:
    squares = (sum(x * x for x in first), sum(x * x for x in second))
    products = sum(x * y for x, y in zip(first, second, strict=True))
    return PairedShares(len(first), samples, sum(first), sum(second), *squares, products)


def test_shares_of_one_sample_have_the_interval_of_a_share() -> None:
    assert mean_share(263, 81, 81, 1) == pytest.approx(share(81, 263))
    assert mean_share(20, 0, 0, 4) == share(0, 20)
    assert mean_share(0, 0, 0, 4) == share(0, 0)


def test_the_samples_of_a_question_count_as_questions_only_as_far_as_they_differ() -> None:
    # By hand: shares 0, 1/2, 1/2, 1 have mean 1/2 and variance 1/8 where one sample has 1/4: 8 questions of 4.
    assert mean_share(4, 2, 1.5, 2) == pytest.approx(share(4, 8))
    # All samples of a question agree: 4 questions, however many samples there are.
    assert mean_share(4, 2, 2, 100) == pytest.approx(share(2, 4))
    # Hardly any spread: never more questions than samples; none at all: those there are.
    assert mean_share(4, 2, 1 + 1e-6, 3) == pytest.approx(share(6, 12))
    assert mean_share(4, 2, 1, 3) == pytest.approx(share(2, 4))


def test_an_interval_of_several_samples_holds_the_mean_95_times_of_100() -> None:
    draw = random.Random(7)

    def held() -> bool:
        # The chance of a right sample differs from question to question; its mean is 0.4.
        chances = [draw.betavariate(0.8, 1.2) for _ in range(100)]
        shares = [sum(draw.random() < chance for _ in range(4)) / 4 for chance in chances]
        interval = mean_share(100, sum(shares), sum(each * each for each in shares), 4)
        return interval.low <= 0.4 <= interval.high

    assert 0.935 < sum(held() for _ in range(2000)) / 2000 < 0.965


def test_a_difference_of_several_samples_holds_the_truth_95_times_of_100() -> None:
    draw = random.Random(8)

    def outcome() -> tuple[bool, bool]:
        """Whether the interval holds a true difference of 0.1, and whether equal sides differ by the test."""
        chances = [0.9 * draw.betavariate(0.8, 1.2) for _ in range(100)]

        def answers(gain: float) -> list[float]:
            return [sum(draw.random() < chance + gain for _ in range(4)) / 4 for chance in chances]

        before, after, again = answers(0), answers(0.1), answers(0)
        interval = paired_shares(before, after, 4).difference
        return interval.low <= 0.1 <= interval.high, paired_shares(before, again, 4).p < 0.05

    held, differ = zip(*(outcome() for _ in range(1000)), strict=True)
    assert 0.93 < sum(held) / 1000 < 0.97
    assert 0.03 < sum(differ) / 1000 < 0.07


def test_the_test_of_several_samples_is_students_of_the_differences_by_question() -> None:
    first, second = [0.0, 0.5, 0.25, 1.0, 0.75], [0.5, 0.5, 0.75, 1.0, 0.5]
    differences = [after - before for before, after in zip(first, second, strict=True)]
    assert paired_shares(first, second, 4).p == pytest.approx(paired_t(differences))
    assert paired_shares(first, first, 4).p == 1.0
    assert paired_shares([0.5], [1.0], 2).p == 1.0
