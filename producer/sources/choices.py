"""Multiple choice: choices become lines of the question, and a gold label, index or text becomes a letter."""

import re
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple

#: "A) 12", "(b) 12", "C. 12": the choice already has its letter.
_LETTERED = re.compile(r"\(?[A-Za-z][).:]\s*\S")
#: "B", "(b)", "B) 12": a gold answer that begins with its letter.
_LETTER = re.compile(r"\(?([A-Za-z])(?:[).:](?:\s|$)|$)")
MAX_CHOICES = len(ascii_uppercase)


class Choices(NamedTuple):
    """The texts of the choices by letter, and the data set's own label of each."""

    texts: Mapping[str, str]
    labels: Sequence[str]

    @property
    def letters(self) -> list[str]:
        return list(self.texts)


def choices(value: object) -> Choices | None:
    """Choices from the usual forms of data sets; None for a number or a text. Raises ValueError for unusable ones.

    Labels that are no letters, such as "1" or a column's name, are replaced by letters.

    >>> choices(["red", "blue"]).texts
    {'A': 'red', 'B': 'blue'}
    >>> choices({"text": ["red", "blue"], "label": ["1", "2"]})
    Choices(texts={'A': 'red', 'B': 'blue'}, labels=['1', '2'])
    >>> choices({"F": "red", "G": "blue"}).texts
    {'F': 'red', 'G': 'blue'}
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
            return None
    labels = [str(label) for label in labels]
    texts = [str(text) if isinstance(text, int | float) and not isinstance(text, bool) else text for text in texts]
    if not (2 <= len(set(labels)) == len(texts) <= MAX_CHOICES and all(isinstance(text, str) for text in texts)):
        raise ValueError(f"must be 2 to {MAX_CHOICES} texts")
    are_letters = all(label in ascii_uppercase and len(label) == 1 for label in labels)
    return Choices(dict(zip(labels if are_letters else ascii_uppercase, texts, strict=False)), labels)


def with_choices(question: str, lettered: Mapping[str, str]) -> str:
    """The question with a line for each choice, unless it holds the lettered choices already.

    >>> print(with_choices("Which colour?", {"A": "red", "B": "B) blue"}))
    Which colour?
    A) red
    B) blue
    """
    if all(re.search(rf"\b{letter}[).:]\s*{re.escape(text)}", question) for letter, text in lettered.items()):
        return question
    lines = (text if _LETTERED.match(text) else f"{label}) {text}" for label, text in lettered.items())
    return "\n".join((question, *lines))


def gold_letter(gold: object, given: Choices, first: int = 0) -> object:
    """The letter of a gold answer that is a label, a letter, a text or an index; any other gold answer unchanged.

    `first` is the index of the first choice. Raises ValueError for an index without a choice; a negative one stands
    for a hidden answer, which is None.

    >>> blue = choices(["red", "blue"])
    >>> gold_letter(1, blue), gold_letter("2", blue, first=1), gold_letter("blue", blue), gold_letter("(b)", blue)
    ('B', 'B', 'B', 'B')
    """
    letters, texts = given.letters, [choice.strip() for choice in given.texts.values()]
    text, index = str(gold).strip(), _index(gold)
    if text in given.labels:
        return letters[given.labels.index(text)]
    if text in texts and isinstance(gold, str):
        return letters[texts.index(text)]
    if (match := _LETTER.match(text)) and match[1].upper() in letters:
        return match[1].upper()
    folded = [choice.casefold() for choice in texts]
    if text.casefold() in folded and isinstance(gold, str):
        return letters[folded.index(text.casefold())]
    if index is None or index < 0:
        return gold if index is None else None
    if 0 <= index - first < len(letters):
        return letters[index - first]
    if text in texts:
        return letters[texts.index(text)]
    raise ValueError(f"is {index}, and there are {len(letters)} choices")


def is_letter(gold: str) -> bool:
    """Whether a gold answer is one letter, or several with commas."""
    return all(re.fullmatch(r"[A-Z]", part.strip()) for part in gold.split(","))


def first_index(golds: Iterable[tuple[object, Choices]]) -> int:
    """1 if the gold answers are indices that count the choices from 1, otherwise 0."""
    indices = [(_index(gold), given) for gold, given in golds]
    indices = [(index, given) for index, given in indices if index is not None and str(index) not in given.labels]
    are_texts = all(str(index) in given.texts.values() for index, given in indices)
    in_range = all(index is not None and 0 < index <= len(given.texts) for index, given in indices)
    return int(in_range and not are_texts and any(index == len(given.texts) for index, given in indices))


def _index(gold: object) -> int | None:
    if isinstance(gold, bool):
        return None
    if isinstance(gold, int):
        return gold
    if isinstance(gold, float) and gold.is_integer():
        return int(gold)
    return int(gold) if isinstance(gold, str) and re.fullmatch(r"\s*-?\d{1,3}\s*", gold) else None
