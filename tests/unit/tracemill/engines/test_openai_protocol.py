"""Reading a server's answer: tokens divided among samples, and the score of a text."""

from typing import Any

import pytest

from tracemill.engines import Score
from tracemill.engines.openai_protocol import PromptToken, score_at_end, token_shares


@pytest.mark.parametrize(
    ("total", "texts", "shares"),
    [
        (10, ["aaaa", "aaaa"], [5, 5]),
        (10, ["aaaaaaa", "a"], [8, 2]),
        (4, ["a" * 1000, "", "", "b"], [1, 1, 1, 1]),
        (3, ["", "", "", "aaaa"], [0, 0, 0, 3]),
        (7, ["", ""], [1, 6]),
        (0, ["a", "b"], [0, 0]),
    ],
)
def test_tokens_are_divided_by_length_and_none_is_lost(total: int, texts: list[str], shares: list[int]) -> None:
    assert token_shares(total, texts) == shares
    assert sum(shares) == total


def entries(*tokens: str | None) -> list[dict[str, PromptToken] | None]:
    return [None if text is None else {"7": PromptToken(logprob=-1, decoded_token=text)} for text in tokens]


@pytest.mark.parametrize(
    ("tokens", "text", "count"),
    [
        ((None, "user", "\n", "4", "2"), "42", 2),
        ((None, "user", "\n", " 4", "2"), "42", 2),
        ((None, "user", "\n", "½", "", "."), "½.", 3),
        ((None, "user", "\n", "4", "2", "<end>"), "42", None),
        ((None, "user", "\n", "242"), "42", None),
        ((None, "42"), "1 + 42", None),
        ((), "42", None),
    ],
)
def test_only_tokens_that_spell_the_text_are_its_score(tokens: tuple[str | None, ...], text: str, count: Any) -> None:
    assert score_at_end(entries(*tokens), text) == (count and Score(-float(count), count))
