"""Tests of programs in the forms of public data sets, as one text that `tracemill.verification.code` reads.

APPS and TACO have an object of `inputs` and `outputs`, LiveCodeBench a list of `input` and `output`, MBPP a list of
assertions. Tests of a function, which name it in `fn_name` or in its starter code, become assertions.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

#: Characters of all tests of a question. The checks refuse longer gold answers.
MAX_CHARS = 900_000
_ASSERTION = re.compile(r"^\s*(?:assert\b|def test|class Test|import |from \w+ import )", re.MULTILINE)
_FUNCTION = re.compile(r"^\s*def (\w+)\(", re.MULTILINE)


def program_tests(value: Any, starter: str = "") -> str | None:
    """The tests as one text; None if these are no tests. Tests above `MAX_CHARS` are left out.

    Raises ValueError if the first one alone is longer."""
    match value:
        case [*texts] if texts and all(isinstance(text, str) for text in texts):
            return "\n".join(texts) if any(map(_ASSERTION.search, texts)) else None
        case {"inputs": list() as inputs, "outputs": list() as outputs, **rest}:
            name = rest.get("fn_name")
            if isinstance(name, str):
                return _assertions(_called(name, starter), zip(inputs, outputs, strict=False))
            return _pairs(zip(inputs, outputs, strict=False))
        case [{"input": _, "output": _}, *_]:
            pairs = [(case.get("input"), case.get("output")) for case in value if isinstance(case, Mapping)]
            function = _FUNCTION.search(starter)
            if function and value[0].get("testtype") == "functional":
                calls = (([_literal(line) for line in _lines(given)], _literal(expected)) for given, expected in pairs)
                return _assertions(_called(function[1], starter), calls)
            return _pairs(pairs)
    return None


def _called(name: str, starter: str) -> str:
    """The function as tests call it: alone, or on an object of the class `Solution`."""
    return f"Solution().{name}" if re.search(r"^class Solution\b", starter, re.MULTILINE) else name


def _assertions(function: str, calls: Iterable[tuple[Any, Any]]) -> str:
    def assertion(arguments: Any, expected: Any) -> str:
        listed = arguments if isinstance(arguments, list) else [arguments]
        call = f"{function}({', '.join(map(repr, listed))})"
        # APPS wraps some of the results in a list, and its own judge accepts both.
        wrapped = f" or {call} == {expected[0]!r}" if isinstance(expected, list) and len(expected) == 1 else ""
        return f"assert {call} == {expected!r}{wrapped}"

    return "\n".join(_fitting(assertion(*call) for call in calls))


def _pairs(cases: Iterable[tuple[Any, Any]]) -> str:
    texts = (json.dumps({"input": _stream(given), "output": _stream(expected)}) for given, expected in cases)
    return f"[{', '.join(_fitting(texts))}]"


def _fitting(tests: Iterable[str]) -> Iterator[str]:
    """The first tests, as many as fit."""
    size = 0
    for test in tests:
        size += len(test) + 2
        if size > MAX_CHARS:
            if size == len(test) + 2:
                raise ValueError(f"holds a test of more than {MAX_CHARS:,} characters")
            return
        yield test


def _stream(value: object) -> str:
    """The text of standard input or output; some files keep its lines in a list."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _lines(text: object) -> list[str]:
    return [line for line in str(text).split("\n") if line.strip()]


def _literal(text: object) -> object:
    """The value that a text holds as JSON or as Python writes it; otherwise the text."""
    if not isinstance(text, str):
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return text
