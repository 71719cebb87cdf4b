"""Equations that are checked, and equations that are false."""

import json
import re
from pathlib import Path
from time import thread_time

import pytest

from tracemill.verification.reasoning.equations import check_equations
from tracemill.verification.reasoning.steps import split

SOLUTIONS = [json.loads(line) for line in (Path(__file__).parent / "solutions.jsonl").read_text().splitlines()]

TRUE = [
    ("12 + 7 - 3 = 16", 1), ("First 12 + 7 = 19. Then 19 - 3 = 16.", 2), ("5 apples + 3 apples = 8 apples", 1),
    ("(2+3)*4 = 20", 1), ("2 × 3 = 6", 1), ("2 x 3 = 6", 1), ("2·3=6 and then 6÷2=3", 2), ("1,200 + 300 = 1,500", 1),
    ("$5 + $3 = $8", 1), (r"$12 \times 3 = 36$", 1), (r"\(5 + 3 = 8\)", 1), ("3+4=7*2=14", 2), ("2*7=3+11=14", 2),
    ("10/3 = 3.33", 1), ("2/3 = 0.67", 1), ("2/3 = 0.66", 1), ("10 / 4 = 2.5 miles", 1), ("-5 + 3 = -2", 1),
    ("5 − 3 = 2", 1),
    ("48/2 = <<48/2=24>>24 clips", 2), ("<<1/3=0.3333333333333>>", 1), ("**12 + 7 = 19**", 1), ("12 + 7 = **19**", 1),
    ("- 12 + 7 = 19\n- 3 + 3 = 6", 2), ("1. 5 + 3 = 8\n2. 8 + 1 = 9", 2), ("So 5 + -3 = 2.", 1),
    ("She has 5*2=10 left", 1),
    ("5 * $2 = $10", 1), ("total: 4 + 4 = 8.", 1), ("0.1 + 0.2 = 0.3", 1), ("4 + 1.5 = 5.5", 1), (".5 * 4 = 2", 1),
]  # fmt: skip

FALSE = [
    ("17-12 = 6 pages", "17 - 12 = 6"), ("12 - 17 = 5", "12 - 17 = 5"), ("10-20 = 5 years", "10 - 20 = 5"),
    ("9-4 = 6 hours", "9 - 4 = 6"), ("8-3 = 11 apples", "8 - 3 = 11"),
    ("Black:70/2=37 pigeons", "70 / 2 = 37"), ("Tree:(108/2)-6=50 feet", "( 108 / 2 ) - 6 = 50"),
    ("12 + 7 - 3 = 17", "12 + 7 - 3 = 17"), ("First 12 + 7 = 19. Then 19 - 3 = 17.", "19 - 3 = 17"),
    ("5 apples + 3 apples = 9 apples", "5 + 3 = 9"), ("2 x 3 = 7", "2 * 3 = 7"), ("$5 + $3 = $9", "5 + 3 = 9"),
    (r"$12 \times 3 = 37$", "12 * 3 = 37"), ("**12 + 7 = 20**", "12 + 7 = 20"), ("- 12 + 7 = 20", "12 + 7 = 20"),
    ("3+4=7*2=15", "7 * 2 = 15"), ("3+4=2*7", "3 + 4 = 2 * 7"), ("10/3 = 3.34", "10 / 3 = 3.34"),
    ("2*(3+4) = 13", "2 * ( 3 + 4 ) = 13"),
    ("1,200 + 300 = 1,600", "1200 + 300 = 1600"), ("48/2 = <<48/2=25>>25 clips", "48 / 2 = 25"),
    ("0.1 + 0.2 = 0.4", "0.1 + 0.2 = 0.4"),
    ("2^3 = 9", "2 ^ 3 = 9"), ("20% of 50 = 11", "20 % of 50 = 11"), ("15/60 = 30%", "15 / 60 = 30 %"),
    ("20% * 50 = 11", "20 % * 50 = 11"),
    (r"\frac{1}{2} + 1 = 7", "( 1 / 2 ) + 1 = 7"), (r"\sqrt{16} = 5", "√( 16 ) = 5"), ("5! = 121", "5 ! = 121"),
    ("2(3+4) = 13", "2 * ( 3 + 4 ) = 13"), ("3 + 4 &= 7 \\\\\n&= 2 + 6", "7 = 2 + 6"),
    ("12 * 5\n= 61", "12 * 5 = 61"),
    ("5 times 3 is 16", "5 * 3 = 16"), ("a total of 3 + 4 = 8 to share", "3 + 4 = 8"),
    ("145 - 55 = 91 cents", "145 - 55 = 91"),
    ("<<6*4=23>>24", "6 * 4 = 23"), ("We have $5^2 = 34$ and more", "5 ^ 2 = 34"),
    ("12 + 7 = 19 and then 19 - 3 = 17", "19 - 3 = 17"), ("So 5 + -3 = 3.", "5 + - 3 = 3"),
    ("1. 5 + 3 = 9", "5 + 3 = 9"),
]  # fmt: skip

#: Hyphens, scales and scores that look like equations of the same numbers.
NO_EQUATIONS = [
    "The drought of 1876-1879 = 3 years without rain.", "Read chapters 4-9 = 6 chapters.", "lines 20 – 24 = 5 lines",
    "It takes 30-50 = 40 minutes on average.", "A shift is 10-6 = 8 hours.", "They won 4-3 = 7 goals in one game.",
    "Between 1914 - 1918 = 4 years of war", "2.5 lakh + 75,000 = 3.25 lakh rupees", "1 crore - 20 lakh = 80 lakh",
    "3 bn + 400 mn = 3.4 bn", "seats 12–19 = 8 seats",
]  # fmt: skip

UNCHECKED = [
    *NO_EQUATIONS,
    "x + 3 = 5", "2x + 3 = 8", "100 - 20% = 81", "b - 3 - 2 = -3", "0900 - 0130 = 0730", "5 + 8 = 1 (mod 12)",
    "5 + 3 = 9?",
    "But 5 + 3 = 9 is impossible", r"\sqrt[3]{64} + 1 = 5 + 4", r"\lfloor 7/2 + 1 \rfloor = 4", "Is 4/7 equal to 24?",
    "2/5 is 12.8 hectares", "0.33 * 600 = 200", "49/12 = 5 boxes", "If x = 3 then 3 + 4 = 8",
    "25 guests + his 1 son + 1 = 27",
    "In base 7, 5 + 3 = 11", "```\n1 + 1 = 3\n```", "10 / 3 * 6 = 3.33 * 6", "3 m + 4 = 19", "- 12 + 7 = -5",
    "60 minutes + 30 minutes = 1.5 hours",
    "20 + 40 = 1 hour", "7/2 = 3 remainder 1", "7/2 = 3", 
    "12 + 7 = ?",
    "12 + 7 ≈ 20", "12 + 7 >= 20", "a == 5", "twice 5 + 3 = 13", "half of 10 + 2 = 7", "sum of 5 and 3 = 8",
    "f(3) = 5 + 5",
    "28 / 1/5 = 140", "14, 400 / 80 = 180", "4 pounds - 6 ounces = 58 ounces", "1/0 = 5", "3:4 + 1 = 9",
    "1+2+...+10 = 55",
    "2 + 3 = 5 and a half", "50 * 2 = 1 dozen", "2 + 2 = 5x", "2 + 2 = 5%", "3rd + 1 = 9",
    "1 hour = 60 minutes",
    "1 + 1 = 2.0.1", "3,50 + 1 = 9", "8 batches = 5.5 * 8", "9" * 50 + " + 1 = 2",
    "(" * 50 + "1+1" + ")" * 50 + " = 3",
]  # fmt: skip


@pytest.mark.parametrize(("text", "checked"), TRUE)
def test_true_equations_are_checked_and_raise_no_alarm(text: str, checked: int) -> None:
    equations = check_equations([text])
    assert (equations.checked, equations.false) == (checked, [])


@pytest.mark.parametrize(("text", "false"), FALSE)
def test_a_false_equation_is_reported_and_quoted(text: str, false: str) -> None:
    assert false in [finding.text for finding in check_equations([text]).false]


@pytest.mark.parametrize("text", UNCHECKED)
def test_an_equation_with_an_uncertain_reading_raises_no_alarm(text: str) -> None:
    assert check_equations([text]).false == []


RESULT = re.compile(
    r"(?<=[=])( ?)(\\boxed\{|\*\*)?(\$?)(-?\d[\d,]*(?:\.\d+)?)(?![\d,.]*\d)(?!\s?[-+*/×x·^÷\\(]\s?[\d$c])(?=[^/%^]|$)"
)


def _wrong_number(number: str, seed: int) -> str:
    if "." in number:
        return f"{float(number.replace(',', '')) + (1, -1, 10)[seed % 3]:.2f}"
    return str(int(number.replace(",", "")) + (1, -2, 10, 9, -1)[seed % 5])


def _planted(with_marks: bool) -> list[tuple[list[str], int]]:
    """Return copies of the solutions with one wrong result, and its step."""
    planted = []
    for solution in SOLUTIONS:
        steps = split(solution["trace"])
        for index, step in enumerate(steps):
            for match in RESULT.finditer(step):
                if not re.search(r"[\d)}²!]\D{0,25}$", step[: match.start() - 1]):
                    continue
                wrong = _wrong_number(match[4], len(planted))
                mark = f"<<{_formula(step[: match.start() - 1])}={wrong}>>" if with_marks else ""
                changed = f"{step[: match.start(4)]}{mark}{wrong}{step[match.end(4) :]}"
                planted.append(([*steps[:index], changed, *steps[index + 1 :]], index))
    return planted


def _formula(before: str) -> str:
    formula = re.search(r"[\d$][\d.,$]*(?: ?[-+*/×] ?[\d$][\d.,$]*)+ ?$", before)
    return re.sub(r"[ $,]", "", formula[0]) if formula else "0+0"


def test_shipped_solutions_are_true_and_nearly_all_are_checked() -> None:
    results = [check_equations(split(solution["trace"])) for solution in SOLUTIONS]
    assert len(SOLUTIONS) >= 40
    assert all(not equations.false for equations in results)
    assert sum(equations.checked > 0 for equations in results) >= 0.95 * len(SOLUTIONS)


@pytest.mark.parametrize("marks", [False, True])
def test_a_planted_error_is_reported_at_its_step(marks: bool) -> None:
    planted = _planted(marks)
    findings = [check_equations(steps).false for steps, _ in planted]
    n_right = sum(bool(false) and false[0].step == index for false, (_, index) in zip(findings, planted, strict=True))
    assert len(planted) >= 90
    assert n_right >= 0.95 * len(planted)


def test_the_value_after_the_last_equals_sign_is_returned() -> None:
    assert check_equations(["3 + 4 = 7", "so x = 7 * 2"]).last == 14
    assert check_equations(["3 + 4 = y"]).last is None


@pytest.mark.parametrize(
    ("text", "compound"),
    [
        ("3 + 4 + 4 = 11", 1), ("3 + 4 = 7. 7 + 4 = 11", 0), ("(3+4)*2=14", 1), ("3+4=7*2=14", 0), ("-3 + 4 = 1", 0),
        ("$5 + $3 = $8", 0), ("10 / 4 = 2.5 miles", 0), ("3 + 4 + 4 = 12", 1), ("x + 3 + 4 = 9", 0), ("So 5.", 0),
    ],
)  # fmt: skip
def test_an_equation_with_several_operations_is_counted(text: str, compound: int) -> None:
    assert check_equations([text]).compound == compound


@pytest.mark.parametrize(
    "unit", ["1+1=", "1+1=2 ", "(", "1 x ", "a a a = ", "<<1=", "=", "1,", "1.", "1,111", "$", "\\", "- ", "** ",
    "\n- 1=1", "((1)"]
)  # fmt: skip
def test_checking_a_megabyte_takes_under_two_seconds(unit: str) -> None:
    start = thread_time()
    check_equations([unit * (1_000_000 // len(unit))])
    assert thread_time() - start < 2
