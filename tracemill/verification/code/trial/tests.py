"""In the tests' process: run them, and ask the program for what they use of it."""

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
from tracemill.verification.code.trial.wire import Line, decode, encode, trouble

OUT_OF_REACH = re.compile(r"\b(?:mock|patch|monkeypatch|capsys|asyncio|await)\b|\bsys\.stdin\b|\bbuiltins\.\w+ *=")


class Tests:
    """In the tests' process: runs them, and asks the program for what they use of it."""

    def __init__(self, line: Line, program: int) -> None:
        self.line = line
        self.program = program
        self.lent: list[Callable[..., Any]] = []
        self.errors: dict[str, type[BaseException]] = {}

    def judge(self, source: str, tests: str, question: str) -> str:
        """The proof that all tests pass. Raises Stop with any other verdict."""
        if OUT_OF_REACH.search(tests):
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
        done: list[int] = []
        names["__at__"] = done.append
        try:
            exec(compile(ast.fix_missing_locations(asserts.visit(tree)), "tests", "exec"), names)
            if not done and "check" in names:
                names["check"](names[entry])
            elif not done:
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
            why = f"{type(error).__name__}: {error}"
            if isinstance(error, AssertionError) and done:
                why = f"assert {ast.unparse(asserts.found[done[-1]].test)}"
            raise Stop(False, f"failed test {max(1, len(done))}: {why}") from None
        if not done:
            raise Stop(None, "the tests assert nothing")
        if not names.reached:
            raise Stop(None, "the tests do not use the program")
        return f"passed {len(done)} of {len(done)} tests"

    def entry(self, tests: str, header: list[ast.stmt]) -> str | None:
        """The function that the tests are about, if they or the question name it."""
        defined = [node for node in header if isinstance(node, ast.FunctionDef)]
        asked = [node.name for node in defined if is_stub(node)] or [node.name for node in defined]
        asked += re.findall(r"^[ \t]*check\((\w+)\)", tests, re.MULTILINE)
        return asked[-1] if asked else None

    def ask(self, do: str, *args: Any, **named: Any) -> Any:
        """Let the program's process do it. Raises what it raises there."""
        given = [encode(arg, self.keep) for arg in args]
        more = {name: encode(arg, self.keep) for name, arg in named.items()}
        try:
            self.line.send({"do": do, "args": given, "named": more})
            while "back" in (answer := self.line.receive()):
                self.line.send(self.called_back(self.lent[answer["back"]], answer["args"]))
            sys.stdout.write(answer["printed"])
            if "error" in answer:
                error: type[BaseException] = self.error(answer["error"])
                text = str(answer["text"])
            else:
                for place, after in answer["changed"]:
                    change(args[place], decode(after, self.take))
                return decode(answer["value"], self.take)
        except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            raise self.gone() from None
        try:
            raised = error(text)
        except TypeError:  # it is made of more than a text
            raised = ValueError(text)
        raise raised

    def called_back(self, function: Callable[..., Any], args: list[Any]) -> dict[str, Any]:
        try:
            return {"value": encode(function(*(decode(arg, self.take) for arg in args)), self.keep)}
        except Exception as error:
            return trouble(error)

    def gone(self) -> Stop:
        """The program's process has ended, or speaks nonsense."""
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
            return {"t": "object", "v": value._place}
        if not callable(value):
            raise Stop(None, f"the tests give the program an object of their own ({type(value).__name__})")
        self.lent.append(value)
        return {"t": "call", "v": len(self.lent) - 1}

    def take(self, data: Any) -> Any:
        kind, value = data["t"], data["v"]
        if kind == "object":
            return Object(self.ask, int(value[0]), value[1] is True)
        if kind == "error":
            return self.error(value)
        raise Stop(None, f"the tests use what cannot be told apart from the program ({kind})")

    def error(self, names: list[str]) -> type[BaseException]:
        """The exception of that name, or one that stands for it under the built-in one it comes from."""
        for name in names:
            base = getattr(builtins, name, None)
            if isinstance(base, type) and issubclass(base, BaseException):
                return base if name == names[0] else self.errors.setdefault(names[0], type(names[0], (base,), {}))
        raise ValueError(names)


class Asserts(ast.NodeTransformer):
    """Numbers the assertions: each tells before it is made."""

    def __init__(self) -> None:
        self.found: list[ast.Assert] = []

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        self.found.append(node)
        tell = ast.Call(ast.Name("__at__", ast.Load()), [ast.Constant(len(self.found) - 1)], [])
        return [ast.copy_location(ast.Expr(tell), node), node]


def change(target: Any, new: Any) -> None:
    """What the program did to an argument."""
    if isinstance(target, list | bytearray):
        target[:] = new
    elif isinstance(target, dict | set):
        target.clear()
        target.update(new)
