"""Proxies of the program's objects and names, in the tests' process."""

import builtins
from collections.abc import Callable
from typing import Any, NoReturn


class Stop(BaseException):
    """Ends the trial, even if the tests catch every exception.

    `correct` is the verdict.
    """

    first: "Stop | None" = None

    def __init__(self, correct: bool | None, proof: str) -> None:
        super().__init__(proof)
        self.correct, self.proof = correct, proof
        Stop.first = Stop.first or self


def stop_comparison() -> NoReturn:
    """Stop the trial, because the program's `__eq__` would decide its own verdict."""
    raise Stop(None, "the tests compare objects of the program's own, which it would judge itself")


class Object:
    """A proxy of an object of the program.

    Its use is a call in the program's process. Its comparison stops the trial.
    """

    def __init__(self, ask: Callable[..., Any], index: int, plain: bool) -> None:
        self.__dict__.update(_ask=ask, _index=index, _plain=plain)

    def __getattr__(self, name: str) -> Any:
        return self._ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("setattr", self, name, value)

    def __call__(self, /, *args: Any, **named: Any) -> Any:
        return self._ask("call", self, *args, **named)

    def __hash__(self) -> int:
        return int(self._index)

    def __eq__(self, other: object) -> bool:
        # Without its own __eq__ it equals only itself. A false claim of that can only harm the program.
        if self._plain and not (isinstance(other, Object) and other._index == self._index):
            return False
        stop_comparison()

    def _compare(self, other: object) -> bool:
        stop_comparison()

    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _compare

    def __instancecheck__(self, value: object) -> bool:
        return self._ask("isinstance", value, self) is True


def _forwarded(action: str) -> Callable[..., Any]:
    return lambda self, *args: self._ask(action, self, *args)


def _reflected(action: str) -> Callable[..., Any]:
    return lambda self, other: self._ask(action, other, self)


for _action in ("len", "iter", "next", "str", "repr", "bool", "int", "float", "getitem", "setitem", "delitem"):
    setattr(Object, f"__{_action}__", _forwarded(_action))
for _action in ("neg", "abs", "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(Object, f"__{_action}__", _forwarded(_action))
    setattr(Object, f"__r{_action}__", _reflected(_action))


class Names(dict[str, Any]):
    """The names in the tests.

    They are looked up in this order: the tests' own names, the question's helpers, built-ins, the program's names.
    `entry` is the function under test. It may replace a built-in only if `certain`, that is if the tests or the
    question name it; otherwise a program could replace `abs`. `modules` are names that the tests use as modules.
    """

    def __init__(self, ask: Callable[..., Any], entry: str, certain: bool, modules: set[str]) -> None:
        super().__init__(__name__="tests")
        self._ask, self._entry, self._certain, self._modules = ask, entry, certain, modules
        self.reached = False  # whether the tests have used the program

    def __missing__(self, name: str) -> Any:
        if name.startswith("__") or (hasattr(builtins, name) and not (self._certain and name == self._entry)):
            raise KeyError(name)
        if name in self._modules:
            return __import__(name)
        self.reached = True
        return self._ask("name", self._entry if name == "candidate" else name)
