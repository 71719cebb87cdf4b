"""The tests of a question, in every form in which public data sets store them.

`program_tests` makes one text of them, as the gold answer that is stored. `read_tests` reads such a text again, and
gold answers that are tests already.
"""

import ast
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

#: Characters of all tests of a question. The checks refuse longer gold answers.
MAX_CHARS = 900_000
MAX_LITERAL = 1_000_000  # characters of a Python literal: its parser takes 100 times its size

_INPUTS = ("input", "inputs", "stdin")
_OUTPUTS = ("output", "outputs", "expected_output", "expected", "stdout")
_NAMES = ("fn_name", "func_name", "entry_point")
_ASSERTION = re.compile(r"^\s*(?:assert\b|def test|class Test|import |from \w+ import )", re.MULTILINE)
_METHOD = re.compile(r"^[ \t]*def[ \t]+(\w+)[ \t]*\(", re.MULTILINE)

#: Results come from JSON, which has no tuples.
_SAME_AS_JSON = """
def _as_json(value):
    return [_as_json(item) for item in value] if type(value) in (list, tuple) else value
"""


class InputOutput(NamedTuple):
    """Texts for stdin, each with the expected stdout."""

    pairs: list[tuple[str, str]]


class PythonTests(NamedTuple):
    """Python that tests the program."""

    text: str
    #: The function or method under test, that the tests call `candidate`. "": the tests or the question name it.
    entry: str = ""


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
            function = _METHOD.search(starter)
            if function and value[0].get("testtype") == "functional":
                calls = (([_literal(line) for line in _lines(given)], _literal(expected)) for given, expected in pairs)
                return _assertions(_called(function[1], starter), calls)
            return _pairs(pairs)
    return None


def read_tests(text: str, question: str | None = None) -> InputOutput | PythonTests | None:
    """Return the tests in `text`; None if they have no known form.

    - Python: assertions, `check(candidate)` (HumanEval), functions and classes of pytest and unittest, doctests;
    - a list of such texts, in JSON or as Python prints it (MBPP);
    - a list of inputs with their outputs, as objects or as pairs; "testtype": "functional" and a function's name make
      them calls (LiveCodeBench);
    - an object of `inputs`, `outputs` and perhaps `fn_name` (APPS, TACO).
    """
    data = _parsed(text)
    if isinstance(data, str):
        return PythonTests(data)
    if isinstance(data, Mapping):
        return _read_columns(data, question)
    if not isinstance(data, list) or not data:
        return None
    if all(isinstance(test, str) for test in data):
        return PythonTests("\n".join(data))
    cases = [_case(test) for test in data]
    if not all(cases):
        return None
    first = data[0] if isinstance(data[0], Mapping) else {}
    name = _function(first) or _function(first.get("metadata"))
    if name or first.get("testtype") == "functional":
        arguments = [_lines_of_json(case[0]) for case in cases if case]
        return _calls(arguments, [_json(case[1]) for case in cases if case], name or _method(question))
    return _texts([case[0] for case in cases if case], [case[1] for case in cases if case])


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


def _literal(text: object) -> object:
    """The value that a text holds as JSON or as Python writes it; otherwise the text."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return python_literal(text)


def python_literal(text: str) -> object:
    """The value of a text in the notation of Python; the text if it has none."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _parsed(text: str) -> Any:
    """The list or object in `text`, or the text itself."""
    stripped = text.strip()
    if stripped[:1] not in "[{" or stripped[-1:] not in "]}":
        return text
    try:
        return json.loads(stripped)
    except (ValueError, RecursionError):
        return python_literal(text) if len(stripped) <= MAX_LITERAL else text


def _read_columns(data: Mapping[str, Any], question: str | None) -> InputOutput | PythonTests | None:
    inputs, outputs = _first(data, _INPUTS), _first(data, _OUTPUTS)
    if isinstance(inputs, str) and isinstance(outputs, str):
        return _texts([inputs], [outputs])
    if not (isinstance(inputs, list) and isinstance(outputs, list) and inputs and len(inputs) == len(outputs)):
        return None
    if name := _function(data):
        # APPS wraps each result in a list; a data set does so everywhere or nowhere.
        if all(isinstance(output, list) and len(output) == 1 for output in outputs):
            outputs = [output[0] for output in outputs]
        return _calls(inputs, outputs, name)
    return _texts(inputs, outputs)


def _case(test: Any) -> tuple[Any, Any] | None:
    """Input and output of one test."""
    if isinstance(test, Mapping):
        values = _first(test, _INPUTS), _first(test, _OUTPUTS)
        return values if None not in values else None
    return (test[0], test[1]) if isinstance(test, list | tuple) and len(test) == 2 else None


def _calls(arguments: Sequence[Any], results: Sequence[Any], name: str) -> PythonTests | None:
    """Tests that call the function with each list of arguments."""
    if not all(isinstance(values, list) and _is_json(values) for values in arguments) or not _is_json(list(results)):
        return None
    lines = [
        f"assert _as_json(candidate({', '.join(map(repr, values))})) == {result!r}"
        for values, result in zip(arguments, results, strict=True)
    ]
    return PythonTests("\n".join([_SAME_AS_JSON, *lines]), name)


def _texts(inputs: Sequence[Any], outputs: Sequence[Any]) -> InputOutput | None:
    texts = [(_as_text(given), _as_text(expected)) for given, expected in zip(inputs, outputs, strict=True)]
    pairs = [(given, expected) for given, expected in texts if given is not None and expected is not None]
    return InputOutput(pairs) if len(pairs) == len(texts) else None


def _as_text(value: Any) -> str | None:
    """A text, or a list of lines, or a number."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(line.removesuffix("\n") for line in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _lines(text: object) -> list[str]:
    return [line for line in str(text).split("\n") if line.strip()]


def _lines_of_json(value: Any) -> list[Any]:
    """Arguments: a list, or a text with one argument in JSON on each line."""
    return [_json(line) for line in _lines(value)] if isinstance(value, str) else value


def _json(value: Any) -> Any:
    """The value of a JSON text; a text that is no JSON stands for itself."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _is_json(value: Any) -> bool:
    """Does the text of this value in Python mean the same value?"""
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    return not isinstance(value, float) or math.isfinite(value)


def _function(data: Any) -> str:
    """The function that an object of tests names; "" if it names none."""
    if isinstance(data, str):
        data = _json(data)
    name = _first(data, _NAMES) if isinstance(data, Mapping) else None
    last = str(name).rpartition(".")[2] if isinstance(name, str) else ""
    return last if last.isidentifier() else ""


def _method(question: str | None) -> str:
    """The last function that the question shows; "" if it shows none."""
    names: list[str] = _METHOD.findall(question or "")
    return next((name for name in reversed(names) if not name.startswith("__")), "")


def _first(data: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((data[name] for name in names if data.get(name) is not None), None)
