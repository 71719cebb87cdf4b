"""Multiple choice: choices become lines of the question, and a gold index becomes a letter."""

import re
from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any

#: "A) 12", "(b) 12", "C. 12": the choice already has its letter.
_LETTERED = re.compile(r"\(?[A-Za-z][).:]\s*\S")


def choices(value: object) -> dict[str, str]:
    """Choices by letter, in order, from the usual forms of data sets; empty for a number or a text.

    Raises ValueError for unusable choices.

    >>> choices(["red", "blue"])
    {'A': 'red', 'B': 'blue'}
    >>> choices({"text": ["red", "blue"], "label": ["1", "2"]})
    {'1': 'red', '2': 'blue'}
    >>> choices({"A": "red", "B": "blue"})
    {'A': 'red', 'B': 'blue'}
    """
    labels: list[Any]
    texts: list[Any]
    match value:
        case {"text": list() as texts, "label": list() as labels}:
            pass
        case Mapping():
            labels, texts = list(value), list(value.values())
        case list():
            labels, texts = list(ascii_uppercase[: len(value)]), value
        case _:
            return {}
    lettered = {str(label): text for label, text in zip(labels, texts, strict=False) if isinstance(text, str)}
    if not 2 <= len(lettered) == len(texts) <= len(ascii_uppercase):
        raise ValueError(f"must be 2 to {len(ascii_uppercase)} texts")
    return lettered


def with_choices(question: str, lettered: Mapping[str, str]) -> str:
    """The question with a line for each choice.

    >>> print(with_choices("Which colour?", {"A": "red", "B": "B) blue"}))
    Which colour?
    A) red
    B) blue
    """
    lines = (text if _LETTERED.match(text) else f"{label}) {text}" for label, text in lettered.items())
    return "\n".join((question, *lines))


def gold_letter(gold: object, lettered: Mapping[str, str]) -> object:
    """The letter of a gold answer that is an index from 0 or the text of a choice; any other gold unchanged.

    >>> gold_letter(1, {"A": "red", "B": "blue"}), gold_letter("red", {"A": "red", "B": "blue"}), gold_letter("B", {})
    ('B', 'A', 'B')
    """
    labels = list(lettered)
    if isinstance(gold, int) and not isinstance(gold, bool) and 0 <= gold < len(labels):
        return labels[gold]
    return next((label for label, text in lettered.items() if text == gold), gold)
