r"""Sums, products, integrals, limits, factorials and ζ against their values.

Each line of the tables is ``gold ~ answer``.
"""

import pytest

from tracemill.verification.answers.call_limit import TooManyCalls, call_limit
from tracemill.verification.answers.compare import compare
from tracemill.verification.answers.expressions import same
from tracemill.verification.answers.expressions.closed_forms import MAX_CALLS

RIGHT = r"""
    \frac{1}{3} ~ \int_0^1 x^2 dx
    \frac{1}{3} ~ \int_{0}^{1} x^{2} \, \mathrm{d}x = \frac{1}{3}
    \int_0^2 y^3 \, dy ~ 4
    \int_0^1 x^2 dx ~ \int_0^1 t^2 dt
    \ln 5 ~ \int_1^5 \frac{dx}{x}
    \frac{8}{3} ~ \int_0^2 x^2 dx = \left[\frac{x^3}{3}\right]_0^2 = \frac{8}{3}
    \sqrt{\pi} ~ \int_{-\infty}^{\infty} e^{-x^2} dx
    \pi ~ \int_{-1}^{1} \frac{dx}{\sqrt{1-x^2}}
    \frac{1}{6} ~ ∫_0^1 x - x^2 dx
    t^2 ~ \int_0^t 2x \, dx
    \frac{1}{4} ~ \int_0^1 \int_0^1 xy \, dx \, dy
    \frac{x^4}{4} + C ~ \int x^3 dx
    x \ln x - x + C ~ \int \ln x \, dx = x \ln x - x + C
    \int x e^x dx ~ (x-1) e^x + C
    \int \sin^2 x \, dx ~ \frac{x}{2} - \frac{\sin 2x}{4} + C
    55 ~ \sum_{k=1}^{10} k
    15 ~ \sum_{i=0}^{3} 2^i = 15
    500500 ~ \sum_{k=1}^{1000} k
    \sum_{k=1}^{10^6} k ~ 500000500000
    \frac{n(n+1)(2n+1)}{6} ~ \sum_{k=1}^n k^2
    \frac{1-r^{n+1}}{1-r} ~ \sum_{k=0}^{n} r^k
    n \cdot 2^{n-1} ~ \sum_{k=0}^{n} k\binom{n}{k}
    10 ~ \sum_{a=1}^{3} \sum_{b=1}^{a} b
    \frac{\pi^2}{6} ~ \sum_{n=1}^{\infty} \frac{1}{n^2}
    e ~ \sum_{n=0}^{\infty} \frac{1}{n!}
    \sum_{n=0}^{\infty} \frac{x^n}{n!} ~ \sum_{k=1}^{\infty} \frac{x^{k-1}}{(k-1)!}
    n! ~ \prod_{k=1}^{n} k
    n(n-1)! ~ n!
    \zeta(6) ~ \frac{\pi^6}{945}
    -\frac{1}{12} ~ \zeta(-1)
    120 ~ C(10,3)
    \frac{n(n-1)}{2} ~ C(n,2)
    20 ~ P(5,2)
    3^n ~ \sum_{k=0}^n \binom{n}{k} 2^k
    1 ~ \lim_{x \to 0} \frac{\sin x}{x}
    1 ~ \lim_{x \to 0^+} \frac{|x|}{x}
    e^2 ~ \lim_{n \to \infty} \left(1 + \frac{2}{n}\right)^n
    \infty ~ \lim_{x \rightarrow \infty} \sqrt{x}
"""

WRONG = r"""
    \frac{1}{2} ~ \int_0^1 x^2 dx
    -\frac{1}{3} ~ \int_0^1 x^2 dx
    \ln 4 ~ \int_1^5 \frac{dx}{x}
    \pi ~ \int_{-\infty}^{\infty} e^{-x^2} dx
    t^2 ~ \int_0^t x \, dx
    \frac{x^4}{4} + C ~ \int x^4 dx
    \cos x + C ~ \int \sin x \, dx
    54 ~ \sum_{k=1}^{10} k
    15 ~ \sum_{i=0}^{4} 2^i
    2^n ~ \sum_{k=1}^n \binom{n}{k}
    \frac{n(n-1)}{2} ~ \sum_{k=1}^{n} k
    \frac{\pi^2}{8} ~ \sum_{n=1}^{\infty} \frac{1}{n^2}
    (n+1)! ~ \prod_{k=1}^{n} k
    n! ~ (n-1)!
    20 ~ C(5,2)
    \frac{\pi^2}{6} ~ \zeta(3)
    0 ~ \lim_{x \to 0} \frac{\sin x}{x}
    -1 ~ \lim_{x \to 0^+} \frac{|x|}{x}
"""

#: No value: a pole inside the bounds, two limits, a divergent series, and spellings with two meanings.
UNDECIDED = r"""
    -2 ~ \int_{-1}^{1} \frac{1}{x^2} dx
    1 ~ \lim_{x \to 0} \frac{|x|}{x}
    \ln 2 ~ \sum_{n=1}^\infty \frac{1}{n}
    \frac{1}{2} ~ \sum_{n=0}^\infty (-1)^n
    \frac{1}{1-x} ~ \sum_{n=0}^\infty x^n
    \sum_{n=0}^{\infty} x^n ~ \sum_{n=1}^{\infty} x^{n}
    n^2 ~ \sum_{k=1}^{n} 2k - 1
    \frac{x^3}{3} ~ \int x^2 dx
    2 ~ \int x^2 dx
    0 ~ \int_{-1}^{1} \int_0^1 |x| dy dx
    a ~ \int_0^1 |a| dx
"""

HOSTILE = (
    r"\sum_{k=1}^{10^9} \frac{1}{k}",
    r"\sum_{k=1}^{10^{9}} k!",
    r"\sum_{k=1}^{1000} \sum_{j=1}^{1000} jk",
    r"\int_0^1 \int_0^1 \int_0^1 \int_0^1 \sqrt{x+y+z+w} dx dy dz dw",
    r"\int_0^1 (x+1)^{20}(x+2)^{20}(x+3)^{20}(x+4)^{20} dx",
    r"\int_0^1 \frac{1}{x^{20}+x+1} dx",
    r"\int_0^1 \tan^{19}(x)\sec^{17}(x) dx",
    r"\lim_{x\to\infty} \frac{x!}{x^x}",
    r"\int_0^1 " * 25 + "x" + " dx" * 25,
)


def pairs(table: str) -> list[tuple[str, ...]]:
    return [tuple(line.strip().split(" ~ ")) for line in table.strip().splitlines()]


@pytest.mark.parametrize(("gold", "answer"), pairs(RIGHT))
def test_an_operator_is_equal_to_its_value(gold: str, answer: str) -> None:
    assert compare(gold, answer, "expression")[0] is True


@pytest.mark.parametrize(("gold", "answer"), pairs(WRONG))
def test_an_operator_is_different_from_another_value(gold: str, answer: str) -> None:
    assert compare(gold, answer, "expression") == (False, "expression")


@pytest.mark.parametrize(("gold", "answer"), pairs(UNDECIDED))
def test_an_operator_without_a_certain_value_is_undecided(gold: str, answer: str) -> None:
    assert compare(gold, answer, "expression")[0] is None


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (r"Compute $\int_0^1 x^2 dx$.", r"\int_0^1 x^2 dx"),
        ("Evaluate the integral of x² from 0 to 1.", r"\int_0^1 x^2 dx"),
        (r"What is $\lim_{x \to 0} \frac{\sin x}{3x}$?", r"\lim_{x \to 0} \frac{\sin x}{3x}"),
    ],
)
def test_a_question_to_evaluate_is_not_answered_by_its_operator(question: str, answer: str) -> None:
    assert compare(r"\frac{1}{3}", answer, "expression", question) == (
        None,
        "an operation where its value is asked",
    )
    assert compare(r"\frac{1}{3}", f"{answer} = \\frac{{1}}{{3}}", "expression", question)[0] is True


def test_a_question_for_a_sum_may_be_answered_by_another_operator() -> None:
    assert compare("6", r"\int_0^2 3x dx", "expression", "What is the sum of 1, 2 and 3?")[0] is True


def test_a_probability_of_two_events_is_no_number_of_permutations() -> None:
    assert same("P(A,B)", "P(B,A)") is None


@pytest.mark.parametrize("answer", HOSTILE)
def test_costly_operators_are_given_up_within_the_limit(answer: str) -> None:
    same("1", r"\int_0^1 2x dx")  # sympy imports what it needs
    with call_limit(2 * MAX_CALLS):
        assert same("7", answer) is None


def test_code_that_never_ends_ends_at_its_limit_of_calls() -> None:
    n_calls = 0

    def call() -> None:
        nonlocal n_calls
        n_calls += 1

    def call_forever() -> None:
        while True:
            call()

    with pytest.raises(TooManyCalls), call_limit(100):
        call_forever()
    assert 90 <= n_calls <= 100
