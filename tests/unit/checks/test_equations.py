"""Which equations are checked, and which are false."""

from time import perf_counter

import pytest

from workers.checks.equations import check_equations

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
    ("12 + 7 - 3 = 17", "12 + 7 - 3 = 17"), ("First 12 + 7 = 19. Then 19 - 3 = 17.", "19 - 3 = 17"),
    ("5 apples + 3 apples = 9 apples", "5 + 3 = 9"), ("2 x 3 = 7", "2 * 3 = 7"), ("$5 + $3 = $9", "5 + 3 = 9"),
    (r"$12 \times 3 = 37$", "12 * 3 = 37"), ("**12 + 7 = 20**", "12 + 7 = 20"), ("- 12 + 7 = 20", "12 + 7 = 20"),
    ("3+4=7*2=15", "7 * 2 = 15"), ("3+4=2*7", "3 + 4 = 2 * 7"), ("10/3 = 3.34", "10 / 3 = 3.34"),
    ("2*(3+4) = 13", "2 * ( 3 + 4 ) = 13"),
    ("1,200 + 300 = 1,600", "1200 + 300 = 1600"), ("48/2 = <<48/2=25>>25 clips", "48/2 = 25"),
    ("0.1 + 0.2 = 0.4", "0.1 + 0.2 = 0.4"),
    ("12 + 7 = 19 and then 19 - 3 = 17", "19 - 3 = 17"), ("So 5 + -3 = 3.", "5 + - 3 = 3"),
    ("1. 5 + 3 = 9", "5 + 3 = 9"),
]  # fmt: skip

SILENT = [
    "x + 3 = 5", "2x + 3 = 8", "20% * 50 = 11", "100 - 20% = 81", "3 1/2 + 1 = 5",
    "60 minutes + 30 minutes = 1.5 hours",
    "20 + 40 = 1 hour", "7/2 = 3 remainder 1", "7/2 = 3", "2^3 + 1 = 10", "2**3 = 9", "√4 + 1 = 9", "5! + 1 = 9",
    "12 + 7 = ?",
    "12 + 7 ≈ 20", "12 + 7 >= 20", "a == 5", "twice 5 + 3 = 13", "half of 10 + 2 = 7", "sum of 5 and 3 = 8",
    "f(3) = 5 + 5",
    "28 / 1/5 = 140", "14, 400 / 80 = 180", "4 pounds - 6 ounces = 58 ounces", "1/0 = 5", "3:4 + 1 = 9",
    "1+2+...+10 = 55",
    "2 + 3 = 5 and a half", "50 * 2 = 1 dozen", r"\frac{1}{2} + 1 = 7", "2 + 2 = 5x", "2 + 2 = 5%", "3rd + 1 = 9",
    "1 hour = 60 minutes",
    "1 + 1 = 2.0.1", "3,50 + 1 = 9", "8 batches = 5.5 * 8", "9" * 50 + " + 1 = 2", "(" * 50 + "1+1" + ")" * 50 + " = 3",
]  # fmt: skip


@pytest.mark.parametrize(("text", "checked"), TRUE)
def test_true_equations_are_checked_and_raise_no_alarm(text: str, checked: int) -> None:
    found = check_equations(text)
    assert (found.checked, found.false) == (checked, [])


@pytest.mark.parametrize(("text", "false"), FALSE)
def test_a_false_equation_is_found_and_quoted(text: str, false: str) -> None:
    assert false in check_equations(text).false


@pytest.mark.parametrize("text", SILENT)
def test_what_cannot_be_read_with_certainty_raises_no_alarm(text: str) -> None:
    assert check_equations(text).false == []


@pytest.mark.parametrize(
    "unit", ["1+1=", "1+1=2 ", "(", "1 x ", "a a a = ", "<<1=", "=", "1,", "1.", "1,111", "$", "\\", "- ", "** ",
    "\n- 1=1", "((1)"]
)  # fmt: skip
def test_a_megabyte_of_anything_is_checked_in_a_moment(unit: str) -> None:
    start = perf_counter()
    check_equations(unit * (1_000_000 // len(unit)))
    assert perf_counter() - start < 2
