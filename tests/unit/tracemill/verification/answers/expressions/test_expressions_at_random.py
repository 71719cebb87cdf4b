"""Comparison of random trees, random polynomials, random text and hostile text."""

import random
from math import pi
from time import thread_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracemill.verification.answers.expressions import same

# Random expressions, as nested tuples, written in two ways.

Tree = int | str | tuple[str, "Tree", "Tree"]
leaves = st.integers(1, 30) | st.sampled_from(["x", "y", r"\pi", r"\sqrt{2}"])
trees: st.SearchStrategy[Tree] = st.recursive(
    leaves, lambda inner: st.tuples(st.sampled_from(["+", "-", "*", "/"]), inner, inner), max_leaves=7
)


def latex(tree: Tree) -> str:
    if not isinstance(tree, tuple):
        return str(tree)
    operator, left, right = tree
    if operator == "/":
        return rf"\frac{{{latex(left)}}}{{{latex(right)}}}"
    sign = r"\cdot" if operator == "*" else operator
    return rf"\left({latex(left)} {sign} {latex(right)}\right)"


def plain(tree: Tree) -> str:
    """Swap the operands of + and *, and use other signs."""
    if not isinstance(tree, tuple):
        return {r"\pi": "π", r"\sqrt{2}": "√2"}.get(str(tree), str(tree))
    operator, left, right = tree
    if operator in "+*":
        return f"({plain(right)}{operator.replace('*', '×')}{plain(left)})"
    return f"({plain(left)}{operator.replace('-', '−')}{plain(right)})"


@settings(max_examples=300, deadline=None)
@given(trees)
def test_a_rewritten_expression_is_never_different(tree: Tree) -> None:
    assert same(latex(tree), plain(tree)) is not False


def value(tree: Tree, point: dict[str, float]) -> float:
    if not isinstance(tree, tuple):
        return point[tree] if isinstance(tree, str) else float(tree)
    left, right = value(tree[1], point), value(tree[2], point)
    return {"+": left + right, "-": left - right, "*": left * right}[tree[0]] if tree[0] != "/" else left / right


@settings(max_examples=500, deadline=None)
@given(trees, trees)
@example(("-", ("*", "x", "x"), 4), ("*", ("-", "x", 2), ("+", 2, "x")))
def test_a_verdict_agrees_with_floating_point(first: Tree, second: Tree) -> None:
    points = [{"x": x, "y": y, r"\pi": pi, r"\sqrt{2}": 2**0.5} for x, y in ((1.37, 2.61), (0.71, 5.3))]
    verdict = same(latex(first), latex(second))
    try:
        differences = [abs(value(first, point) - value(second, point)) for point in points]
    except ZeroDivisionError:
        return
    if verdict is True:
        assert max(differences) < 1e-6
    elif verdict is False:
        assert max(differences) > 1e-12


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_a_polynomial_is_the_same_in_any_order_of_its_terms(coefficients: list[int], rng: random.Random) -> None:
    terms = list(enumerate(coefficients))
    text = "+".join(f"({value})x^{{{power}}}" for power, value in terms)
    rng.shuffle(terms)
    assert same(text, " + ".join(f"x^{power} * ({value})" for power, value in terms)) is True


@settings(max_examples=300, deadline=None)
@given(*[st.lists(st.integers(-9, 9), min_size=4, max_size=4)] * 2)
def test_different_polynomials_are_different(first: list[int], second: list[int]) -> None:
    texts = ["+".join(f"({value})x^{power}" for power, value in enumerate(items)) for items in (first, second)]
    assert same(*texts) is (first == second)


PIECES = (
    *[
        "1",
        "2",
        "7",
        "x",
        "y",
        "i",
        "e",
        "+",
        "-",
        "*",
        "/",
        "^",
        "^{",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        r"\{",
        r"\}",
        ",",
        "=",
    ],
    *[
        "<",
        r"\le",
        r"\frac",
        r"\sqrt",
        r"\sqrt[",
        r"\sin ",
        r"\log_",
        r"\pm",
        r"\cup",
        r"\infty",
        "!",
        "|",
        "%",
        "_",
        "&",
    ],
    *[r"^\circ", r"\text{cm}", "\x00", "\ud800", "π", "√", "½", "²", r"\begin{pmatrix}", r"\end{pmatrix}", r"\\", ":"],
    *[" ", " or ", "999!", "1,000", "$", r"\ln", r"\overline{3}", ".", "10"],
)


@settings(max_examples=1500, deadline=None)
@given(*[st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=25).map("".join)] * 2)
@example("√" * 400, "1")
@example("(" * 400, ")" * 400)
@example("|" * 400, "|" * 399)
@example("1" + "\ud800" * 50, "\ud800")
@example("\x00", "\x00")
@example("1/2_3", "½_3")
def test_no_text_raises_and_verdicts_repeat(gold: str, answer: str) -> None:
    assert same(gold, answer) is same(gold, answer)
    assert same(gold, gold) is not False


HOSTILE = [
    "(" * 199 + "1" + ")" * 199,
    "√" * 399 + "2",
    r"\sin" * 99 + "x",
    "x^" * 199 + "2",
    "9^" * 100 + "9",
    "!" * 400,
    "9" * 399 + "!",
    "1+" * 199 + "1",
    "1," * 199 + "1",
    "1,000," * 60,
    "(1," * 29 + "1" + ")" * 29,
    "e^{e^{e^{e^{e^x}}}}",
    "+".join(rf"\sin({k}x)y" for k in range(25)) + "=0",
    "+".join(f"1/(x^{{{400 + k}}}+{k})" for k in range(18)),
    "+".join(rf"\sqrt[{k}]{{x+{k}}}" for k in range(2, 26)),
    r"\{" + ",".join(rf"\sqrt{{{k}}}" for k in range(2, 30)) + r"\}",
    r"\cup".join(f"({k},{k + 1})" for k in range(36)),
    "a" * 10_000_000,
    r"\text{" * 80,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:20])
def test_hostile_text_takes_under_a_second(text: str) -> None:
    same(r"\sqrt{2}", "x")  # loads mpmath
    others = ["5", r"\sqrt{2}", "x^2+y^2=1", text[:398] + "+1"]
    seconds = []
    for other in others:
        start = thread_time()
        same(text, other)
        same(other, text)
        seconds.append(thread_time() - start)
    assert min(seconds) < 0.1
    assert max(seconds) < 1


def test_parsing_takes_linear_time() -> None:
    def seconds(text: str) -> float:
        times = []
        for _ in range(5):
            start = thread_time()
            same(text, "5")
            times.append(thread_time() - start)
        return min(times)

    assert seconds("+1" * 180) < 30 * seconds("+1" * 18)


def test_a_text_beyond_the_limit_is_undecided() -> None:
    assert same("1+" * 199 + "1", "200") is True
    assert same("1+" * 200 + "1", "201") is None
