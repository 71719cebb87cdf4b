"""The protocol between the two processes: one JSON value a line.

Only exact built-in types are rebuilt from it.
"""

import builtins
import json
import os
from collections.abc import Callable
from typing import Any, BinaryIO

PROGRAM = "program"  # the name of the program's module
DATA = (int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset, dict)
Special = Callable[[Any], Any]


def encode(value: Any, keep: Special) -> Any:
    """Encode `value` as JSON. `keep` encodes values that are no plain data."""
    if isinstance(value, type):
        is_builtin = vars(builtins).get(value.__name__) is value
        return {"t": "type", "v": value.__name__} if is_builtin else keep(value)
    if value is None or isinstance(value, bool):
        return value
    kind = type(value)
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return {"t": "namedtuple", "v": [kind.__name__, list(kind._fields), [encode(item, keep) for item in value]]}
    if kind.__module__ == PROGRAM:  # a list, a number … of a class of the program
        return keep(value)
    if isinstance(value, int):
        return int(value) if -(2**63) < value < 2**63 else {"t": "int", "v": hex(value)}
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list):
        return [encode(item, keep) for item in value]
    if isinstance(value, dict):
        return {"t": "dict", "v": [[encode(key, keep), encode(item, keep)] for key, item in value.items()]}
    for base in (tuple, set, frozenset):
        if isinstance(value, base):
            return {"t": base.__name__, "v": [encode(item, keep) for item in value]}
    if isinstance(value, bytes | bytearray):
        return {"t": "bytes" if isinstance(value, bytes) else "bytearray", "v": value.hex()}
    if isinstance(value, range):
        return {"t": "range", "v": [value.start, value.stop, value.step]}
    if isinstance(value, complex):
        return {"t": "complex", "v": [value.real, value.imag]}
    if (kind.__module__, kind.__name__) == ("collections", "deque"):
        return {"t": "deque", "v": [encode(item, keep) for item in value]}
    if (kind.__module__, kind.__name__) in (("decimal", "Decimal"), ("fractions", "Fraction")):
        return {"t": kind.__name__, "v": str(value)}
    if kind.__module__ == "datetime" and kind.__name__ in ("date", "time", "datetime"):
        return {"t": kind.__name__, "v": value.isoformat()}
    if kind.__module__ == "datetime" and kind.__name__ == "timedelta":
        return {"t": "timedelta", "v": [value.days, value.seconds, value.microseconds]}
    return keep(value)


def plain(value: Any) -> Any:
    """The data of an object whose class is a subclass of one of `DATA`."""
    base: Any = next(base for base in DATA if isinstance(value, base))
    if base in (int, float, complex):
        return base.__pos__(value)
    if base in (str, dict):
        return str.__str__(value) if base is str else dict(dict.items(value))
    return base(base.__iter__(value))


def decode(data: Any, take: Special) -> Any:
    """Decode a value of `encode` into built-in types. `take` decodes other data."""
    if isinstance(data, list):
        return [decode(item, take) for item in data]
    if not isinstance(data, dict):
        return data
    kind, value = data["t"], data["v"]
    if kind == "dict":
        return {decode(key, take): decode(item, take) for key, item in value}
    if kind in ("tuple", "set", "frozenset"):
        return getattr(builtins, kind)(decode(item, take) for item in value)
    if kind == "int":
        return int(value, 16)
    if kind in ("bytes", "bytearray"):
        return getattr(builtins, kind).fromhex(value)
    if kind in ("complex", "range"):
        return getattr(builtins, kind)(*value)
    if kind == "type" and isinstance(getattr(builtins, value), type):
        return getattr(builtins, value)
    if kind == "namedtuple":
        from collections import namedtuple

        name, fields, items = value
        return namedtuple(str(name), [str(field) for field in fields])(*(decode(item, take) for item in items))
    if kind == "deque":
        from collections import deque

        return deque(decode(item, take) for item in value)
    if kind == "Decimal":
        from decimal import Decimal

        return Decimal(value)
    if kind == "Fraction":
        from fractions import Fraction

        return Fraction(value)
    if kind in ("date", "time", "datetime", "timedelta"):
        import datetime

        make = getattr(datetime, kind)
        return make(*value) if kind == "timedelta" else make.fromisoformat(value)
    return take(data)


class Connection:
    """One end of the pipes between the two processes."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reader: BinaryIO = os.fdopen(reading, "rb")
        self._writer: BinaryIO = os.fdopen(writing, "wb")

    def send(self, message: Any) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")
        self._writer.flush()

    def receive(self) -> Any:
        """Return the next message. Raises EOFError if the other end is closed."""
        line = self._reader.readline()
        if not line:
            raise EOFError
        return json.loads(line)


def error_message(error: BaseException) -> dict[str, Any]:
    """Return the message that reports an exception."""
    return {"error": [base.__name__ for base in type(error).__mro__], "text": str(error)[:500]}
