"""Texts that a person calls the same words, and texts that differ by one sign."""

import pytest

from tracemill.verification.answers.compare import compare
from tracemill.verification.answers.spelling import same_words


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Mount Everest", "mount everest"), ("The Red Sea", "the Red sea"), ("THE RED SEA", "the Red Sea"),
        ("naïve", "naive"), ("well-known", "well known"), ("in 1995, at sea", "In 1995 at sea."), ("U.K.", "UK"),
        ("O’Neill", "O'Neill"), ("5 km", "5  km"), ("twelve (12)", "twelve, 12"),
    ],
)  # fmt: skip
def test_texts_that_differ_in_spelling_are_the_same_words(first: str, second: str) -> None:
    assert same_words(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a change of -7 percent", "a change of 7 percent"), ("version 2.10", "version 21.0"),
        ("article 4.2", "article 42"),
        ("1/4 cup", "14 cup"), ("ends 4-1", "ends 41"), ("Cs", "CS"), ("NaCl", "NACL"), ("Bb", "BB"),
        ("grade B+", "grade B"), ("section 3(1)", "section 31"), ("peña", "pena"), ("C#", "C"),
        ("x-1 if x>2", "x+1 if x>2"), ("between -4 and 9", "between 4 and 9"), ("k/K", "K/k"), ("3 mW", "3 MW"),
    ],
)  # fmt: skip
def test_a_sign_a_point_or_a_capital_of_a_symbol_is_never_dropped(first: str, second: str) -> None:
    assert not same_words(first, second)
    assert compare(first, second, "text")[0] is not True


@pytest.mark.parametrize(
    ("gold", "answer"),
    [("K-k", "k-K"), (r"\frac{V}{v}", r"\frac{v}{V}"), (r"\Sigma", r"\sigma"), ("(p, Q)", "(P, q)"), ("x+C", "X+C"),
     (r"\binom{M}{m}", r"\binom{m}{M}"), ("1,234", "1, 234")],
)  # fmt: skip
def test_case_and_spaces_of_mathematics_have_a_meaning(gold: str, answer: str) -> None:
    assert compare(gold, answer, "expression")[0] is not True


OPTIONS = "Which is right?\nA) 7\nB) -7\nC) 0.7\nD) 70"
LETTERS = "Which genotype?\nA) Bb\nB) bb\nC) BB\nD) bB"


@pytest.mark.parametrize(
    ("gold", "answer", "question", "expected"),
    [
        ("A", "7", OPTIONS, True), ("B", "-7", OPTIONS, True), ("B", "7", OPTIONS, False), ("C", "7/10", OPTIONS, True),
        ("B", "8", OPTIONS, False), ("A", "Bb", LETTERS, True), ("A", "BB", LETTERS, False), ("C", "C", LETTERS, True),
        ("A", "x > 2", "Which? (A) x > 2 (B) x < 2", True), ("A", "(0,4]", "Which? (A) (0,4] (B) [0,4)", True),
        ("B", "9", "Which?\nA、3\nB、9\nC、4", True), ("C", "C = 4", None, None), ("E", "E(2, 3)", None, None),
    ],
)  # fmt: skip
def test_an_option_is_chosen_by_its_exact_text_or_its_value(
    gold: str, answer: str, question: str | None, expected: bool | None
) -> None:
    assert compare(gold, answer, "choice", question)[0] is expected
