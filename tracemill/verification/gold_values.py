"""Gold answers in the forms of public data sets, as one text that the checks compare."""

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tracemill.text import final_gold
from tracemill.verification.code.gold_tests import program_tests, python_literal

#: The longest text that is read as a list or an object.
MAX_STRUCTURE = 10_000_000
#: Words that data sets write instead of a gold answer (NuminaMath).
WITHOUT_ANSWER = frozenset(("proof", "notfound"))
#: Beginnings of a text that may hold a list of answers, or tests.
_STRUCTURES = frozenset(("['", '["', "[{", '{"'))
#: Texts side by side without a comma, as NumPy writes an array. Python would join them.
_SIDE_BY_SIDE = re.compile(r"""['"]\s+['"]""")


def gold_text(value: object, starter: str = "") -> str | None:
    """The gold answer as text; None if there is none, or if several different answers are right.

    A list of one answer is that answer, and a list of several texts is all of them. Tests of a program become the text
    that `tracemill.verification.code` reads; `starter` is the code that the program completes. Raises ValueError.
    """
    parsed = value
    if isinstance(value, str):
        if value.lstrip()[:2] not in _STRUCTURES:
            return _answer(value)
        parsed = structure(value)
    if (tests := program_tests(parsed, starter)) is not None:
        return tests
    match parsed:
        case None:
            return None
        case {"text": list() as answers} | {"aliases": list() as answers}:
            return only_text(answers)
        case [answer]:
            return gold_text(answer)
        case []:
            return None
        case [*texts] if all(isinstance(text, str) for text in texts):
            return ", ".join(str(text).strip() for text in texts)
        case list() if all(isinstance(part, int | float | Decimal | list) for part in parsed):
            return json.dumps(parsed, default=str)
        case Mapping() | list():
            raise ValueError(f"is {kind_of(value)}, not text or a number")
    return _answer(parsed)


def only_text(answers: list[Any]) -> str | None:
    """The gold answer if a list of alternatives holds only one, apart from case and spaces; otherwise None."""
    golds = {gold.casefold(): gold for answer in reversed(answers) if (gold := gold_text(answer))}
    return next(iter(golds.values())) if len(golds) == 1 else None


def _answer(value: object) -> str | None:
    if isinstance(value, str):
        gold = final_gold(value)
        if len(gold) > 5:  # a shorter one is no solution
            from tracemill.verification.answers.gold import final_answer  # it takes a tenth of a second

            gold = final_answer(gold)
        return None if not gold or gold in WITHOUT_ANSWER else gold
    if isinstance(value, bool | int | float | Decimal):
        if not isinstance(value, int) and not math.isfinite(value):
            raise ValueError(f"is {value}, which is not an answer")
        return plain_text(value)
    raise ValueError(f"is {kind_of(value)}, not text or a number")


def plain_text(value: object) -> str:
    """A value as people write it: 51.0 is "51", a list has a line for each part, and null is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal):
        is_whole = math.isfinite(value) and value == int(value) and -1e15 < value < 1e15
        return str(int(value)) if is_whole else f"{value:f}" if isinstance(value, Decimal) else str(value)
    if isinstance(value, list):
        return "\n".join(map(plain_text, value))
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, Mapping) else str(value)


def structure(value: object) -> object:
    """The list or object that a text holds, as JSON or as Python writes it; any other value unchanged."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{") or len(value) > MAX_STRUCTURE:
        return value
    try:
        return json.loads(value)
    except RecursionError:
        return value
    except ValueError:
        pass
    return value if _SIDE_BY_SIDE.search(value) else python_literal(value)


def kind_of(value: object) -> str:
    """What a value is, for a message."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bytes):
        return "binary data"
    return "a boolean" if isinstance(value, bool) else "a number"
