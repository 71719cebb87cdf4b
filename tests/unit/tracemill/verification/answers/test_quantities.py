"""Numbers with scales, units, percent, bases, and as part of something else."""

import pytest

from tracemill.verification.answers.compare import compare


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("9", "9 hundredths"), ("9 hundredths", "9"), ("2", "2 billionths"), ("2.5 lakh", "2.5"), ("6 bn", "6"),
        ("0x2A", "0"), ("0", "0x2A"), ("6xy", "6"), ("6", "6xy"), ("8abc", "8"), ("9", "9 below zero"),
        ("9", "9 degrees below zero"), ("D_8", "D"), ("F_{12}", "F"), ("11:40", "1:4"), ("40%", "40 kg"),
        ("$40", "40%"), ("40 kg", "40%"), ("40%", r"40^\circ"), ("6", "the reciprocal of 6"), ("6", "a multiple of 6"),
        ("6", "nearly 6"), ("6", "6 ways or more"),
    ],
)  # fmt: skip
def test_a_number_that_is_a_part_of_something_else_is_not_that_thing(gold: str, answer: str) -> None:
    assert compare(gold, answer)[0] is not True


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("0.09", "9 hundredths"), ("9 hundredths", "0.09"), ("0.07", "seven hundredths"), ("7/3", "7 thirds"),
        ("250000", "2.5 lakh"), ("6 billion", "6 bn"), ("30000000", "3 crore"), ("25000", "2.5万"), ("0x2a", "0x2A"),
        ("2500000", "2_500_000"), ("2500000", "25,00,000"), ("2500000", "₹25,00,000"), ("2000", r"2\text{,}000"),
        ("47318.25", "47318,25"), ("6.5", "6,5 kg"), ("40", "US$40"), ("40", "Rs 40"), ("40", "40 元"),
        ("300 nm", "0.3 μm"), ("40", "40 руб"),
        ("7/20", "7 out of 20"), (r"\frac{1}{8}", "1 in 8"), ("3.5", "three point five"), ("0.25", "point two five"),
        ("2500 J", "2.5 kJ"), ("30%", "30٪"),
    ],
)  # fmt: skip
def test_numbers_of_other_places_and_scales_are_read(gold: str, answer: str) -> None:
    assert compare(gold, answer)[0] is True


@pytest.mark.parametrize(
    ("gold", "answer", "question", "expected"),
    [
        ("0.4", "0.4%", "What is the probability of rain?", None), ("40", "40%", "What percent is left?", True),
        ("40", "40%", "What discount is given?", True),
        ("6", "6%", "The discount is 2 of 8 dollars. What is paid?", None),
        ("7m", "7", "Simplify $3m + 4m$.", False),
        ("8t", "8", "An octagon has the side $t$. Find its perimeter.", False),
        ("7 m", "7", "How long is the rope?", True), ("2 × 3 × 7", "42", "Write the prime factorization of 42.", None),
        ("2 × 3 × 7", "7 × 3 × 2", "Write the prime factorization of 42.", True), ("2^6", "64", "Compute.", True),
        ("(9-3)*6", "36", "Make 36 from 3, 6 and 9.", None),
        ("PQ-QP", "0", "P and Q are matrices. Simplify.", None), ("PQ-QP", "0", "Simplify.", True),
        ("33.3", r"\frac{100}{3}", "Round to one decimal place.", True),
        ("33.4", r"\frac{100}{3}", "Round to tenths.", False),
        ("A", "A_{16}", "Write ten in base 16.", True),
    ],
)  # fmt: skip
def test_the_question_says_how_a_number_is_meant(gold: str, answer: str, question: str, expected: bool | None) -> None:
    correct = compare(gold, answer, "expression", question)[0]
    assert correct is expected or (expected is False and correct is None)
