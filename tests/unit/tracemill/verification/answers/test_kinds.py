"""The kind of answer that `guess` returns for a gold answer and a question."""

from time import thread_time

import pytest

from tracemill.verification.answers.kinds import Kind, guess

OPTIONS = "Which one? (A) Paris (B) Rome (C) Oslo"

GUESSES: list[tuple[str | None, str | None, Kind]] = [
    ("18", None, "number"), ("1,234", None, "number"), ("-3.5", None, "number"), ("$18", None, "number"),
    ("3/4", None, "number"), (r"\frac{3}{4}", None, "number"), ("25%", None, "number"), ("12 apples", None, "number"),
    ("2 hours and 30 minutes", None, "number"), ("5cm", None, "number"),
    ("x^2+1", None, "expression"), (r"\sqrt{2}", None, "expression"), ("(1,2)", None, "expression"),
    (r"\{1,2\}", None, "expression"), (r"[0,1)", None, "expression"), ("2x", None, "expression"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", None, "expression"), (r"5\pi \text{ cm}", None, "expression"),
    ("B", None, "choice"), ("(C)", None, "choice"), (r"\text{(B)}", None, "choice"), ("A, C", None, "choice"),
    ("(B) Rome", None, "choice"), ("Rome", OPTIONS, "choice"),
    ("yes", None, "boolean"), ("False", None, "boolean"), (r"\text{No}", None, "boolean"),
    ("Paris", None, "text"), ("a big dog", None, "text"), (r"\text{Evelyn}", None, "text"),
    ("November 5", None, "text"),
    ("2023-11-05", None, "text"), ("no solution", None, "text"),
    ("def f(x):\n    return x", None, "code"), ("```python\nprint(1)\n```", None, "code"),
    (None, "How many apples are there?", "number"), (None, OPTIONS, "choice"), (None, None, "number"),
    (None, "Is 7 prime?", "boolean"), (None, "Answer yes or no: it rains.", "boolean"),
    (None, "Write a Python function that adds two numbers.", "code"),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "question", "kind"), GUESSES)
def test_the_kind_is_guessed_from_gold_and_question(gold: str | None, question: str | None, kind: Kind) -> None:
    assert guess(gold, question) == kind


@pytest.mark.parametrize("unit", ["(A) ", "A. x ", "is ", "1,", "\\text{", "{", "write a ", "a ", " "])
def test_guessing_from_a_megabyte_takes_under_two_seconds(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    start = thread_time()
    guess(text, text)
    guess(None, text)
    guess("x y", text)
    assert thread_time() - start < 2
