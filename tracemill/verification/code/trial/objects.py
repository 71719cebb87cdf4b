"""In the tests' process: what stands for the program's objects and names."""

import builtins
from collections.abc import Callable
from typing import Any, NoReturn


class Stop(BaseException):
    """The trial ends here, even if the tests catch everything. `correct`: the verdict."""

    first: "Stop | None" = None

    def __init__(self, correct: bool | None, proof: str) -> None:
        super().__init__(proof)
        self.correct, self.proof = correct, proof
        Stop.first = Stop.first or self


def own_judge() -> NoReturn:
    raise Stop(None, "the tests compare objects of the program's own, which it would judge itself")


class Object:
    """In the tests' process: an object of the program's own. To use it is a call; to compare it decides nothing."""

    def __init__(self, ask: Callable[..., Any], place: int, plain: bool) -> None:
        self.__dict__.update(_ask=ask, _place=place, _plain=plain)

    def __getattr__(self, name: str) -> Any:
        return self._ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("setattr", self, name, value)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._ask("call", self, *args, **named)

    def __hash__(self) -> int:
        return int(self._place)

    def __eq__(self, other: object) -> bool:
        # Without an __eq__ of its own it equals itself alone. The program may claim that: it can only lose by it.
        if self._plain and not (isinstance(other, Object) and other._place == self._place):
            return False
        own_judge()

    def _compare(self, other: object) -> bool:
        own_judge()

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
    """The tests' names: their own, the question's helpers, the built-ins; the program's where none of these has it.

    `entry` is what the tests are about. Only if `certain`, because tests or question say so, may it be called like a
    built-in: else a program could bring an `abs` of its own. `modules`: names that the tests use as modules.
    """

    def __init__(self, ask: Callable[..., Any], entry: str, certain: bool, modules: set[str]) -> None:
        super().__init__(__name__="tests")
        self._ask, self._entry, self._certain, self._modules = ask, entry, certain, modules
        self.reached = False  # has the program been asked for anything

    def __missing__(self, name: str) -> Any:
        if name.startswith("__") or (hasattr(builtins, name) and not (self._certain and name == self._entry)):
            raise KeyError(name)
        if name in self._modules:
            return __import__(name)
        self.reached = True
        return self._ask("name", self._entry if name == "candidate" else name)
