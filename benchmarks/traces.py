"""Made-up traces that resemble model output: GSM8K-like word problems, and MATH-like LaTeX. Seeded.

Each question has `SAMPLES` consecutive traces, as in a job.
"""

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

PEOPLE = ("Mara", "Ivo", "Nadia", "Tomas", "Leila", "Oskar", "Priya", "Bruno")
THINGS = ("stickers", "marbles", "cookies", "books", "shells", "tickets", "pencils", "plums")
SAMPLES = 4
WRONG = 0.3  # share of traces whose answer is not the gold answer


class Trace(NamedTuple):
    """A question, a whole trace, the gold answer, and whether the trace is right."""

    question: str
    text: str
    gold: str
    right: bool


def gsm8k_like(count: int, seed: int = 1) -> Iterator[Trace]:
    """Two to five sentences of arithmetic, half of them with calculator marks, and a number at the end."""
    rng = random.Random(seed)
    for _ in range(0, count, SAMPLES):
        person, thing = rng.choice(PEOPLE), rng.choice(THINGS)
        value = rng.randint(3, 60)
        question = [f"{person} has {value} {thing}."]
        steps = []
        for _ in range(rng.randint(2, 5)):
            other = rng.randint(2, 12)
            sign, result, sentence, phrase = rng.choice(
                (
                    ("+", value + other, f"{person} gets {other} more.", "After that there are"),
                    ("*", value * other, f"A friend has {other} times as many.", "So the friend has"),
                    ("-", value - other, f"{other} get lost.", f"{person} is left with"),
                )
            )
            steps.append((phrase, value, sign, other, result))
            question.append(sentence)
            value = result
        for _ in range(SAMPLES):
            right = rng.random() >= WRONG
            stated = value if right else value + rng.choice((-10, -1, 1, 2, 10))
            if rng.random() < 0.5:
                lines = [f"{s} {a} {sign} {b} = <<{a}{sign}{b}={c}>>{c} {thing}." for s, a, sign, b, c in steps]
                lines.append(f"#### {stated}")
            else:
                lines = [f"{s} {a} {sign} {b} = {c} {thing}, which is used later." for s, a, sign, b, c in steps]
                lines.append(f"The answer is {stated}.")
            yield Trace(" ".join(question) + f" How many {thing} are there?", "\n".join(lines), str(value), right)


def math_like(count: int, seed: int = 2) -> Iterator[Trace]:
    """A paragraph of LaTeX that ends in a boxed answer.

    The answers are integers, fractions, roots, π, polynomials, pairs, intervals, sets and matrices in turn.
    """
    rng = random.Random(seed)
    for number in range(count):
        if number % SAMPLES == 0:
            gold, same, other = ANSWERS[number // SAMPLES % len(ANSWERS)](rng)
        right = rng.random() >= WRONG
        a, b, c = (rng.randint(2, 30) for _ in range(3))
        text = (
            f"We start from the given condition and simplify. Since ${a} + {b} = {a + b}$, the first part of the "
            f"expression becomes $\\frac{{{a + b}}}{{{c}}}$, and by the quadratic formula\n"
            f"\\[x = \\frac{{-{b} \\pm \\sqrt{{{b}^2 - 4 \\cdot {a} \\cdot ({-c})}}}}{{2 \\cdot {a}}}.\\]\n"
            f"Now let $k$ be a positive integer with $k \\le {c}$. Multiplying both sides by ${a}$ gives "
            f"\\begin{{align*}}\n{a}k + {b}k &= {a + b}k \\\\\n{c} \\cdot {a} &= {a * c}.\n\\end{{align*}}\n"
            f"Because {a} times {c} is {a * c}, the remaining cases are symmetric, and none of them changes the value "
            f"that was found above. Substituting back and collecting the terms of equal degree, we see that the "
            f"condition holds exactly for the value below.\n\n"
            f"Therefore, the answer is $\\boxed{{{same if right else other}}}$."
        )
        yield Trace(f"Let $a = {a}$, $b = {b}$ and $c = {c}$. What is the value?", text, gold, right)


Answer = Callable[[random.Random], tuple[str, str, str]]


def _integer(rng: random.Random) -> tuple[str, str, str]:
    n = rng.randint(-500, 5000)
    return str(n), f"{n:,}", str(n + rng.randint(1, 9))


def _fraction(rng: random.Random) -> tuple[str, str, str]:
    value = Fraction(rng.randint(1, 40), rng.randint(2, 40))
    n, d = value.numerator, value.denominator
    return rf"\frac{{{n}}}{{{d}}}", rf"\dfrac{{{2 * n}}}{{{2 * d}}}", rf"\frac{{{n + 1}}}{{{d}}}"


def _root(rng: random.Random) -> tuple[str, str, str]:
    a, b = rng.randint(2, 9), rng.choice((2, 3, 5, 6, 7, 10))
    return rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b}}}", rf"{a + 1}\sqrt{{{b}}}"


def _pi(rng: random.Random) -> tuple[str, str, str]:
    a, b = rng.randint(2, 20), rng.randint(2, 9)
    return rf"\frac{{{a}\pi}}{{{b}}}", rf"\frac{{{a}}}{{{b}}}\pi", rf"\frac{{{a + b}\pi}}{{{b}}}"


def _polynomial(rng: random.Random) -> tuple[str, str, str]:
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    return f"x^2+{a + b}x+{a * b}", f"(x+{a})(x+{b})", f"x^2+{a + b}x+{a * b + 1}"


def _pair(rng: random.Random) -> tuple[str, str, str]:
    a, b = rng.randint(-9, 9), rng.randint(2, 9)
    return rf"\left( {a}, \frac{{1}}{{{b}}} \right)", rf"({a}, 1/{b})", rf"({a}, \frac{{1}}{{{b + 1}}})"


def _interval(rng: random.Random) -> tuple[str, str, str]:
    a, b = rng.randint(-9, 0), rng.randint(1, 9)
    gold = rf"(-\infty, {a}) \cup [{b}, \infty)"
    return gold, rf"\left(-\infty, {a}\right)\cup\left[{b},\infty\right)", rf"(-\infty, {a}] \cup [{b}, \infty)"


def _set(rng: random.Random) -> tuple[str, str, str]:
    a, b, c = rng.sample(range(1, 40), 3)
    return f"{a}, {b}, {c}", rf"{c}, {a}, {b}", f"{a}, {b}, {c + 40}"


def _matrix(rng: random.Random) -> tuple[str, str, str]:
    a, b, c, d = (rng.randint(-9, 9) for _ in range(4))
    begin, end = r"\begin{pmatrix}", r"\end{pmatrix}"
    return (
        rf"{begin} {a} & {b} \\ {c} & {d} {end}",
        rf"{begin}{a}&{b}\\{c}&{d}{end}",
        rf"{begin} {a} & {b} \\ {c} & {d + 1} {end}",
    )


ANSWERS: tuple[Answer, ...] = (
    _integer, _fraction, _integer, _root, _fraction, _pi, _integer, _polynomial, _pair, _interval, _set, _matrix,
)  # fmt: skip
