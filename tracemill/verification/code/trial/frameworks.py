"""Tests that were written for pytest, unittest or doctest, run without their runners."""

import ast
import asyncio
import contextlib
import doctest
import inspect
import itertools
import math
import re
import sys
import unittest
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, ModuleType, TracebackType
from typing import Any

from tracemill.verification.code.trial.objects import Names, Stop, as_data


class Failed(AssertionError):
    """A failed test. It is remembered, even if a runner or the tests catch it."""

    first: "Failed | None" = None

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        Failed.first = Failed.first or self


class _Skipped(Exception):
    """The tests skip this case."""


class _Raises(contextlib.AbstractContextManager["_Raises"]):
    """`pytest.raises`."""

    value: BaseException

    def __init__(self, expected: Any, match: str | None = None) -> None:
        self._expected, self._match = expected, match

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if kind is None or error is None:
            raise Failed(f"did not raise {self._expected}")
        if not issubclass(kind, self._expected):
            return False
        self.value = error
        if self._match is not None and not re.search(self._match, str(error)):
            raise Failed(f"{self._match!r} does not match {str(error)!r}")
        return True


class _Approx:
    """`pytest.approx`, with the same tolerances."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expected: Any, rel: float | None = None, abs: float | None = None, nan_ok: bool = False) -> None:
        self._expected, self._rel, self._abs, self._nan_ok = expected, rel, abs, nan_ok

    def __eq__(self, actual: object) -> bool:
        return self._is_close(self._expected, as_data(actual)[0])

    def _is_close(self, expected: Any, actual: Any) -> bool:
        if isinstance(expected, Mapping):
            return set(expected) == set(actual) and all(self._is_close(expected[key], actual[key]) for key in expected)
        if isinstance(expected, list | tuple):
            return len(expected) == len(actual) and all(map(self._is_close, expected, actual))
        if not isinstance(expected, int | float | complex) or not isinstance(actual, int | float | complex):
            return bool(expected == as_data(actual)[0])
        if expected != expected:
            return self._nan_ok and actual != actual
        relative = self._rel if self._rel is not None or self._abs is not None else 1e-6
        tolerance = max(1e-12 if self._abs is None else self._abs, (relative or 0.0) * abs(expected))
        return expected == actual or (abs(expected - actual) <= tolerance and math.isfinite(abs(expected)))


class _Marks:
    """`pytest.mark`: parametrize and skip; any other mark changes nothing."""

    def __getattr__(self, name: str) -> Any:
        if name in ("skip", "skipif"):
            raise Stop(None, f"the tests use pytest.mark.{name}")
        return lambda *args, **named: args[0] if len(args) == 1 and not named and callable(args[0]) else lambda f: f

    def parametrize(self, names: Any, values: Any, **_: Any) -> Callable[[Any], Any]:
        """Run a test once for each value."""
        keys = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
        rows = [dict(zip(keys, value if len(keys) > 1 else [value], strict=True)) for value in values]

        def mark(test: Any) -> Any:
            test.parameters = [*getattr(test, "parameters", []), rows]
            return test

        return mark


def _fixture(function: Any = None, **_: Any) -> Any:
    if function is None:
        return _fixture
    function.is_fixture = True
    return function


def _fail(reason: str = "", **_: Any) -> None:
    raise Failed(reason)


def _skip(reason: str = "", **_: Any) -> None:
    raise _Skipped(reason)


def install() -> None:
    """Make `import pytest` give a stand-in, and let neither framework start its own run."""
    pytest = ModuleType("pytest")
    pytest.__dict__.update(
        raises=_Raises, approx=_Approx, mark=_Marks(), fixture=_fixture, fail=_fail, skip=_skip, main=lambda *_, **__: 0
    )
    sys.modules["pytest"] = pytest
    unittest.main = lambda *_, **__: None  # type: ignore[assignment]
    unittest.TestCase.failureException = Failed


def run_cases(names: Names, called: set[str]) -> None:
    """Run the test functions and classes in `names`, except those that the tests have called themselves."""
    for name, value in list(names.items()):
        with contextlib.suppress(_Skipped, unittest.SkipTest):
            if name in called:
                continue
            if isinstance(value, type) and issubclass(value, unittest.TestCase):
                _run_class(value)
            elif isinstance(value, FunctionType) and name.startswith("test"):
                _run(value, names)
            elif isinstance(value, type) and name.startswith("Test"):
                for method in [method for method in vars(value) if method.startswith("test")]:
                    case = value()
                    getattr(case, "setup_method", lambda *_: None)(*[None][: _n_arguments(case)])
                    _run(getattr(case, method), names)


def _n_arguments(case: object) -> int:
    return len(inspect.signature(getattr(case, "setup_method", lambda: None)).parameters)


def _run_class(case: type[unittest.TestCase]) -> None:
    case.setUpClass()
    for method in unittest.defaultTestLoader.getTestCaseNames(case):
        with contextlib.suppress(unittest.SkipTest):
            case(method).debug()


def _run(test: Callable[..., Any], names: Names) -> None:
    """Run a test function with each set of its parameters, and with its fixtures."""
    for rows in itertools.product(*getattr(test, "parameters", [])):
        arguments = {name: value for row in rows for name, value in row.items()}
        result = test(**arguments, **_fixtures(test, names, arguments))
        if inspect.iscoroutine(result):
            asyncio.run(result)


def _fixtures(function: Callable[..., Any], names: Names, given: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in given or name == "self" or parameter.default is not parameter.empty:
            continue
        fixture: Any = names.get(name)
        if name == "candidate":
            values[name] = names[name]
        elif getattr(fixture, "is_fixture", False):
            value = fixture(**_fixtures(fixture, names, {}))
            values[name] = next(value) if isinstance(value, Iterator) else value
        else:
            raise Stop(None, f"the tests need the fixture {name}")
    return values


def from_doctest(text: str) -> str:
    """The assertions that a doctest stands for."""
    lines = []
    for example in doctest.DocTestParser().get_examples(text):
        expected = example.want.strip()
        if not expected:
            lines.append(example.source)
            continue
        try:
            ast.literal_eval(expected)
        except (ValueError, SyntaxError):
            raise Stop(None, "the tests compare printed text") from None
        if example.source.startswith("print("):
            raise Stop(None, "the tests compare printed text")
        lines.append(f"assert ({example.source.strip()}) == ({expected})")
    return "\n".join(lines)
