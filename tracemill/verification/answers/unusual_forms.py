r"""Rewrite answers in unusual forms in the form that the comparison reads.

Vectors in i, j and k become points, columns too if the other answer is a point. ``[[1,2],[3,4]]`` becomes a matrix.
``x > 2 and x \le 5``, ``]2,5]`` and ``\mathbb{R} \setminus \{4\}`` become intervals or inequalities. Every
constant of integration becomes C. "The square root of 2" becomes a root.
"""

import json
import re
from itertools import pairwise

_VECTOR_MARK = r"\\(?:mathbf|vec|hat|boldsymbol|bm|textbf|overrightarrow|widehat)"
_VECTOR_MARKS = (r"\mathbf", r"\vec", r"\hat", r"\bo", r"\bm", r"\textbf", r"\over", r"\wide", "î", "ĵ")
_UNIT_VECTOR = re.compile(
    rf"(?:{_VECTOR_MARK}\s?\{{?\s?){{1,2}}\\?(?P<axis>[ijk])(?:math)?(?![a-z])\s?\}}{{0,2}}|(?P<hat>[îĵ]|k̂)"
)
_AXES = {"î": 0, "ĵ": 1, "k̂": 2, "i": 0, "j": 1, "k": 2}
_COLUMN = re.compile(
    r"(?:\\left)?[(\[]?\s?\\begin\s?\{[pbvB]?(?:matrix|array)\}(?:\{c\})?(?P<cells>[^&]{1,300}?)(?:\\\\)?\s?"
    r"\\end\s?\{[pbvB]?(?:matrix|array)\}\s?(?:\\right)?[)\]]?$",
    re.DOTALL,
)
_TRANSPOSED = re.compile(r"[\[(]([^\[\]()]{1,200})[\])]\s?\^\s?\{?\s?(?:T|\\top|\\intercal)\s?\}?$")
_POINT = re.compile(r"(?:\\left\s?)?(?:\(|\\langle)")
_NAMED_POINT = re.compile(r"[A-Z]\s?(?=\()")
_POINT_NAMES = re.compile(r"\([a-z](?:_\d)?(?:, ?[a-z](?:_\d)?){1,5}\) ?= ?(?=\()")
_NUMBER = r"[-+]?(?:\\?[\w.]+|\\frac\{\w{1,9}\}\{\w{1,9}\}|\\sqrt\{\w{1,9}\})"
_BOTH_BOUNDS = re.compile(
    rf"([a-z]) ?(<|>|\\[lg]e) ?({_NUMBER}) ?(?:and|,|\\land|\\wedge) ?\1 ?(<|>|\\[lg]e) ?({_NUMBER})$"
)
_TURNED_BRACKETS = re.compile(r"([\]\[])([^\[\]()]{1,60}[,;][^\[\]()]{1,60})([\]\[])$")
_ALL_BUT = re.compile(r"\\mathbb\s?\{?R\}? ?(?:\\setminus|\\backslash|-) ?\\\{([^{}]{1,60})\\\}$")
#: Solved equations: \begin{cases} x=1 \\ y=2 \end{cases}
_SYSTEM = re.compile(
    r"(?:\\left\s?\\\{\s?)?\\begin\{cases\}(.{1,300}?)(?:\\\\)?\s?\\end\{cases\}(?:\s?\\right\s?\.?)?$", re.DOTALL
)
_SOLUTION = re.compile(r"[A-Za-z](?:_\{?\w\}?)?\s?=[^=&<>]{1,60}$")
_CONSTANT = re.compile(r"\s?\+\s?([cKk]|[CK]_\{?\d\}?|const(?:ant)?\.?)$")
_SPOKEN = tuple(
    (re.compile(rf"(?:the )?{pattern}$", re.IGNORECASE), formula)
    for pattern, formula in (
        (r"(?:(\d+) )?(?:times )?(?:the )?(?:square )?root (?:of )?(\d+)", r"\1\\sqrt{\2}"),
        (r"(?:the )?cube root of (\d+)", r"\\sqrt[3]{\1}"),
        (r"(\d+|e|\\pi) squared", r"\1^2"),
        (r"(\d+|e|\\pi) cubed", r"\1^3"),
        (r"(\d+) factorial", r"\1!"),
        (r"(\d+|e) to the power (?:of )?(-?\d+)", r"\1^{\2}"),
        (r"(\d*) ?\\pi (?:over|divided by) (\d+)", r"\\frac{\1\\pi}{\2}"),
        (r"(\d+) \\pi", r"\1\\pi"),
        (r"half (?:of )?\\pi", r"\\frac{\\pi}{2}"),
        (r"(?:negative|minus) \\infty", r"-\\infty"),
        (r"(?:the )?(?:opposite|negative) of (\d+)", r"-\1"),
        (r"(?:the )?reciprocal of (\d+)", r"\\frac{1}{\1}"),
        (r"(?:the )?golden ratio", r"\\frac{1+\\sqrt{5}}{2}"),
    )
)
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(
    ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1
)}  # fmt: skip


def rewrite_vectors(gold: str, answer: str) -> tuple[str, str]:
    """Rewrite vectors and matrices of two texts as the trace wrote them, before `normalize.plain` drops their marks."""
    if not any(mark in gold or mark in answer for mark in ("\\", "[[", "î", "(")):
        return gold, answer
    gold_vector, answer_vector = _components(gold), _components(answer)
    if gold_vector or answer_vector:
        has_third = any(vector and vector[2] != "0" for vector in (gold_vector, answer_vector))
        size = 3 if has_third or _n_cells(answer if gold_vector else gold) == 3 else 2
        gold = f"({','.join(gold_vector[:size])})" if gold_vector else gold
        answer = f"({','.join(answer_vector[:size])})" if answer_vector else answer
    gold, answer = _as_row(gold, answer), _as_row(answer, gold)
    if r"\begin" in gold + answer and "[[" in gold + answer:
        gold, answer = _as_matrix(gold), _as_matrix(answer)
    if gold[:1] == "(" and _NAMED_POINT.match(answer):
        answer = _NAMED_POINT.sub("", answer, count=1)
    elif answer[:1] == "(" and _NAMED_POINT.match(gold):
        gold = _NAMED_POINT.sub("", gold, count=1)
    return gold, answer


def _components(value: str) -> list[str] | None:
    """Return the three components of ``3\\mathbf{i}-2\\mathbf{k}``; None if `value` is no such sum."""
    marks = list(_UNIT_VECTOR.finditer(value)) if any(mark in value for mark in _VECTOR_MARKS) else []
    if not 1 <= len(marks) <= 3 or value[marks[-1].end() :].strip():
        return None
    components = ["0", "0", "0"]
    for start, mark in zip([0, *(mark.end() for mark in marks)], marks, strict=False):
        factor = value[start : mark.start()].replace(r"\,", "").replace(r"\cdot", "").replace(" ", "")
        axis = _AXES[mark["axis"] or mark["hat"]]
        if (
            re.search(r"(?<!^)[+](?![^({]*[)}])|=|,", factor)
            or components[axis] != "0"
            or (start and factor[:1] not in "+-")
        ):
            return None
        factor = factor.removeprefix("+")
        components[axis] = factor + "1" if factor in ("", "-") else factor
    return components


def _n_cells(value: str) -> int:
    return value.count(",") + value.count(r"\\") + 1


def _as_row(value: str, other: str) -> str:
    """Rewrite a column as a point, if `other` is a point or a column's transpose."""
    if (transposed := _TRANSPOSED.match(value)) is not None:
        cells = r" \\ ".join(transposed[1].split(","))
        return rf"\begin{{pmatrix}} {cells} \end{{pmatrix}}" if r"\begin" in other else value
    if not _POINT.match(other) or r"\begin" in other or (column := _COLUMN.match(value)) is None:
        return value
    return f"({','.join(cell.strip() for cell in column['cells'].split(chr(92) * 2))})"


def _as_matrix(value: str) -> str:
    if "[[" not in value:
        return value
    try:
        rows = json.loads(value)
    except (ValueError, RecursionError):
        return value
    if not all(isinstance(row, list) for row in rows):
        return value
    lines = r" \\ ".join(" & ".join(map(str, row)) for row in rows)
    return rf"\begin{{pmatrix}} {lines} \end{{pmatrix}}"


def rewrite(value: str) -> str:
    """Rewrite sets of real numbers and spoken constants in the spelling of `normalize.plain`."""
    if (both := _BOTH_BOUNDS.match(value)) is not None and (both[2] in (">", r"\ge")) != (both[4] in (">", r"\ge")):
        (low_sign, low), (high_sign, high) = sorted(
            ((both[2], both[3]), (both[4], both[5])), key=lambda bound: bound[0] not in (">", r"\ge")
        )
        return f"{low} {'<' if low_sign == '>' else chr(92) + 'le'} {both[1]} {high_sign} {high}"
    if (system := _SYSTEM.match(value)) is not None:
        lines = [line.strip() for line in system[1].split(r"\\")]
        return ", ".join(lines) if all(map(_SOLUTION.match, lines)) else value
    if (turned := _TURNED_BRACKETS.match(value)) is not None and turned[1] + turned[3] != "[]":
        return f"{'[' if turned[1] == '[' else '('}{turned[2].replace(';', ',')}{']' if turned[3] == ']' else ')'}"
    if (all_but := _ALL_BUT.match(value)) is not None:
        return _without_points([point.strip() for point in all_but[1].split(",")])
    return _spoken(value) if value[-1:].isalnum() or "root" in value else value


def _without_points(points: list[str]) -> str:
    try:
        ends = [r"-\infty", *sorted(points, key=float), r"\infty"]
    except ValueError:
        ends = [r"-\infty", *points, r"\infty"]
    return r"\cup".join(f"({low},{high})" for low, high in pairwise(ends))


def is_spoken(value: str) -> bool:
    """Is the whole text a constant in words, such as "pi over four"?"""
    return _spoken(value) != value


def _spoken(value: str) -> str:
    if " " not in value or len(value) > 60:
        return value
    words = " ".join(_NUMBER_WORDS.get(word.lower(), word) for word in value.split())
    for pattern, formula in _SPOKEN:
        if pattern.match(words):
            return pattern.sub(formula, words)
    return value


def without_names(answer: str, gold: str) -> str:
    """Return the points after "(x, y) = ", if `gold` has points without names."""
    return _POINT_NAMES.sub("", answer) if gold[:1] == "(" and "=" in answer and "=" not in gold else answer


def with_one_constant(gold: str, answer: str) -> str:
    """Rewrite the constant of integration of `answer` as C, if `gold` ends in + C and the letter occurs only there."""
    constant = _CONSTANT.search(answer) if re.search(r"\+ ?C$", gold) else None
    if constant is None or constant[1][0] in answer[: constant.start()]:
        return answer
    return answer[: constant.start()] + " + C"
