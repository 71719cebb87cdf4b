"""In the program's process: hold it, and do what the tests ask of it. Nothing here can be relied upon."""

import ast
import builtins
import contextlib
import io
import operator
import sys
from collections.abc import Callable
from typing import Any

from tracemill.verification.code.trial.question import completed, headers
from tracemill.verification.code.trial.wire import PROGRAM, Line, decode, encode, trouble


class Program:
    """In the program's process: holds it, and does what the tests ask."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.module = type(sys)(PROGRAM)
        sys.modules[PROGRAM] = self.module
        self.defined: list[str] = []
        self.kept: list[Any] = []
        self.places: dict[int, int] = {}
        self.actions: dict[str, Callable[..., Any]] = {
            "load": self.load,
            "name": self.name,
            "entry": lambda: self.defined[-1] if self.defined else "",
            "call": lambda function, *args, **named: function(*args, **named),
            "bool": lambda value: bool(value),
        }

    def serve(self) -> None:
        while True:
            question = self.line.receive()
            printed = io.StringIO()
            try:
                with contextlib.redirect_stdout(printed):
                    answer = self.answer(question)
            except BaseException as error:
                answer = trouble(error)
            self.line.send({**answer, "printed": printed.getvalue()})

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        do = question["do"]
        action = self.actions.get(do) or getattr(operator, do, None) or getattr(builtins, do)
        args = [decode(arg, self.take) for arg in question["args"]]
        value = action(*args, **{name: decode(arg, self.take) for name, arg in question["named"].items()})
        changed = [
            [place, after]
            for place, (arg, before) in enumerate(zip(args, question["args"], strict=True))
            if isinstance(arg, list | dict | set | bytearray) and (after := encode(arg, self.keep)) != before
        ]
        return {"value": encode(value, self.keep), "changed": changed}

    def keep(self, value: Any) -> Any:
        if isinstance(value, type(sys)):
            return {"t": "module", "v": value.__name__}
        if isinstance(value, type) and issubclass(value, BaseException):
            return {"t": "error", "v": [base.__name__ for base in value.__mro__]}
        place = self.places.setdefault(id(value), len(self.kept))
        if place == len(self.kept):
            self.kept.append(value)
        plain = vars(object)["__eq__"] is operator.attrgetter("__eq__")(type(value))
        return {"t": "object", "v": [place, plain]}

    def take(self, data: Any) -> Any:
        if data["t"] == "object":
            return self.kept[data["v"]]

        def call_back(*args: Any) -> Any:
            self.line.send({"back": data["v"], "args": [encode(arg, self.keep) for arg in args]})
            answer = self.line.receive()
            if "error" in answer:
                raise getattr(builtins, answer["error"][0], RuntimeError)(answer["text"])
            return decode(answer["value"], self.take)

        return call_back

    def load(self, source: str, question: str) -> None:
        beginnings, header = headers(question)
        with contextlib.suppress(Exception):
            exec(compile(header, "question", "exec"), self.module.__dict__)
        tree = completed(source, beginnings)
        self.defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        exec(compile(tree, "program", "exec"), self.module.__dict__)

    def name(self, wanted: str) -> Any:
        if wanted not in self.module.__dict__:
            raise NameError(f"the program does not define {wanted}")
        return self.module.__dict__[wanted]
