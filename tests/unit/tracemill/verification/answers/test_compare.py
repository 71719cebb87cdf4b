"""Answers that are right, wrong, or must stay undecided."""

from time import thread_time

import pytest

from tracemill.verification.answers.compare import compare
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.answers.math_verify import too_costly

RIGHT = [
    # numbers in any spelling
    ("12", "12"), ("12", "12.0"), ("12", "12.00"), ("12", "+12"), ("-5", "-5"), ("-5", "−5"), ("-5", "–5"), ("0", "-0"),
    ("1234", "1,234"), ("1,234", "1234"), ("1000000", "1,000,000"), ("1234.5", "1,234.50"), ("10000", "10{,}000"),
    ("0.5", ".5"), ("0.5", "1/2"), ("1/2", "0.5"), ("2/4", "1/2"), ("0.75", r"\frac{3}{4}"), ("3/4", r"\dfrac{3}{4}"),
    ("1/2", r"\frac12"), ("-1/2", r"-\frac{1}{2}"), ("-1/2", r"\frac{-1}{2}"), ("1.5", "1 1/2"),
    ("3/2", r"1\frac{1}{2}"),
    ("12", "١٢"), ("12", "１２"), ("007", "7"), ("5", "5."), ("12", "12\u00a0"), ("3.0", "3"), ("0.5", "½"),
    # money, units, percent as a unit
    ("12", "$12"), ("12", r"\$12"), ("12", "$12.00"), ("12", "12 dollars"), ("$12", "12 dollars"), ("12", "€12"),
    ("12", "12 apples"), ("12", r"12\text{ apples}"), ("12", r"12 \mathrm{cm}"), ("12 cm", "12"), ("60", "60 km/h"),
    ("60", "60 miles per hour"), ("20", "20 square feet"), ("12", "12 cm^2"), ("12", "12 cm²"), ("90", r"90^\circ"),
    ("90", "90°"), ("25", "25%"), ("25%", "25%"), ("25", r"25\%"), ("25%", "25"), ("25%", "0.25"),
    ("12 apples", "12 apple"), ("1 m", "100 cm"),
    ("3 hours", "180 minutes"), ("2.5", "2 hours and 30 minutes"),
    ("150", "2 hours and 30 minutes"), ("$5", "500 cents"), ("60 mph", "60 miles per hour"),
    # the value of a true equation
    ("5", "x = 5"), ("5", "2+3=5"), ("14", "2*7 = 14"), ("x=5", "5"), ("x = 5", "x=5"), ("2x+3", "y = 2x+3"),
    # words and choices
    ("Paris", "paris"), ("Paris", r"\text{Paris}"), ("B", "(B)"), ("B", "B)"), ("B", "B. 5 km"), ("(C)", "C"),
    ("B", "b"),
    ("B", "option B"), ("Yes", "yes"), ("no", "No, it is not"), ("true", "True"), ("5 or 6", "5 or 6"),
    # algebra
    ("x^2+2x+1", "(x+1)^2"), ("2x", "x+x"), (r"\sqrt{8}", r"2\sqrt{2}"), (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
    (r"\pi/2", r"\frac{\pi}{2}"), (r"2\pi", "2π"), (r"\sqrt[3]{2}", r"\sqrt[3]2"), ("(1,2)", "(1, 2)"),
    ("[0,1)", r"[0, 1)"),
    (r"\{1,2\}", r"\{2,1\}"), (r"(-\infty,3)", r"(-\infty, 3)"), ("[1,2]", r"x \in [1,2]"), ("x^2", "x**2"),
    (r"\sqrt{2}", "sqrt(2)"), (r"\sqrt{3}", "√3"), ("1/3", "0.333333"), (r"\frac{1}{x}", "1/x"), ("2^{10}", "1024"),
]  # fmt: skip

WRONG = [
    ("5 m", "5 cm"), ("3 hours", "3 minutes"), ("2", "2 hours and 30 minutes"), ("5 cm", "5 cm^2"), ("5", "many"),
    ("5", "not 5"), ("5", "between 5 and 6"), ("5", "5 to 6"), ("5", "5, but it could also be 6"), ("3.14", "3.14159"),
    ("(1,2)", r"\{1,2\}"), ("5", "x = 5, y = 6"), ("5", "5 or maybe 6"),
    ("5", "6"), ("5", "-5"), ("5", "5.1"), ("5", "50"), ("12", "12,000"), ("1/2", "1/3"), ("0.5", "0.05"), ("5", "5/6"),
    ("5", "6=5"), ("5", "2+2=5"), ("5", "5=6"), ("5", "5 or 6"), ("5", r"5 \text{ or } 6"), ("5", "5 and 6"),
    ("5", "±5"),
    ("5", r"\pm 5"), ("5", r"500\%"), ("5", "500%"), ("25", "2500%"), ("25", "0.25%"),
    ("5", "4 apples"), ("1000", "1"), ("3.14", "3.15"), ("1/3", "0.33"), ("5", "x = 6"), ("1 1/2", "11/2"),
    ("12", "1.2"),
    ("100", "1,00,0"), ("5", r"5\text{ or }6"), ("5", "5; 6"), ("10", "1e1000"), ("120", "5"), ("7", "7,8"),
    ("5", "$6"),
    ("B", "(C)"), ("A", "B. 5 km"), ("yes", "no"), ("False", "true"), ("no", "Yes, always"),
    ("x^2", "x^3"), ("x+1", "x-1"), (r"\sqrt{2}", r"\sqrt{3}"), ("(1,2)", "(2,1)"), ("[0,1)", "[0,1]"),
    (r"\pi", "3.14"),
    (r"\frac{\pi}{2}", r"\frac{\pi}{3}"), ("2x", "2y"), (r"\{1,2\}", r"\{1,3\}"), ("(-\\infty,3)", "(-\\infty,3]"),
]  # fmt: skip

UNDECIDED = [
    ("7", "x ="), ("x =", "7"), ("h(t) =", "7t"),
    ("5", "__import__('os').system('true')"),
    ("5", ""), ("", "5"), ("0.25", "25%"), ("12 apples", "12 pears"), ("2 hours", "120"),
    ("Paris", "London"), ("listen", "silent"), ("0", "none"),
    ("B", "the second one"), ("[1,2,3]", "(1,2,3)"), ("(-2,2)", "|x| < 2"), ("5", "2x = 5"), ("5", "at least 5"),
    ("yes", "perhaps"), ("5", "9^{9^{9^9}}"), ("5", "2^{10^9}"), ("5", "9!!!!!!"), ("2", r"\log" + "og" * 12),
    ("5", "5000!"),
    ("5", r"\binom{10000000}{5000000}"), ("5", r"\sum_{n=1}^{10^8} \frac{1}{n}"),
    ("5", r"\int_0^1 x^x dx"), ("5", "7" * 5000),
    ("5", "(" * 2500 + "5" + ")" * 2500), ("5", "eye(3000)"), ("x", "(" * 25 + "y" + ")" * 25),
    ("5", "either 5"), ("5", "x" * 60_000),
    ("5", "((9^{99})^{99})^{99}"), ("5", "2^{1000000000}"), ("x", "1+" * 80 + "1"), ("5", r"\frac{1}{2}x\%"),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "answer"), RIGHT)
def test_a_right_answer_is_accepted_in_any_spelling(gold: str, answer: str) -> None:
    correct, proof = compare(gold, answer)
    assert correct is True, proof


@pytest.mark.parametrize(("gold", "answer"), WRONG)
def test_a_wrong_answer_is_rejected(gold: str, answer: str) -> None:
    correct, proof = compare(gold, answer)
    assert correct is False, proof


@pytest.mark.parametrize(("gold", "answer"), UNDECIDED)
def test_an_undecided_answer_is_neither_right_nor_wrong(gold: str, answer: str) -> None:
    correct, proof = compare(gold, answer)
    assert correct is None, proof
    assert proof


@pytest.mark.parametrize(
    ("gold", "answer", "proof"),
    [("12", "12 apples", "exact rational"), ("Paris", "paris", "same text"), ("2x", "x+x", "expression"),
    ("B", "(C)", "choice")],
)  # fmt: skip
def test_the_proof_names_the_method_of_the_decision(gold: str, answer: str, proof: str) -> None:
    assert compare(gold, answer)[1] == proof


def test_a_refusal_gives_its_reason() -> None:
    assert compare("5", "2^{10^9}") == (None, "refused: too costly (a power tower)")
    assert too_costly("3+" + "4x" * 40) == "too many operators"


@pytest.mark.parametrize(
    "answer", [r"\frac{\sqrt{3}+1}{2}", "x^{12}-1", r"\left(3, \frac{\pi}{2}\right)", "10^{-5}", "5!"]
)
def test_ordinary_mathematics_is_not_too_costly(answer: str) -> None:
    assert too_costly(answer) is None


OPTIONS = "Which is the capital of France? (A) London (B) Paris (C) Rome"

WITH_QUESTION: list[tuple[str, str, Kind, str, bool | None]] = [
    # the question gives options, the unit, percent and rounding
    ("B", "Paris", "choice", OPTIONS, True),
    ("B", "The capital is Paris", "choice", OPTIONS, True),
    ("Paris", "(B)", "choice", OPTIONS, True),
    ("Paris", "(C)", "choice", OPTIONS, False),
    ("B", "Rome", "choice", OPTIONS, False),
    ("B", "Oslo", "choice", OPTIONS, False),
    ("B", "(B) Rome", "choice", OPTIONS, None),
    ("B", "Paris or Rome", "choice", OPTIONS, False),
    ("B", "It is not Paris", "choice", OPTIONS, None),
    ("3", "180 minutes", "number", "How many hours does it take?", True),
    ("3", "180 minutes", "number", "How many apples are there?", False),
    ("5", "5%", "number", "How many apples are there?", None),
    ("5", "5%", "number", "By what percent did it grow?", True),
    ("3.14", "3.14159", "number", "Round to the nearest hundredth.", True),
    ("3.14", "3.146", "number", "Round to the nearest hundredth.", False),
    ("17", "16.67", "number", "What is it to the nearest whole number?", True),
    ("17", "16.67", "number", "What is it?", False),
    ("Evelyn", "Briana", "text", "Who ran fastest: Evelyn, Briana or Carla?", False),
    ("Evelyn", "Dora", "text", "Who ran fastest: Evelyn, Briana or Carla?", None),
    ("101", "101_2", "number", "Write five in base 2.", True),
]


@pytest.mark.parametrize(("gold", "answer", "kind", "question", "correct"), WITH_QUESTION)
def test_the_question_decides_what_gold_and_answer_leave_open(
    gold: str, answer: str, kind: Kind, question: str, correct: bool | None
) -> None:
    verdict, proof = compare(gold, answer, kind, question)
    assert verdict is correct, proof


def test_code_is_not_compared_here() -> None:
    assert compare("print(5)", "print(5)", "code") == (None, "code runs in the sandbox")


@pytest.mark.parametrize(
    "unit", ["1 or ", "x = 1, ", "1=", "1,", "(", "$", r"\frac{1}", "5'", "a b ", "not ", "°", "{", " "]
)
def test_comparing_50000_characters_takes_under_two_seconds(unit: str) -> None:
    answer = (unit * 50_000)[:50_000]
    start = thread_time()
    for gold in ("5", "x^2", "Paris", "B"):
        compare(gold, answer)
        compare(answer, gold)
    assert thread_time() - start < 2
