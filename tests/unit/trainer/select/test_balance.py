"""How the difficulties of a round are balanced, and what counts as nearly the same text."""

import pytest

from trainer.select.choose import balanced
from trainer.select.duplicates import near_duplicates, shingles

COUNTS = {"easy": 900, "medium": 100, "hard": 10}
STORY = "First the baker counts the loaves on the shelf and finds that there are twelve of them in all. "


@pytest.mark.parametrize(
    ("balance", "most"),
    [
        (1.0, {"easy": 900, "medium": 100, "hard": 10}),
        (0.5, {"easy": 300, "medium": 100, "hard": 10}),
        (0.0, {"easy": 100, "medium": 100, "hard": 10}),
    ],
)
def test_what_is_over_the_middle_is_thinned_towards_it(balance: float, most: dict[str, int]) -> None:
    assert balanced(COUNTS, balance) == most


def test_one_difficulty_alone_is_left_as_it_is() -> None:
    assert balanced({"hard": 7}, 0.0) == {"hard": 7}
    assert balanced({}, 0.0) == {}


def test_of_two_difficulties_the_smaller_one_is_the_measure() -> None:
    assert balanced({"easy": 400, "hard": 100}, 0.5) == {"easy": 200, "hard": 100}


def test_the_first_of_texts_that_are_nearly_the_same_stays() -> None:
    texts = [(1, STORY + "So it is 12."), (2, "Something else altogether."), (3, STORY + "Hence it is 12."), (4, "")]
    assert list(near_duplicates(texts, 0.7)) == [3]
    assert list(near_duplicates([*texts, (5, texts[0][1])], 1.0)) == [5]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Add three, to four!", ["add three to", "three to four"]),
        ("So: it is", ["so it is"]),
        ("It is", ["it is"]),
        ("", [""]),
    ],
)
def test_a_shingle_is_three_words_or_a_shorter_text(text: str, expected: list[str]) -> None:
    assert shingles(text) == expected
