"""Thoughts: where they are in an answer, and how many of its tokens they are."""

from collections.abc import Sequence

import pytest

from tracemill.engines.thoughts import count, span

ANSWERS: dict[str, tuple[list[str], bool, int, str]] = {
    "none": (["It", " is", " 4"], False, 0, ""),
    "thought, then said": (["<think>", "2", " +", " 2", "</think>", "4"], False, 3, "2 + 2"),
    "opened in the prompt": (["2", " +", "</think>", "4"], True, 2, "2 +"),
    "opened in the prompt, and told by its end alone": (["2", " +", "</think>", "4"], False, 2, "2 +"),
    "cut short": (["<think>", "2", " +"], False, 2, "2 +"),
    "opened in the prompt and cut short": (["2", " +"], True, 2, "2 +"),
    "nothing thought": (["<think>", "</think>", "4"], False, 0, ""),
    "opened twice": (["<think>", "a", "<think>", "b", "</think>", "4"], False, 1, "b"),
    "closed twice": (["<think>", "a", "</think>", "b", "</think>", "4"], False, 3, "a</think>b"),
    "opened again in the answer": (["a", "</think>", "b", "<think>", "c"], False, 1, "a"),
    "empty": ([], False, 0, ""),
}


@pytest.mark.parametrize(("words", "opened", "tokens", "thoughts"), ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("spelt", [False, True], ids=["marks are tokens", "marks are spelt"])
def test_thoughts_are_counted_in_tokens(
    words: list[str], opened: bool, tokens: int, thoughts: str, spelt: bool
) -> None:
    pieces = [piece for word in words for piece in (_spelt(word) if spelt else [word])]
    vocabulary = list(dict.fromkeys(pieces))
    ids = [vocabulary.index(piece) for piece in pieces]

    def decode(ids: Sequence[int]) -> str:
        return "".join(vocabulary[token] for token in ids)

    marks = {} if spelt else {"<think>": _id(vocabulary, "<think>"), "</think>": _id(vocabulary, "</think>")}
    more = 3 * thoughts.count("</think>") if spelt else 0  # a mark among the thoughts is four tokens then
    assert count(ids, marks, decode, opened) == tokens + more


@pytest.mark.parametrize(("words", "opened", "tokens", "thoughts"), ANSWERS.values(), ids=ANSWERS)
def test_thoughts_are_found_in_the_text(words: list[str], opened: bool, tokens: int, thoughts: str) -> None:
    text = ("<think>" if opened else "") + "".join(words)
    start, end = span(text)
    assert text[start:end] == thoughts


def _spelt(word: str) -> list[str]:
    return ["</" if "/" in word else "<", "th", "ink", ">"] if "think" in word else [word]


def _id(vocabulary: list[str], mark: str) -> int:
    return vocabulary.index(mark) if mark in vocabulary else -1
