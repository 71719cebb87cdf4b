"""Run the program for the tests, in its own process.

The program can change this process, so nothing here can be trusted.
"""

import ast
import builtins
import contextlib
import io
import operator
import sys
from collections.abc import Callable
from typing import Any

from tracemill.verification.code.trial.question import completed, headers
from tracemill.verification.code.trial.wire import DATA, PROGRAM, Connection, decode, encode, error_message, plain


class Program:
    """Holds the program, and answers the requests of the tests."""

    def __init__(self, line: Connection) -> None:
        self.line = line
        self.module = type(sys)(PROGRAM)
        sys.modules[PROGRAM] = self.module
        self.defined: list[str] = []
        self.objects: list[Any] = []
        self.indexes: dict[int, int] = {}
        self.actions: dict[str, Callable[..., Any]] = {
            "load": self.load,
            "name": self.name,
            "entry": self.entry,
            "call": lambda function, /, *args, **named: function(*args, **named),
            "bool": lambda value: bool(value),
            "await": await_,
            "data": plain,
        }

    def serve(self) -> None:
        while True:
            request = self.line.receive()
            printed = io.StringIO()
            try:
                with contextlib.redirect_stdout(printed):
                    answer = self.answer(request)
            except BaseException as error:
                answer = error_message(error)
            self.line.send({**answer, "printed": printed.getvalue()})

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        action_name = request["do"]
        action = self.actions.get(action_name) or getattr(operator, action_name, None) or getattr(builtins, action_name)
        args = [decode(arg, self.take) for arg in request["args"]]
        value = action(*args, **{name: decode(arg, self.take) for name, arg in request["named"].items()})
        changed = [
            [index, new]
            for index, (arg, old) in enumerate(zip(args, request["args"], strict=True))
            if type(arg) in (list, dict, set, bytearray) and (new := encode(arg, self.keep)) != old
        ]
        return {"value": encode(value, self.keep), "changed": changed}

    def keep(self, value: Any) -> Any:
        if isinstance(value, type(sys)):
            return {"t": "module", "v": value.__name__}
        if isinstance(value, type) and issubclass(value, BaseException):
            return {"t": "error", "v": [base.__name__ for base in value.__mro__]}
        index = self.indexes.setdefault(id(value), len(self.objects))
        if index == len(self.objects):
            self.objects.append(value)
        kind = type(value)
        has_default_eq = vars(object)["__eq__"] is operator.attrgetter("__eq__")(kind)
        class_name = kind.__name__ if kind.__module__ == PROGRAM else ""
        return {"t": "object", "v": [index, has_default_eq, isinstance(value, DATA), class_name]}

    def take(self, data: Any) -> Any:
        if data["t"] == "object":
            return self.objects[data["v"]]

        def call_back(*args: Any) -> Any:
            self.line.send({"back": data["v"], "args": [encode(arg, self.keep) for arg in args]})
            answer = self.line.receive()
            if "error" in answer:
                raise getattr(builtins, answer["error"][0], RuntimeError)(answer["text"])
            return decode(answer["value"], self.take)

        return call_back

    def load(self, source: str, question: str) -> None:
        headers_to_end, header = headers(question)
        with contextlib.suppress(Exception):
            exec(compile(header, "question", "exec"), self.module.__dict__)
        tree = completed(source, headers_to_end)
        self.defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        exec(compile(tree, "program", "exec"), self.module.__dict__)

    def entry(self) -> str:
        """The last function that the program defines, or the last public method of its class `Solution`."""
        methods = [name for name in vars(self.module.__dict__.get("Solution", object)) if not name.startswith("_")]
        last = self.defined[-1] if self.defined else ""
        return methods[-1] if last == "Solution" and methods else last

    def name(self, name: str) -> Any:
        """The value of a name of the program: of its module, or of its class `Solution`."""
        if name in self.module.__dict__:
            return self.module.__dict__[name]
        solution = self.module.__dict__.get("Solution")
        if isinstance(solution, type) and not name.startswith("_") and hasattr(solution, name):
            return getattr(solution(), name)
        raise NameError(f"the program does not define {name}")


def await_(value: Any) -> Any:
    """Run a coroutine to its end."""
    import asyncio

    async def result() -> Any:
        return await value

    return asyncio.run(result())
