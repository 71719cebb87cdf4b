"""Values of expressions in running text."""

from fractions import Fraction

import pytest

from tracemill.verification.reasoning.arithmetic import evaluate, parts, tokenize

VALUES = [
    ("3 + 4 * 2", 11), ("(3 + 4) * 2", 14), ("2(3 + 4)", 14), ("(1 + 1)(2 + 3)", 10), ("-5 + 3", -2), ("- 5", -5),
    ("1,200 / 7", Fraction(1200, 7)), (".5 * 4", 2), ("2^3", 8), ("5²", 25), ("2**3", 8), ("2^{-1}", Fraction(1, 2)),
    ("-3^2", -9), ("(-3)^2", 9), ("20%", Fraction(1, 5)), ("20% of 50", 10), (r"20\% \cdot 50", 10), ("5!", 120),
    (r"\frac{3}{4}", Fraction(3, 4)), (r"\dfrac12", Fraction(1, 2)), (r"\sqrt{16}", 4), ("√9", 3), (r"2\sqrt{4}", 4),
    (r"\binom{5}{2}", 10), ("3 1/2", Fraction(7, 2)), ("5 times 3", 15), ("12 divided by 4", 3),
    ("2 × 3 ÷ 4", Fraction(3, 2)),
    (r"\boxed{5}", 5), (r"\left(2 + 3\right)", 5), ("2x3", 6), ("90^\\circ + 45^\\circ", 135), ("$5 + $3", 8),
]  # fmt: skip

NO_VALUES = [
    "", "x", "2x", "3 4", "1/0", "2^", "2^1000000", "9^9^9", "999!", "(-1)!", r"\sqrt{-1}", "(" * 50 + "1" + ")" * 50,
    "9" * 50, "1" + "+1" * 500, "3,50", "1.2.3", "0900", r"\frac{1}{0}", "__import__", "2 = 2", "5 or 6",
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_an_expression_has_its_exact_value(text: str, value: int | Fraction) -> None:
    assert evaluate(tokenize(text)) == value


@pytest.mark.parametrize("text", NO_VALUES)
def test_no_expression_or_too_large_an_expression_has_no_value(text: str) -> None:
    assert evaluate(tokenize(text)) is None


def test_an_irrational_root_has_forty_exact_decimals() -> None:
    root = evaluate(tokenize(r"\sqrt{2}"))
    assert root is not None
    assert abs(root * root - 2) < Fraction(1, 10**39)


@pytest.mark.parametrize("text", ["", "a", "5", "so 1,200 + .5 = x2.", "1.2.3,4"])
def test_the_parts_of_a_text_join_to_the_text(text: str) -> None:
    assert "".join(parts(text)) == text
