"""Proxies of the program's objects and names, in the tests' process."""

import builtins
import operator
from collections.abc import Callable, Generator
from typing import Any


class Stop(BaseException):
    """Ends the trial, even if the tests catch every exception.

    `correct` is the verdict.
    """

    first: "Stop | None" = None

    def __init__(self, correct: bool | None, proof: str) -> None:
        super().__init__(proof)
        self.correct, self.proof = correct, proof
        Stop.first = Stop.first or self


class Object:
    """A proxy of an object of the program.

    A call, an attribute, an item or a conversion of it is a call in the program's process. An operator is not: the
    program's own comparison or difference would decide its verdict. Operators take the plain data of an object, for
    example the number of a subclass of int. An object without such data stops the trial.
    """

    def __init__(
        self, ask: Callable[..., Any], index: int, *, has_default_eq: bool, has_data: bool, is_tested: bool
    ) -> None:
        self.__dict__.update(
            _ask=ask, _index=index, _has_default_eq=has_default_eq, _has_data=has_data, _is_tested=is_tested
        )

    def __getattr__(self, name: str) -> Any:
        return self._ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("setattr", self, name, value)

    def __call__(self, /, *args: Any, **named: Any) -> Any:
        return self._ask("call", self, *args, **named)

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()
        return self._ask("await", self)

    def __hash__(self) -> int:
        return hash(self._ask("data", self)) if self._has_data else int(self._index)

    def __eq__(self, other: object) -> bool:
        # Without its own __eq__ it equals only itself. A false claim of that can only harm the program.
        is_same = isinstance(other, Object) and other._index == self._index
        if other is None or (self._has_default_eq and not is_same):
            return False
        return bool(operator.eq(*as_data(self, other)))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __instancecheck__(self, value: object) -> bool:
        return self._ask("isinstance", value, self) is True


def as_data(*operands: Any) -> list[Any]:
    """The operands as plain data. Stops the trial if one has none."""
    meets_data = not all(isinstance(operand, Object) for operand in operands)
    for operand in operands:
        if isinstance(operand, Object) and not operand._has_data:
            if meets_data and not operand._is_tested:
                raise Stop(False, "the tests need data here, and the program gives an object of a class of its own")
            raise Stop(None, "the tests compare objects of the program's own, which it would judge itself")
    return [operand._ask("data", operand) if isinstance(operand, Object) else operand for operand in operands]


def _forwarded(action: str) -> Callable[..., Any]:
    return lambda self, *args: self._ask(action, self, *args)


def _operator(action: str, *, combines: bool = False) -> Callable[..., Any]:
    """An operator on data. If it `combines`, the program may apply it to objects of the classes under test."""
    function = getattr(operator, action, None) or getattr(builtins, action)

    def apply(*operands: Any) -> Any:
        if combines and all(isinstance(each, Object) and each._is_tested and not each._has_data for each in operands):
            return operands[0]._ask(action, *operands)
        return function(*as_data(*operands))

    return apply


def _reflected(action: str) -> Callable[..., Any]:
    apply = _operator(action)
    return lambda self, other: apply(other, self)


for _action in ("len", "iter", "next", "str", "repr", "bool", "int", "float", "getitem", "setitem", "delitem"):
    setattr(Object, f"__{_action}__", _forwarded(_action))
for _action in ("add", "mul", "matmul", "neg", "abs"):
    setattr(Object, f"__{_action}__", _operator(_action, combines=True))
# A difference, a quotient or a remainder compares two values as much as == does.
for _action in ("lt", "le", "gt", "ge", "contains", "pos", "invert", "round", "index"):
    setattr(Object, f"__{_action}__", _operator(_action))
for _action in ("sub", "truediv", "floordiv", "mod", "divmod", "pow", "and_", "or_", "xor", "lshift", "rshift"):
    setattr(Object, f"__{_action.strip('_')}__", _operator(_action))
for _action in ("add", "mul", "matmul", "sub", "truediv", "floordiv", "mod", "divmod", "pow", "and_", "or_", "xor"):
    setattr(Object, f"__r{_action.strip('_')}__", _reflected(_action))


class Names(dict[str, Any]):
    """The names in the tests.

    They are looked up in this order: the tests' own names, the question's helpers, built-ins, the program's names.
    `entry` is the function under test. It may replace a built-in only if `certain`, that is if the tests or the
    question name it; otherwise a program could replace `abs`. `modules` are names that the tests use as modules.
    """

    def __init__(self, ask: Callable[..., Any], entry: str, certain: bool, modules: set[str]) -> None:
        super().__init__(__name__="__main__")
        self._ask, self._entry, self._certain, self._modules = ask, entry, certain, modules
        self.reached = False  # whether the tests have used the program

    def __missing__(self, name: str) -> Any:
        if name.startswith("__") or (hasattr(builtins, name) and not (self._certain and name == self._entry)):
            raise KeyError(name)
        if name in self._modules:
            return __import__(name)
        self.reached = True
        return self._ask("name", self._entry if name == "candidate" else name)
