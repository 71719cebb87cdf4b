"""Every tolerance: results just inside, exactly at and just outside of it."""

from fractions import Fraction

import pytest

from tracemill.verification.reasoning.equations import check_equations, rounded, shortened
from tracemill.verification.reasoning.grounding import concludes, ungrounded


@pytest.mark.parametrize(
    ("exact", "stated", "decimals", "right"),
    [
        ("0.1249", "0.12", 2, True), ("0.125", "0.12", 2, True), ("0.125", "0.13", 2, True),
        ("0.1249", "0.13", 2, False),
        ("0.1299", "0.12", 2, True), ("0.13", "0.12", 2, False), ("0.1301", "0.12", 2, False),
        ("-0.1299", "-0.12", 2, True), ("-0.1251", "-0.13", 2, True), ("-0.1249", "-0.13", 2, False),
        ("0.009", "0", 2, True), ("-0.009", "0", 2, True), ("0.01", "0", 2, False),
        ("2.49", "2", 0, True), ("2.5", "2", 0, True), ("2.5", "3", 0, True), ("2.51", "2", 0, False),
        ("2.51", "3", 0, True), ("2.49", "3", 0, False),
    ],
)  # fmt: skip
def test_decimals_are_rounded_or_cut_and_integers_only_rounded(
    exact: str, stated: str, decimals: int, right: bool
) -> None:
    assert rounded(Fraction(exact), Fraction(stated), decimals) is right


TRUE = [
    "1/8 = 0.12", "1/8 = 0.13", "2/3 = 0.66", "2/3 = 0.67", "-2/3 = -0.66", "9/1000 = 0.00", "7/2 = 3", "7/2 = 4",
    # percent: rounded, and cut if it has decimals
    "1/3 = 33%", "1/8 = 12%", "1/8 = 13%", "2/3 = 66.6%", "2/3 = 66.7%",
    # a relative error of 1e-9: floating-point numbers and calculator marks have it
    "0.5 + 0.5 = 1.000000001", "<<0.5+0.5=1.000000001>>", "<<0.5+0.5=0.999999999>>",
    # a relative error of 1e-20: approximated roots have it
    "50000000000000000000 * 2 = 100000000000000000001",
]  # fmt: skip
UNCHECKED = [
    # ≈ allows 2 %, or 1 for small numbers
    "10 * 100 ≈ 1020", "10 * 100 ≈ 980", "12 + 7 ≈ 20", "12 + 7 ≈ 18",
    # 0.33 may be up to 0.335: 198 ± 3
    "0.33 * 600 = 201", "0.33 * 600 = 195",
    "8/3 = 2", "200 * 3 = 10 hours", "200.9 * 3 = 10 hours", "20% * 50 = 1000", "20% = 3 * 4",
    "50% + 25% = 80", "$2 + 50 cents = 2.50",
]  # fmt: skip
FALSE = [
    "1/8 = 0.14", "2/3 = 0.65", "2/3 = 0.68", "0.67 * 1 = 0.66", "7/2 = 5",
    "1/8 = 14%", "2/3 = 66%", "2/3 = 66.5%", "1/8 = 12.6%",
    "0.5 + 0.5 = 1.0000000011", "<<0.5+0.5=1.0000000011>>", "<<0.5+0.5=0.9999999989>>",
    "49999999999999999999 * 2 = 99999999999999999999",
    "10 * 100 ≈ 1021", "10 * 100 ≈ 979", "12 + 7 ≈ 21", "12 + 7 ≈ 17",
    "0.33 * 600 = 202", "0.33 * 600 = 194", "$0.33 * 600 = 200",
    "201 * 3 = 10 hours", "20% * 50 = 999", "13 * 3 = 3 weeks", "50% + 25% = 80%",
]  # fmt: skip


@pytest.mark.parametrize("equation", TRUE)
def test_a_result_within_the_tolerance_is_true(equation: str) -> None:
    equations = check_equations([equation])
    assert (equations.checked, equations.false) == (1, [])


@pytest.mark.parametrize("equation", UNCHECKED)
def test_a_result_with_another_possible_reading_is_not_checked(equation: str) -> None:
    equations = check_equations([equation])
    assert (equations.checked, equations.false) == (0, [])


@pytest.mark.parametrize("equation", FALSE)
def test_a_result_just_outside_of_the_tolerance_is_false(equation: str) -> None:
    equations = check_equations([equation])
    assert (equations.checked, len(equations.false)) == (1, 1)


@pytest.mark.parametrize("ratio", [7, 12, 16, 24, 30, 52, 60, 100, 365, 1000, 3600])
def test_a_result_may_be_in_another_unit(ratio: int) -> None:
    assert check_equations([f"{ratio} * 3 = 3 weeks"]).checked == 0
    assert check_equations([f"3 * 4 = {12 * ratio} minutes"]).checked == 0
    assert len(check_equations([f"{ratio + max(1, ratio // 50)} * 3 = 3 weeks"]).false) == 1


@pytest.mark.parametrize(
    ("text", "last"),
    [("50 + 50 = 100%", 1), ("3 + 4 = 7 * 2", 14), ("3 + 4 = 7 times 2", 14), ("2 + 2 = 4 and so on", 4)],
)
def test_a_right_side_is_read_to_its_end(text: str, last: int) -> None:
    assert check_equations([text]).last == last


@pytest.mark.parametrize(("n", "checked"), [(999, 999), (1000, 1000), (1001, 1000)])
def test_the_first_thousand_equations_of_a_trace_are_checked(n: int, checked: int) -> None:
    assert check_equations(["1 + 1 = 2\n" * n]).checked == checked


def test_steps_are_read_up_to_a_hundred_thousand_characters() -> None:
    assert shortened(["a" * 99_998, "bc"]) == ["a" * 99_998, "bc"]
    assert shortened(["a" * 99_999, "bc", "d"]) == ["a" * 99_999, "b", ""]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("14", True), ("15", True), ("13", False), ("16", False),  # 14.5 buses
        ("14.5", True), ("14.4", False), ("14.6", False), ("1450%", True), ("0.145", True), ("1450", True),
        ("1451", False), ("0.146", False),
    ],
)  # fmt: skip
def test_a_derived_fraction_may_become_a_neighbouring_whole_number(answer: str, expected: bool) -> None:
    assert concludes(["29 / 2 = 14.5"], answer) is expected


@pytest.mark.parametrize(("answer", "expected"), [("9.67", True), ("9.66", True), ("9.65", False), ("9.68", False)])
def test_a_derived_number_may_be_rounded_or_cut_in_the_answer(answer: str, expected: bool) -> None:
    assert concludes(["29 / 3 = 9.6667"], answer) is expected


@pytest.mark.parametrize(("length", "expected"), [(100, True), (101, None)])
def test_an_answer_longer_than_a_hundred_characters_is_not_read(length: int, expected: bool | None) -> None:
    assert concludes(["3 + 4 = 7"], "7" + " " * (length - 1)) is expected


@pytest.mark.parametrize(
    ("question", "step", "ungrounded_numbers"),
    [
        # the quotient of two numbers, to 0.005
        ("7 boxes of 3", "7 / 3, that makes about 2.33 each", []),
        ("7 boxes of 3", "7 / 3 → 2.337 each", []),
        ("7 boxes of 3", "7 boxes of 3 are 2.338 each", []),
        ("7 boxes of 3", "7 boxes of 3 are 2.339 each", ["2.339"]),
        ("7 boxes of 3", "7 boxes of 3 are 2.328 each", ["2.328"]),
        # a whole number beside a derived fraction
        ("8.33 boxes", "8.33 boxes, so 9", []),
        ("8.33 boxes", "8.33 boxes, so 8", []),
        ("8.33 boxes", "8.33 boxes, so 11", ["11"]),
        # sum, difference and product of two
        ("17 and 5", "17 and 5 are 22", []),
        ("17 and 5", "17 and 5 are 12", []),
        ("17 and 5", "17 and 5 are 85", []),
        ("17 and 5", "17 and 5 are 23", ["23"]),
    ],
)
def test_a_number_is_grounded_by_two_numbers_near_it(question: str, step: str, ungrounded_numbers: list[str]) -> None:
    assert [finding.text for finding in ungrounded(question, [step])] == ungrounded_numbers


@pytest.mark.parametrize(
    ("question", "given", "ungrounded_numbers"),
    [
        ("20% of all", "20 0.2 80 120 0.8 1.2", "0.02 180 21 0.7 1.3"),
        ("20 percent of all", "20 0.2 80 120 0.8 1.2 0.01", "0.045 281 21"),
        ("0.25 of all", "0.25 0.75 1.25 75 25 0.0025", "0.65 1.35 76 26"),
        ("35 cents", "35 0.35 3500", "34 350 65"),
        ("2.50 dollars", "2.5 250 0.025", "25 3.5"),
        ("3/4 of all", "3 4 0.75 7 75 0.25 1.75", "12 76 0.35 1.65 5"),
        ("forty-five frogs", "45 40 5", "46 44"),
        ("13, 17 and 19", "13 17 19 3", "4 5 6"),  # it gives 3 numbers
        ("nothing", "0 1 2 10 50 100 1000", "3 9 11 51 99 101 1001"),
    ],
)
def test_a_question_gives_these_numbers_and_no_others(question: str, given: str, ungrounded_numbers: str) -> None:
    assert ungrounded(question, [f"Here is {number} now" for number in given.split()]) == []
    steps = [f"Here is {number} now" for number in ungrounded_numbers.split()]
    for step, number in zip(steps, ungrounded_numbers.split(), strict=True):
        assert [finding.text for finding in ungrounded(question, [step])] == [number], step


@pytest.mark.parametrize(
    ("step", "ungrounded_numbers"),
    [
        ("3 apples. So x = 37", []),
        ("3 apples. So it makes 37", ["37"]),
        ("3 apples =  37", []),
        ("37. We add", []),
        ("37 apples", ["37"]),
        ("3 " + "a" * 37 + " = 37", []),  # 39 characters between
        ("3 " + "a" * 38 + " = 37", ["37"]),
    ],
)
def test_a_number_after_a_formula_or_a_variable_is_a_result(step: str, ungrounded_numbers: list[str]) -> None:
    assert [finding.text for finding in ungrounded("3 apples", [step])] == ungrounded_numbers


def test_a_question_is_read_up_to_twenty_thousand_characters() -> None:
    question = "a" * 19_997 + " 37"
    assert ungrounded(question, ["Here is 37 now"]) == []
    assert ungrounded("a" + question, ["Here is 37 now"]) != []
