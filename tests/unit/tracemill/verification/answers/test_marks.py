r"""Marks that make different mathematics, and statements that math-verify reduces to "true" or "false"."""

import pytest

from tracemill.verification.answers.compare import compare


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("g'(x)", "g(x)"), ("y''-4y=0", "y'-4y=0"), ("u'v+uv'", "2uv"), ("w'-w", "0"), ("h'(3)", "h(3)"),
        (r"p\circ q", r"q\circ p"), ("g^{-1}(x)", r"\frac{1}{g(x)}"), ("y^{(k)}", "y^k"), ("g^{(3)}(x)", "g(x)^3"),
        (r"\vec{u}\times\vec{v}", r"\vec{v}\times\vec{u}"), (r"\nabla\cdot G", r"\nabla\times G"),
        (r"\frac{dg}{dx}", r"\frac{dh}{dx}"), ("E[Y^2]", "E[Y]^2"), ("C2H6O", "C6H2O"), ("H7", "7H"), ("B+b", "2b"),
        ("7 to 4", "4 to 7"), ("~q", "q"), ("BD", "DB"), ("1/3y", "1/(3y)"),
    ],
)  # fmt: skip
def test_a_mark_that_math_verify_drops_is_not_ignored(gold: str, answer: str) -> None:
    assert compare(gold, answer, "expression")[0] is not True


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\log_3(9)=2", r"\log_3(27)=3"), (r"\cos(0)=1", r"\cos(\pi)=-1"), ("x^2+9=0", "x^2+x+7=0"),
        ("e^x=-4", "e^x=-7"), (r"\sqrt{x}=-3", r"\sqrt{x}=-5"), (r"\frac{2}{3}=0.67", r"\frac{1}{7}=0.14"),
        ("1<4", "9>2"), ("1>4", "2>9"), ("t^2+1=0", "1=0"), ("5/8=0.625", "3/8=0.375"),
    ],
)  # fmt: skip
def test_statements_that_always_or_never_hold_are_not_the_same(gold: str, answer: str) -> None:
    assert compare(gold, answer, "expression")[0] is not True


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("e=3", "e=4", False), (r"e=\frac14", "e=0.25", True), ("h(0)=7", "h(0)=8", False), ("h(0)=7", "h(1)=7", None),
        ("V(0)=7", "V(0)=8", False), ("y'=3y", "y'=3y", True), (r"1<\sqrt{3}", r"\sqrt{3}>1", True),
        ("x^2=4", "x^2=5", False),
    ],
)  # fmt: skip
def test_equations_with_one_left_side_are_decided_by_the_right(gold: str, answer: str, expected: bool | None) -> None:
    assert compare(gold, answer, "expression")[0] is expected


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("x^3+C", "x^3-7+C", True), (r"\ln|x|+C", r"\ln|5x|+C", True), (r"\cos^2 x+C", r"-\sin^2 x+C", True),
        ("x^3+C", "2x^3+C", False), ("x^3+C", "x^3", False), ("x^3", "x^3-7", False),
        (r"5 \pmod{9}", r"-4 \pmod 9", True), (r"5 \pmod 9", r"5 \pmod 8", False), ("5", r"5 \pmod 9", True),
        ("5", r"14 \pmod 9", True), ("14", r"5 \pmod 9", None),
        (r"x \equiv 2, 7 \pmod 9", r"x \equiv \pm 2 \pmod 9", True), ("5", r"4 \pmod 9", False),
        ("6 ft 3 in", "75 inches", True), ("6 ft 3 in", "6 ft", False),
    ],
)  # fmt: skip
def test_integrals_residues_and_compound_lengths_are_read_whole(gold: str, answer: str, expected: bool | None) -> None:
    correct = compare(gold, answer, "expression")[0]
    assert correct is expected or (expected is False and correct is None)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"O(n\log n)", r"\mathcal{O}(n \log n)"), ("h(x)=5x", r"h(x)=5x \text{ for all real } x"), ("9", r"\Large 9"),
        (r"\begin{pmatrix}5&6\\7&8\end{pmatrix}", r"\begin{pmatrix}5&6\cr 7&8\end{pmatrix}"), ("9", "9 ✅"),
        (r"\det\begin{pmatrix}5&6\\7&8\end{pmatrix}", "-2"), (r"\vec{u}\cdot\vec{v}", r"\vec{v}\cdot\vec{u}"),
        (r"4\times9=36", "36"), ("31st", "31"),
    ],
)  # fmt: skip
def test_marks_of_style_and_quantifiers_do_not_matter(gold: str, answer: str) -> None:
    assert compare(gold, answer, "expression")[0] is True
