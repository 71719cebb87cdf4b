"""Procedural problems from reasoning-gym (Stojanovski 2025, arXiv:2505.24760): `gym:dataset?parameter=value&…`.

The parameters are those of the data set's configuration. They are checked against its types before the first question.
Only seeds are changed: the library makes question i of seed s from s + i. So neighbouring seeds would share all but one
of their questions, and a held-out set would overlap the training set. Here each seed becomes a random number.
"""

import dataclasses
import types
import warnings
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from producer.sources.rows import Broken, Row, Table, family, nearest
from producer.sources.spec import parse_spec
from tracemill.errors import UsageError

#: Largest number of questions. The library makes question i from seed s + i, which has 31 bits.
MAX_SIZE = 2**31
_SIMPLE = (int, float, bool, str)


@family("gym", examples=("gym:chain_sum?min_terms=2&max_terms=3&size=300&seed=1",))
def open_gym(spec: str) -> list[Table]:
    """One table with the columns `question`, `answer` and the problem's scalar metadata."""
    name, texts = parse_spec("gym", spec)
    try:
        with warnings.catch_warnings():  # compiling one of its libraries gives warnings
            warnings.simplefilter("ignore", SyntaxWarning)
            from reasoning_gym.factory import DATASETS, create_dataset
    except ImportError:
        raise UsageError("gym: sources need the `reasoning-gym` library: pip install 'tracemill[sources]'") from None
    if name not in DATASETS:
        close = nearest(name, DATASETS)
        hint = f"Did you mean gym:{close}? " if close else ""
        raise UsageError(
            f"gym:{name}: reasoning-gym has no such data set. {hint}There is {', '.join(sorted(DATASETS))}"
        )
    values = _typed(name, texts, _settable(DATASETS[name][1]))
    if int(str(values.get("size", 0))) > MAX_SIZE:
        raise UsageError(f"gym:{spec}: size is more than {MAX_SIZE:,}, and the library has no more questions of a seed")
    # Without a seed the library would choose one, but a repeated enqueue must give the same questions. numpy's
    # generators take at most 32 bits. With 31 bits, two seeds with 10 million questions each overlap once in a hundred.
    values["seed"] = Random(str(values.get("seed", 0))).getrandbits(31)
    try:
        dataset = create_dataset(name, **values)
    except (AssertionError, ValueError, TypeError) as error:  # its configurations use assert for their checks
        raise UsageError(f"gym:{spec}: reasoning-gym refuses these parameters: {error}") from None

    def rows() -> Iterator[Row]:
        for index in range(dataset.size):
            try:
                yield index + 1, _row(dataset[index])
            except Exception as error:  # a generator of the library may raise any exception
                yield index + 1, Broken(f"reasoning-gym failed on this one: {error!r}")

    return [Table(f"gym:{name}", ("question", "answer", "source_dataset"), rows)]


def _row(entry: Mapping[str, Any]) -> dict[str, object]:
    scorer = {"name": "reasoning_gym", "entry": entry}
    return {**entry["metadata"], "question": entry["question"], "answer": entry["answer"], "scorer": scorer}


def _settable(config: type) -> dict[str, tuple[type, ...]]:
    """Parameters that a text can set, with their possible types."""
    hints = get_type_hints(config)
    types_of = {field.name: _simple_types(hints[field.name]) for field in dataclasses.fields(config)}
    return {name: kinds for name, kinds in types_of.items() if kinds}


def _simple_types(hint: Any) -> tuple[type, ...]:
    if get_origin(hint) is Literal:
        return (str,)
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(kind for kind in get_args(hint) if kind in _SIMPLE)
    return (hint,) if hint in _SIMPLE else ()


def _typed(name: str, texts: Mapping[str, str], settable: Mapping[str, tuple[type, ...]]) -> dict[str, object]:
    there = ", ".join(f"{key} ({'|'.join(kind.__name__ for kind in kinds)})" for key, kinds in settable.items())
    values = {}
    for key, text in texts.items():
        if key not in settable:
            close = nearest(key, settable)
            hint = f"Did you mean {close}? " if close else ""
            raise UsageError(f"gym:{name} has no parameter {key!r}. {hint}There is {there}")
        value = _value(text, settable[key])
        if value is None:
            expected = " or ".join(kind.__name__ for kind in settable[key])
            raise UsageError(f"gym:{name}: {key}={text} is not {expected}. There is {there}")
        values[key] = value
    return values


def _value(text: str, kinds: tuple[type, ...]) -> object:
    """The text as the first of `kinds` that it can be, or None."""
    for kind in kinds:
        if kind is bool:
            if text.lower() in ("true", "false"):
                return text.lower() == "true"
            continue
        try:
            return kind(text)
        except ValueError:
            continue
    return None
