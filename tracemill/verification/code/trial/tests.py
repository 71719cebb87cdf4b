"""Run the tests in their process, and call the program for them."""

import ast
import builtins
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any

from tracemill.verification.code.trial.objects import Names, Object, Stop
from tracemill.verification.code.trial.question import headers, is_stub
from tracemill.verification.code.trial.wire import Connection, decode, encode, error_message

UNSUPPORTED = re.compile(r"\b(?:mock|patch|monkeypatch|capsys|asyncio|await)\b|\bsys\.stdin\b|\bbuiltins\.\w+ *=")


class Tests:
    """Runs the tests, and calls the program for them."""

    def __init__(self, line: Connection, program: int) -> None:
        self.line = line
        self.program = program
        self.callables: list[Callable[..., Any]] = []
        self.errors: dict[str, type[BaseException]] = {}

    def judge(self, source: str, tests: str, question: str) -> str:
        """Return the proof that all tests pass. Raises Stop for any other verdict."""
        if UNSUPPORTED.search(tests):
            raise Stop(None, "the tests replace what surrounds the program, or await it: out of their reach here")
        try:
            tree = ast.parse(tests)
        except SyntaxError as error:
            raise Stop(None, f"the tests are not Python: {error}") from None
        try:
            self.ask("load", source, question)
        except MemoryError:
            raise Stop(None, "out of memory") from None
        except ModuleNotFoundError as error:
            raise Stop(None, f"needs a module that the sandbox does not have: {error}") from None
        except BaseException as error:
            raise Stop(False, f"crashed: {type(error).__name__}: {error}") from None
        header = ast.parse(headers(question)[1]).body
        named = self.entry(tests, header)
        entry = named or str(self.ask("entry"))
        modules = {
            node.value.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        names = Names(self.ask, entry, named is not None, modules & sys.stdlib_module_names)
        for helper in header:
            if not is_stub(helper) and getattr(helper, "name", None) != entry:
                with contextlib.suppress(Exception):
                    exec(compile(ast.Module([helper], []), "question", "exec"), names)
        asserts = Asserts()
        started: list[int] = []
        names["__at__"] = started.append
        try:
            exec(compile(ast.fix_missing_locations(asserts.visit(tree)), "tests", "exec"), names)
            if not started and "check" in names:
                names["check"](names[entry])
            elif not started:
                for name, test in list(names.items()):
                    if name.startswith("test") and isinstance(test, FunctionType):
                        test()
        except Stop:
            raise
        except MemoryError:
            raise Stop(None, "out of memory") from None
        except ModuleNotFoundError as error:
            raise Stop(None, f"needs a module that the sandbox does not have: {error}") from None
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, AssertionError) and started:
                reason = f"assert {ast.unparse(asserts.asserts[started[-1]].test)}"
            raise Stop(False, f"failed test {max(1, len(started))}: {reason}") from None
        if not started:
            raise Stop(None, "the tests assert nothing")
        if not names.reached:
            raise Stop(None, "the tests do not use the program")
        return f"passed {len(started)} of {len(started)} tests"

    def entry(self, tests: str, header: list[ast.stmt]) -> str | None:
        """Return the function under test, if the tests or the question name it."""
        defined = [node for node in header if isinstance(node, ast.FunctionDef)]
        names = [node.name for node in defined if is_stub(node)] or [node.name for node in defined]
        names += re.findall(r"^[ \t]*check\((\w+)\)", tests, re.MULTILINE)
        return names[-1] if names else None

    def ask(self, action: str, /, *args: Any, **named: Any) -> Any:
        """Call an action in the program's process.

        Raises the exception that it raises there.
        """
        encoded_args = [encode(arg, self.keep) for arg in args]
        encoded_named = {name: encode(arg, self.keep) for name, arg in named.items()}
        try:
            self.line.send({"do": action, "args": encoded_args, "named": encoded_named})
            while "back" in (answer := self.line.receive()):
                self.line.send(self.called_back(self.callables[answer["back"]], answer["args"]))
            sys.stdout.write(answer["printed"])
            if "error" in answer:
                error: type[BaseException] = self.error(answer["error"])
                text = str(answer["text"])
            else:
                for index, new in answer["changed"]:
                    change(args[index], decode(new, self.take))
                return decode(answer["value"], self.take)
        except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            raise self.failure() from None
        try:
            raised = error(text)
        except TypeError:  # the exception needs other arguments
            raised = ValueError(text)
        raise raised

    def called_back(self, function: Callable[..., Any], args: list[Any]) -> dict[str, Any]:
        try:
            return {"value": encode(function(*(decode(arg, self.take) for arg in args)), self.keep)}
        except Exception as error:
            return error_message(error)

    def failure(self) -> Stop:
        """Return the verdict on a program whose process has ended or sends invalid data."""
        for _ in range(50):
            pid, status = os.waitpid(self.program, os.WNOHANG)
            if pid:
                break
            time.sleep(0.01)
        else:
            return Stop(False, "the program does not answer its tests")
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            if name in ("SIGKILL", "SIGXCPU"):
                return Stop(None, f"killed: {name}")
            return Stop(False, f"crashed: {name}")
        return Stop(False, f"the program ended itself (exit code {os.waitstatus_to_exitcode(status)})")

    def keep(self, value: Any) -> Any:
        if isinstance(value, Object):
            return {"t": "object", "v": value._index}
        if not callable(value):
            raise Stop(None, f"the tests give the program an object of their own ({type(value).__name__})")
        self.callables.append(value)
        return {"t": "call", "v": len(self.callables) - 1}

    def take(self, data: Any) -> Any:
        kind, value = data["t"], data["v"]
        if kind == "object":
            return Object(self.ask, int(value[0]), value[1] is True)
        if kind == "error":
            return self.error(value)
        raise Stop(None, f"the tests use what cannot be told apart from the program ({kind})")

    def error(self, names: list[str]) -> type[BaseException]:
        """Return the exception class of that name.

        If it is no built-in, it is a new class with the same built-in base.
        """
        for name in names:
            base = getattr(builtins, name, None)
            if isinstance(base, type) and issubclass(base, BaseException):
                return base if name == names[0] else self.errors.setdefault(names[0], type(names[0], (base,), {}))
        raise ValueError(names)


class Asserts(ast.NodeTransformer):
    """Numbers the assertions: each records its number before it runs."""

    def __init__(self) -> None:
        self.asserts: list[ast.Assert] = []

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        self.asserts.append(node)
        tell = ast.Call(ast.Name("__at__", ast.Load()), [ast.Constant(len(self.asserts) - 1)], [])
        return [ast.copy_location(ast.Expr(tell), node), node]


def change(target: Any, new: Any) -> None:
    """Repeat a change that the program made to an argument."""
    if isinstance(target, list | bytearray):
        target[:] = new
    elif isinstance(target, dict | set):
        target.clear()
        target.update(new)
