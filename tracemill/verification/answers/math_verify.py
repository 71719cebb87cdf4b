"""The last resort: math-verify (https://github.com/huggingface/Math-Verify), a computer algebra comparison.

It runs behind a filter that refuses what is known to cost it seconds or gigabytes, and only in a child that can be
killed. It is only ever given text for its LaTeX grammar, never for its Python expression reader. It is not symmetric:
gold goes first.
"""

import re

MAX_LENGTH = 400  # characters of an answer; the longest real gold answers have about 150
MAX_NESTING = 10
MAX_OPERATORS = 60

_COSTLY = (
    (re.compile(r"\d{40}"), "a huge number"),
    (
        re.compile(r"\^\s*\{?[^{}\s+=,<>-]{0,40}[\^!]|\^\s*\([^()]{0,40}\^|\^\s*\{[^{}]{0,40}\{?[^{}]{0,40}\^"),
        "a power tower",
    ),
    (re.compile(r"\^[\s{(+-]{0,6}[\d.]{4}|\^[^\w]{0,6}\\frac\{\d{4}"), "a huge exponent"),
    (re.compile(r"[)}]\s*\^[\s{(+-]{0,6}\d{2}"), "a huge power of an expression"),
    (re.compile(r"\d{3}\s*!|!\s*!|!\s*[)}]|[)}]\s*!"), "a factorial"),
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
    """Why `answer` must not reach the computer algebra; None if it may."""
    if len(answer) > MAX_LENGTH:
        return f"{len(answer)} characters"
    depth = deepest = 0
    for char in answer:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    if deepest > MAX_NESTING:
        return f"brackets nested {deepest} deep"
    if sum(answer.count(char) for char in "+-*/^_&,") > MAX_OPERATORS:
        return "too many operators"
    return next((why for pattern, why in _COSTLY if pattern.search(answer)), None)


def equal(gold: str, answer: str) -> tuple[bool | None, str]:
    """Does math-verify find `answer` equal to `gold`; None if either is too costly or cannot be read."""
    if (why := too_costly(answer) or too_costly(gold)) is not None:
        return None, f"refused: too costly ({why})"
    from math_verify import LatexExtractionConfig, parse, verify
    from sympy import Basic, MatrixBase

    try:
        # Its own timeouts are alarms, which threads cannot have: the pool's kill is the timeout.
        parsed = [
            parse(f"${value.replace('$', '')}$", [LatexExtractionConfig()], parsing_timeout=None, raise_on_error=True)
            for value in (gold.replace("%", r"\%"), answer.replace("%", r"\%"))
        ]
        if not all(any(isinstance(item, (Basic, MatrixBase)) for item in items) for items in parsed):
            return None, "math-verify cannot read it"
        return verify(*parsed, timeout_seconds=None, raise_on_error=True), "math-verify"
    except MemoryError:
        raise
    except Exception as error:  # whatever a computer algebra system raises on hostile text, it decided nothing
        return None, f"math-verify failed: {type(error).__name__}"
