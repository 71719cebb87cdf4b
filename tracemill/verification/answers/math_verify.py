"""Compare by math-verify, a computer algebra system, if no other proof decides.

https://github.com/huggingface/Math-Verify. A filter refuses texts that are known to cost it seconds or gigabytes. It
runs only in a child process that can be killed. It reads every text with its LaTeX grammar, never with its parser of
Python expressions. The comparison is not symmetric: gold goes first.
"""

import re

MAX_LENGTH = 400  # characters of an answer; the longest real gold answers have about 150
MAX_NESTING = 10
MAX_OPERATORS = 60

#: A function without its backslash, which math-verify reads as a product of letters
_FUNCTION = re.compile(
    r"(?<![A-Za-z\\])((?:arc)?(?:sin|cos|tan)|cot|sec|csc|sinh|cosh|tanh|log|ln|exp|min|max|gcd)(?![A-Za-z])"
)
_PRODUCT = re.compile(r"\d(?=[A-Za-z])|[A-Za-z](?=\d)")  # 4x

_COSTLY = (
    (re.compile(r"\d{40}"), "a huge number"),
    (
        re.compile(r"\^\s*\{?[^{}\s+=,<>-]{0,40}[\^!]|\^\s*\([^()]{0,40}\^|\^\s*\{[^{}]{0,40}\{?[^{}]{0,40}\^"),
        "a power tower",
    ),
    (re.compile(r"\^[\s{(+-]{0,6}[\d.]{4}|\^[^\w]{0,6}\\frac\{\d{4}"), "a huge exponent"),
    (re.compile(r"[)}]\s*\^[\s{(+-]{0,6}\d{2}"), "a huge power of an expression"),
    (re.compile(r"\d{3}\s*!|!\s*!|!\s*[)}]|[)}]\s*!"), "a factorial"),
    (re.compile(r"[A-Za-z]{19}|(?:[A-Za-z]\s){16}"), "a long product of letters"),
    (
        re.compile(r"\\(?:sum|prod|i*nt|oint|lim|binom|dbinom|tbinom|Gamma|zeta)(?![a-z])|∑|∏|∫"),
        "a sum, integral or binomial",
    ),
    (
        re.compile(r"factorial|gamma|eye|zeros|ones|range|import|lambda|eval|exec|open|__", re.IGNORECASE),
        "a function call",
    ),
)


def too_costly(answer: str) -> str | None:
    """Return why math-verify must not read `answer`; None if it may."""
    if len(answer) > MAX_LENGTH:
        return f"{len(answer)} characters"
    depth = deepest = 0
    for char in answer:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    if deepest > MAX_NESTING:
        return f"brackets nested {deepest} deep"
    if sum(answer.count(char) for char in "+-*/^_&,") + len(_PRODUCT.findall(answer)) > MAX_OPERATORS:
        return "too many operators"
    return next((reason for pattern, reason in _COSTLY if pattern.search(answer)), None)


def equal(gold: str, answer: str) -> tuple[bool | None, str]:
    """Return (does math-verify find `answer` equal to `gold`, the proof).

    The verdict is None if either is too costly or cannot be read.
    """
    if (reason := too_costly(answer) or too_costly(gold)) is not None:
        return None, f"refused: too costly ({reason})"
    from math_verify import LatexExtractionConfig, parse, verify
    from sympy import Basic, MatrixBase

    try:
        # math-verify times out by alarms, which threads cannot use. The process pool kills a slow child instead.
        parsed = [
            parse(f"${value.replace('$', '')}$", [LatexExtractionConfig()], parsing_timeout=None, raise_on_error=True)
            for value in (_FUNCTION.sub(r"\\\1", text.replace("%", r"\%")) for text in (gold, answer))
        ]
        if not all(any(isinstance(item, (Basic, MatrixBase)) for item in items) for items in parsed):
            return None, "math-verify cannot read it"
        return verify(*parsed, timeout_seconds=None, raise_on_error=True), "math-verify"
    except MemoryError:
        raise
    except Exception as error:  # hostile text can raise anything; the result is undecided
        return None, f"math-verify failed: {type(error).__name__}"
