r"""Answers that look right at a glance, and answers that look wrong, each judged as a careful person would."""

import pytest

from tracemill.verification.answers.kinds import Kind
from tracemill.verification.checks import Item, check

#: Rows of one kind: gold, trace, question.
Rows = list[tuple[str, str, str | None]]


def _boxed(*pairs: tuple[str, str], question: str | None = None) -> Rows:
    return [(gold, rf"So the answer is $\boxed{{{answer}}}$.", question) for gold, answer in pairs]


def _stated(*pairs: tuple[str, str], question: str | None = None) -> Rows:
    return [(gold, f"So the answer is {answer}.", question) for gold, answer in pairs]


def _whole(*pairs: tuple[str, str], question: str | None = None) -> Rows:
    return [(gold, trace, question) for gold, trace in pairs]


WRONG: dict[str, Rows] = {
    "letters in the other case": _boxed(
        (r"\frac{B}{b}", r"\frac{b}{B}"), ("NO_2", "No_2"), (r"\text{SO}_3", r"\text{So}_3")
    ),
    "signs after a word": _stated(("grade C-", "grade C"), ("3' end", "3 end"), ("B' holds", "B holds")),
    "a tuple of words": _boxed(("(Rome, Oslo)", "(Oslo, Rome)")),
    "other chemical formulas": _boxed(
        ("N_2O", "N2O3"), ("N_2O", "NO2"), ("Cu^{2+}", "Cu+"), ("Cu^{2+}", "Cu_2^{2+}"), ("t^2", "t2"), ("U_0", "U")
    ),
    "other solutions of a system": _boxed(
        (r"\begin{cases}p=4\\q=7\end{cases}", "(7,4)"), ("(4,7)", r"\begin{cases}p=4\\q=8\end{cases}")
    ),
    "names with an index": _boxed(("K_2-k", "k_2-K"), ("D_5", "D")),
    "values of names": [
        *_boxed(("8, 3", "3, 8"), question="Find p and q."),
        *_boxed(("8, 3", "KL=3, MN=8"), ("p=8, q=3", "3, 8")),
    ],
    "moves": _boxed(("F L F' L'", "L F L' F'")),
    "a board of letters": _boxed(("O X\nX O", "X O\nO X")),
    "numbers between bars": _boxed(("2|3|4", "24"), ("2|3", "6")),
    "an order in English": [
        *_boxed(("iron, lead, gold", "gold, iron, lead"), question="List them by density, most dense first."),
        *_boxed(("Eva, Tom", "Tom, Eva"), question="Who finished first and who finished second?"),
        *_stated(("owl, hawk, wren", "wren, hawk, owl"), question="List the birds from heaviest to lightest."),
        *_boxed(("1215, 1789", "1789, 1215"), question="Give the years chronologically."),
    ],
    "an order in German": _boxed(("2, 7, 9", "9, 7, 2"), question="Sortiere die Zahlen aufsteigend."),
    "an order in Spanish": _boxed(("2, 7, 9", "9, 7, 2"), question="Ordena los números de menor a mayor."),
    "an order in French": _boxed(("2, 7, 9", "9, 7, 2"), question="Écris-les dans l'ordre croissant."),
    "an order in Russian": _boxed(("2, 7, 9", "9, 7, 2"), question="Запишите числа в порядке возрастания."),
    "an order in Chinese": _boxed(("2, 7, 9", "9, 7, 2"), question="把这些数从小到大排列。"),
    "an order in Japanese": _boxed(("2, 7, 9", "9, 7, 2"), question="小さい順に答えなさい。"),
    "an order in Korean": _boxed(("2, 7, 9", "9, 7, 2"), question="작은 수부터 순서대로 쓰시오."),
    "scales": _stated(
        ("6", "6 milliards"),
        ("6", "6 Millionen"),
        ("6", "6 trillionths"),
        ("6", "6 mio"),
        ("4", "4 hundreds"),
        ("9", "9k"),
        ("2", "2 per mille"),
        ("2", "2‰"),
    ),
    "a percent for a share": _stated(("0.45", "0.45%"), ("1/5", "1/5%")),
    "another unit than is asked": [
        *_stated(("8", "8 km"), question="How many meters is the path?"),
        *_stated(("8", "8 hours"), question="How many minutes did it take?"),
        *_stated(("8", "8 g"), question="What is the mass in kilograms?"),
        *_stated(("8", "8 €"), question="How many dollars does it cost?"),
        *_stated(("75", "75 radians"), question="How many degrees is angle B?"),
        *_stated(("8", "8 cm"), question="What is the surface in cm²?"),
        *_stated(("8", "8 boxes"), question="How many nails are there?"),
        *_stated(("8 GB", "8 MB"), ("8 GB", "8 Gb"), ("8 °C", "8 °F")),
    ],
    "a ratio for an amount": [
        *_stated(("1.75 hours", "7:4"), ("7:4", "1.75 hours")),
        *_stated(("1.5", "3:2"), question="How many cups of milk are left?"),
    ],
    "a number that is not the answer": _stated(
        ("8", "over 8"),
        ("8", "just under 8"),
        ("8", "close to 8 but smaller"),
        ("8", "a number ending in 8"),
        ("8", "8? No, 9"),
        ("8", "8 dx"),
        ("8", "8 xy"),
        ("8", "8 percent of 60"),
        ("8", "8 to the power of 3"),
        ("2", "log = 2"),
        ("2", "log y = 2"),
        ("8", "the square of 8"),
        ("8", "8 less than the sum"),
        ("8", "the 8th root"),
        ("8", "chapter 8"),
        ("8", "version 8 of the text"),
        ("8", "8 if there were no tax"),
        ("9", "3 squared minus 9"),
        ("8", "unknown, see step 8"),
    ),
    "a number in a word": _whole(("4", "QWERT4Z"), ("2", "CO2")),
    "no answer": _whole(("4", "I checked 4 cases but could not solve it.")),
    "decades": _stated(("1870s", "1870"), ("1870", "1870s")),
    "boxes side by side": _whole(("5", r"\boxed{5}\boxed{9}"), ("5, 8", r"\boxed{5}\ \boxed{9}")),
    "vectors in another order": _boxed((r"\mathbf{p}\times\mathbf{q}", r"\mathbf{q}\times\mathbf{p}")),
    "other sums of matrices": _boxed(
        (
            r"\begin{pmatrix}5&7\\0&1\end{pmatrix}",
            r"\begin{pmatrix}5&6\\0&1\end{pmatrix}+\begin{pmatrix}0&1\\1&0\end{pmatrix}",
        ),
        (r"\begin{pmatrix}4\\8\end{pmatrix}", r"4\begin{pmatrix}1\\3\end{pmatrix}"),
    ),
    "other constants of a family": _boxed(
        ("2k", "2n"), ("y=Ce^{4x}", "y=Ae^{3x}"), (r"x=\frac{\pi}{8}+k\pi", r"x=\frac{\pi}{4}+n\pi")
    ),
    "thousands with points": _stated(("3.000", "3"), ("3.000", "3,0"), question="Wie viele Bücher sind es?"),
    "other vectors": _boxed(
        ("(5,-3)", r"5\mathbf{j}-3\mathbf{i}"),
        ("(4,5)", r"\begin{pmatrix}5\\4\end{pmatrix}"),
        ("[[5,6],[7,8]]", r"\begin{pmatrix}5&7\\6&8\end{pmatrix}"),
    ),
    "other intervals": _boxed(
        ("(3,8]", r"x\ge 3 \text{ and } x\le 8"), ("(3,8]", "]3,8["), (r"x\ne 6", r"\mathbb{R}\setminus\{5\}")
    ),
    "other factorials": _boxed(
        ("m!", "m(m-2)!"), (r"\binom{m}{3}", r"\binom{m}{2}"), (r"\binom{900}{2}", r"\binom{900}{3}")
    ),
    "another constant in words": _stated(
        (r"\sqrt{3}", "the cube root of 3"),
        ("5", "5 squared"),
        (r"\frac{\pi}{6}", "6 pi"),
        ("5", "the reciprocal of 5"),
    ),
    "other numerals": _boxed(("36", "三十五"), ("23", "二十"), ("300", "三十")),
    "another decimal comma": _boxed(("6,35", "63.5"), ("0,125", "1.25"), ("6,35", "6.3")),
    "a derivative": _boxed((r"\frac{dz}{dt}", r"\frac{z}{t}"), ("dz/dt", "z/t")),
    "a factor for a constant": _boxed(("kt+C", "kt+k")),
    "statements that always hold": _boxed((r"\sec^2 t-\tan^2 t=1", "1=1")),
    "products in another order": _boxed(("PQ-QP", "0"), ("(PQ)^{-1}", "(QP)^{-1}")),
    "exponentials of matrices": _boxed(("e^{P+Q}", "e^{Q}e^{P}"), question="Let P and Q be matrices."),
    "denials in other languages": _whole(
        ("36", "La respuesta no es 36."),
        ("36", "Die Antwort ist nicht 36."),
        ("36", "La réponse n'est pas 36."),
        ("36", "A resposta não é 36."),
        ("36", "36 ist falsch."),
        ("36", "答えは36ではありません。"),
        ("36", "Ответ: не 36"),
    ),
    "bounds in other languages": _whole(
        ("36", "Die Antwort ist mindestens 36."),
        ("36", "Das Ergebnis ist größer als 36."),
        ("36", "Больше 36."),
        ("36", "至少36个"),
        ("36", "Die Antwort ist das Doppelte von 36."),
        ("36", "是36的两倍"),
    ),
}

RIGHT: dict[str, Rows] = {
    "a negative denominator": _boxed(("-2/3", "2/(-3)"), ("-5/2", "5/(-2)"), ("5/3", "-5/(-3)")),
    "factorials and binomials of variables": _boxed(
        ("m!", "m(m-1)!"),
        ("m+2", r"\frac{(m+2)!}{(m+1)!}"),
        (r"\binom{m}{3}", r"\frac{m(m-1)(m-2)}{6}"),
        (r"\binom{3m}{m}", r"\frac{(3m)!}{m!(2m)!}"),
        (r"\binom{900}{2}", r"\binom{900}{898}"),
        ("6", r"\Gamma(4)"),
        (r"\zeta(2)", r"\frac{\pi^2}{6}"),
    ),
    "chemical formulas without marks": _boxed(
        ("N_2O", "N2O"),
        ("Mg(OH)_2", "Mg(OH)2"),
        ("Cu^{2+}", "Cu2+"),
        ("NH_4^+", "NH4+"),
        ("N2O", r"\text{N}_2\text{O}"),
    ),
    "solutions of a system": _boxed(
        (r"\begin{cases}p=4\\q=7\end{cases}", "(4,7)"),
        (r"\begin{cases}p=4\\q=7\end{cases}", r"\begin{cases} q = 7 \\ p = 4 \end{cases}"),
        ("(4,-7)", r"\left\{\begin{cases} p = 4 \\ q = -7 \end{cases}\right."),
    ),
    "functions without a backslash": _boxed((r"O(m \log m)", "O(m log m)"), (r"\log_3(y+2)", "log_3(y+2)")),
    "constants of integration": _boxed(
        ("t^3+C", "t^3+c"),
        ("t^3+C", "t^3+K"),
        ("t^3+C", r"t^3+\text{const}"),
        ("t^3+C", "t^3+C_1"),
    ),
    "vectors": _boxed(
        ("(5,-3)", r"5\mathbf{i}-3\mathbf{j}"),
        (r"\langle 1,0,7\rangle", r"\hat{i}+7\hat{k}"),
        (r"\vec{i}+\frac12\vec{j}", "(1, 0.5)"),
        ("(4,5,6)", r"\begin{pmatrix}4\\5\\6\end{pmatrix}"),
        (r"\begin{pmatrix}4\\5\end{pmatrix}", r"[4,5]^T"),
        ("(5,-3)", "Q(5,-3)"),
        ("[[5,6],[7,8]]", r"\begin{bmatrix}5&6\\7&8\end{bmatrix}"),
        ("(1,3),(3,1)", r"(x,y)=(1,3) \text{ and } (3,1)"),
        ("Q(5,-3)", "(5,-3)"),
    ),
    "sums of matrices": _boxed(
        (
            r"\begin{pmatrix}5&7\\1&1\end{pmatrix}",
            r"\begin{pmatrix}5&6\\0&1\end{pmatrix}+\begin{pmatrix}0&1\\1&0\end{pmatrix}",
        ),
        (r"\begin{pmatrix}4\\1\end{pmatrix}", r"\begin{pmatrix}6\\2\end{pmatrix}-\begin{pmatrix}2\\1\end{pmatrix}"),
        (r"\begin{pmatrix}1-t\\t\end{pmatrix}", r"\begin{pmatrix}1\\0\end{pmatrix}+t\begin{pmatrix}-1\\1\end{pmatrix}"),
        (r"\frac{1}{4}\begin{pmatrix}1&2\\4&8\end{pmatrix}", r"\begin{pmatrix}0.25&0.5\\1&2\end{pmatrix}"),
    ),
    "arbitrary constants": _boxed(
        ("y=Ce^{4x}", "y=Ae^{4x}"),
        (r"C_1\cos x+C_2\sin x", r"A\cos x+B\sin x"),
        (r"x=\frac{\pi}{8}+k\pi", r"x=\frac{\pi}{8}+n\pi"),
        (r"x=9k+4, k\in\mathbb{Z}", r"x=4+9m, m\in\mathbb{Z}"),
    ),
    "values with names": [
        *_boxed(("8, 3", "KL=8, MN=3"), ("p=8, q=3", "8, 3"), ("h(5)=8", "8"), (r"e=\frac{4}{9}", r"\frac{4}{9}")),
        *_boxed(("[3, 8]", "3, 8"), question="Find all solutions."),
    ],
    "boxes side by side": _whole(("5, 8", r"$\boxed{5}$ $\boxed{8}$"), ("5", r"\boxed{5} \boxed{5}")),
    "spellings of marks": _boxed(
        ("h'(x)", r"h^{\prime}(x)"),
        (r"X\to Y", r"X\rightarrow Y"),
        ("P^T", r"P^{\top}"),
        ("x_{5}^{2}", "x_5^2"),
        (r"\infty", "oo"),
    ),
    "a letter for an option's value": _boxed(("40", "A"), question="Which is even? (A) 40 (B) 25 (C) 9 (D) 71"),
    "units of data and of heat": _stated(
        ("8 GB", "8 gigabytes"), ("8 GB", "8000 MB"), ("8 °C", "8 degrees Celsius"), ("1.5 hours", "1:30 hours")
    ),
    "a number that is asked": [
        *_stated(("8", "chapter 8"), question="In which chapter does it end?"),
        *_stated(("8", "the 8th floor"), question="On which floor is the shop?"),
    ],
    "a place with its preposition": _stated(("Lima", "in Lima"), ("Sunday", "on Sunday")),
    "scales of the question": [
        *_stated(("9000", "9k"), ("0.002", "2‰")),
        *_stated(("7 million", "7"), question="How many millions of people live there?"),
        *_stated(("1,20,000", "120000"), question="How many rupees is it?"),
        *_stated(("3500", "3.500"), question="Wie viele Bücher sind es?"),
    ],
    "conclusions in other languages": _whole(
        ("27", "Il n'y a pas de reste, donc elle en a 27."),
        ("27", "Es sind nicht 26, sondern 27."),
        ("27", "No son 26, sino 27."),
        ("27", "Nie 26, lecz 27."),
    ),
    "short conclusions": _whole(("27", "So 27."), ("25 %", "A quarter, i.e. 25%.")),
    "intervals": _boxed(
        ("(3,8]", r"x>3 \text{ and } x\le 8"),
        ("(3,8]", "]3,8]"),
        (r"\mathbb{R}\setminus\{6\}", r"x\ne 6"),
        (r"\mathbb{R}\setminus\{6\}", r"(-\infty,6)\cup(6,\infty)"),
    ),
    "constants in words": _stated(
        (r"\sqrt{3}", "the square root of 3"),
        (r"\frac{\pi}{6}", "pi over 6"),
        (r"3\pi", "three pi"),
        ("e^2", "e squared"),
        ("49", "seven squared"),
        (r"\sqrt[3]{4}", "the cube root of 4"),
        ("-9", "the opposite of 9"),
    ),
    "decimal commas": [
        *_boxed(("6,35", "6.35"), ("0,125", "0.125")),
        *_boxed(("4.5", "4,5"), question="Wie viele Liter sind es?"),
        *_boxed(("0.75", "0,75"), question="¿Cuál es la probabilidad?"),
        *_boxed(("2.72", "2,71828"), question="Runde auf zwei Nachkommastellen: wie groß ist e?"),
    ],
    "thousands": _boxed(("2~500", "2500"), (r"14,\! 250", "14250"), ("14250", r"14,\!250")),
    "rounding in other languages": [
        *_boxed(("2.72", "2.71828"), question="保留两位小数"),
        *_boxed(("2.72", "2.71828"), question="Redondea a dos decimales."),
        *_boxed(("3400", "3385"), question="Round to the nearest hundred."),
    ],
    "numerals in words": _boxed(
        ("36", "三十六"),
        ("12", "十二"),
        ("1205", "一千二百零五"),
        ("30000", "三万"),
        (r"28\%", "28 pct"),
    ),
    "escaped twice": _boxed((r"\frac{5}{9}", r"\\frac{5}{9}"), ("[1,4]", r"1 \\le x \\le 4")),
    "names before a value": _boxed((r"\frac{AB}{CD}=\frac{3}{7}", r"\frac{3}{7}"), ("V_1:V_2=3:7", "3:7")),
    "abbreviations": [("Mt. Fuji", "So the answer is Mt. Fuji.", "Which mountain is it?")],
    "a labelled gold answer": [("Final answer: 11", r"\boxed{11}", None)],
    "scales": _stated(
        ("6000000000", "6 milliards"), ("6000000", "6 Millionen"), ("6000", "6 тысяч"), ("600000000", "6億")
    ),
    "the unit that is asked": [
        *_stated(("8", "8 km"), question="How many km is it?"),
        *_stated(("8", "8 feet"), question="A 24 inches long plank is cut. How many feet are left?"),
        *_stated(("0.45", "0.45%"), question="What percent is it?"),
    ],
    "numbers between East Asian letters": _whole(
        ("36", "所以一共有36个苹果。"),
        ("36", "따라서 답은 36개이다."),
        ("36", "したがって、答えは36個です。"),
        ("1250", "因此总共是1,250元。"),
    ),
    "statements in other languages": _whole(
        ("36", "Итак, окончательный ответ: **36**."), ("36", "Отговор: 36"), ("36", "Odgovor: 36")
    ),
}

_OPTIONS = "Which is the smallest? (A) 40 (B) 25 (C) 9 (D) 70"
CHOICES: list[tuple[str, str, bool | None]] = [
    ("C", "Between B and C, C is right.", True),
    ("C", "Between B and C, B is right.", False),
    ("C", "B is not right, so it must be C.", True),
    ("C", "C is not right, so it must be B.", False),
    ("C", "It could be C.", None),
    ("C", "If C is right, then 9 is the smallest.", None),
    ("C", "It is not true that C is right.", None),
    ("C", "所以选C。", True),
    ("C", "所以不选C。", None),
    ("AC", "故选AC.", True),
    ("C", "故选AC.", False),
    ("C", "正解はCです。", True),
    ("C", "정답은 C입니다.", True),
    ("C", "Die Antwort ist nicht C.", None),
]
BOOLEANS: list[tuple[str, str, bool | None]] = [
    ("yes", "Ja, das stimmt.", True),
    ("yes", "Nein.", False),
    ("no", "Non, c'est faux.", True),
    ("no", "いいえ。", True),
    ("yes", "不是。", False),
    ("yes", "是的。", True),
    ("true", "Falsch.", False),
    ("yes", "Nicht ja.", None),
]


def _credited(rows: Rows) -> list[str]:
    verdicts = [(gold, trace, check(Item(trace, gold, question, answer_only=True))) for gold, trace, question in rows]
    return [f"{gold!r} ← {trace!r} ({verdict.proof})" for gold, trace, verdict in verdicts if verdict.correct]


@pytest.mark.parametrize("kind", WRONG)
def test_an_answer_that_looks_right_at_a_glance_is_not_credited(kind: str) -> None:
    assert _credited(WRONG[kind]) == []


@pytest.mark.parametrize("kind", RIGHT)
def test_an_answer_in_an_unusual_form_is_credited(kind: str) -> None:
    assert len(_credited(RIGHT[kind])) == len(RIGHT[kind]), _credited(RIGHT[kind])


@pytest.mark.parametrize(
    ("kind", "question", "gold", "trace", "correct"),
    [
        *(("choice", _OPTIONS if len(gold) == 1 else None, gold, trace, correct) for gold, trace, correct in CHOICES),
        *(("boolean", None, *row) for row in BOOLEANS),
    ],
)
def test_choices_and_yes_or_no_are_read_in_sentences_of_any_language(
    kind: Kind, question: str | None, gold: str, trace: str, correct: bool | None
) -> None:
    verdict = check(Item(trace, gold, question, kind, answer_only=True))
    assert verdict.correct is correct, verdict.proof
