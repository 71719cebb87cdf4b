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
from typing import Any

from tracemill.verification.code.trial.frameworks import Failed, from_doctest, install, run_cases
from tracemill.verification.code.trial.objects import Names, Object, Stop
from tracemill.verification.code.trial.question import headers, imports, is_stub
from tracemill.verification.code.trial.wire import Connection, decode, encode, error_message

UNSUPPORTED = re.compile(r"\b(?:mock|patch|monkeypatch|capsys)\b|\bsys\.stdin\b|\bbuiltins\.\w+ *=")

#: Modules from which tests import the program under test.
_OWN_MODULE = re.compile(r"(?:solutions?|program|submission|candidate|answer|main|__main__|(?:your|my)_\w+)\Z")


class Tests:
    """Runs the tests, and calls the program for them."""

    def __init__(self, line: Connection, program: int) -> None:
        self.line = line
        self.program = program
        self.callables: list[Callable[..., Any]] = []
        self.errors: dict[str, type[BaseException]] = {}
        self.words: set[str] = set()

    def judge(self, source: str, tests: str, question: str, entry: str) -> str:
        """Return the proof that all tests pass. Raises Stop for any other verdict."""
        if UNSUPPORTED.search(tests):
            raise Stop(None, "the tests replace what surrounds the program: out of their reach here")
        try:
            tree = ast.parse(from_doctest(tests) if tests.lstrip().startswith(">>>") else tests)
        except SyntaxError as error:
            raise Stop(None, f"the tests are not Python: {error}") from None
        self.words = set(re.findall(r"\w+", f"{tests} {question}"))
        try:
            self.ask("load", source, question)
        except BaseException as error:
            raise self.verdict(error, source, "crashed") from None
        header = ast.parse(headers(question)[1]).body
        named = entry or self.entry(tests, header)
        entry = named or str(self.ask("entry"))
        nodes = list(ast.walk(tree))
        modules = {
            node.value.id for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        names = Names(self.ask, entry, named is not None, modules & sys.stdlib_module_names)
        for helper in header:
            if not is_stub(helper) and getattr(helper, "name", None) != entry:
                with contextlib.suppress(Exception):
                    exec(compile(ast.Module([helper], []), "question", "exec"), names)
        numbered = Numbered()
        started: list[int] = []
        passed: list[int] = []
        names["__at__"] = started.append
        names["__passed__"] = passed.append
        names["__failed__"] = Failed
        names["__program__"] = ProgramModule(names)
        install()
        try:
            exec(compile(ast.fix_missing_locations(numbered.visit(tree)), "tests", "exec"), names)
            if "check" in names and "check" not in called:
                names["check"](names["candidate"])
            run_cases(names, called)
            if Failed.first:
                raise Failed.first
        except Stop:
            raise
        except BaseException as error:
            if isinstance(error, AssertionError) and started:
                raise Stop(False, f"failed test {len(started)}: {numbered.title(started[-1])}") from None
            raise self.verdict(error, source, f"failed test {max(1, len(started))}") from None
        if not started:
            raise Stop(None, "the tests assert nothing")
        if len(passed) != sum(isinstance(numbered.nodes[number], ast.Assert) for number in started):
            raise Stop(None, "the tests catch an exception of an assertion")
        if not names.reached:
            raise Stop(None, "the tests do not use the program")
        return f"passed {len(started)} of {len(started)} tests"

    def verdict(self, error: BaseException, source: str, event: str) -> Stop:
        """Return the verdict on an exception of the program."""
        if isinstance(error, Stop):
            return error
        if isinstance(error, MemoryError):
            return Stop(False, f"{event}: out of memory")
        if isinstance(error, ModuleNotFoundError):
            missing = re.match(r"No module named '(\w+)", str(error))
            if missing and imports(source, missing[1]):
                return Stop(None, f"needs a module that the sandbox does not have: {error}")
        return Stop(False, f"{event}: {type(error).__name__}: {error}")

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
        except Exception:  # the program can send anything
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
            name = str(value[3])
            is_tested = not name or (name[:1].isupper() and name in self.words)
            has_default_eq, has_data = value[1] is True, value[2] is True
            return Object(
                self.ask, int(value[0]), has_default_eq=has_default_eq, has_data=has_data, is_tested=is_tested
            )
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


class ProgramModule:
    """The program as a module that the tests import."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def __getattr__(self, name: str) -> Any:
        self._names.reached = True
        return self._names._ask("name", name)


class Numbered(ast.NodeTransformer):
    """Numbers the tests: each records its number before it runs, and a failed assertion is remembered.

    Imports of the program become names of it.
    """

    def __init__(self) -> None:
        self.nodes: list[ast.stmt] = []

    def title(self, number: int) -> str:
        """What a person reads of a test: its first line."""
        return ast.unparse(self.nodes[number]).partition("\n")[0]

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        failed = ast.Raise(ast.Call(ast.Name("__failed__", ast.Load()), [], []))
        check = ast.If(ast.UnaryOp(ast.Not(), node.test), [failed], [])
        return [self._record(node), ast.copy_location(check, node), self._call("__passed__", node)]

    def visit_Expr(self, node: ast.Expr) -> list[ast.stmt]:
        call = node.value
        is_test = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        return [self._record(node), node] if is_test and call.func.attr.startswith("assert") else [node]  # type: ignore[attr-defined]

    def visit_With(self, node: ast.With) -> list[ast.stmt]:
        contexts = [item.context_expr for item in node.items]
        self.generic_visit(node)
        is_test = any(
            isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and "raises" in call.func.attr.lower()
            for call in contexts
        )
        return [self._record(node), node] if is_test else [node]

    def visit_If(self, node: ast.If) -> list[ast.stmt]:
        is_test = isinstance(node.body[0], ast.Raise)
        if is_test:
            return [self._record(node), node]
        self.generic_visit(node)
        return [node]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        if not _OWN_MODULE.match(node.module or ""):
            return [node]
        return [
            ast.copy_location(ast.parse(f"{alias.asname or alias.name} = __program__.{alias.name}").body[0], node)
            for alias in node.names
            if alias.name != "*"
        ] or [ast.copy_location(ast.Pass(), node)]

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        parts: list[ast.stmt] = []
        for alias in node.names:
            if _OWN_MODULE.match(alias.name):
                parts += ast.parse(f"{alias.asname or alias.name} = __program__").body
            else:
                parts.append(ast.Import([alias]))
        return [ast.copy_location(part, node) for part in parts]

    def _record(self, node: ast.stmt) -> ast.stmt:
        self.nodes.append(node)
        return self._call("__at__", node)

    def _call(self, function: str, node: ast.stmt) -> ast.stmt:
        call = ast.Call(ast.Name(function, ast.Load()), [ast.Constant(len(self.nodes) - 1)], [])
        return ast.copy_location(ast.Expr(call), node)


def change(target: Any, new: Any) -> None:
    """Repeat a change that the program made to an argument."""
    if isinstance(target, list | bytearray):
        target[:] = new
    elif isinstance(target, dict | set):
        target.clear()
        target.update(new)
