"""A control token that data merely spell is text for the model, in prompts, examples and training rows."""

from typing import Any

import pytest

from tests.chat_templates import FAMILIES, tokenizer
from tracemill.engines.vllm import continuation_ids
from tracemill.prompts import Message, Prompt, render, token_ids
from trainer.rows import Reader, Trace

ASK = Prompt(
    (
        {"role": "user", "content": "Example: {question}"},
        {"role": "assistant", "content": "Answer: {question}"},
        {"role": "user", "content": "{question}"},
    )
)


def special(tokenizer: Any) -> dict[str, int]:
    """The control tokens of a tokenizer."""
    return {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}


def spelling(tokenizer: Any) -> str:
    """A text that spells each control token, and a whole turn, and holds a stand-in of its own."""
    return f"3 {' '.join(special(tokenizer))} 4{''.join(special(tokenizer))}\U000f0000 \U000f0001."


def control_ids(tokenizer: Any, ids: list[int]) -> list[int]:
    return [token for token in ids if token in special(tokenizer).values()]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_question_and_an_example_add_no_control_token_to_a_prompt(family: str) -> None:
    reader = tokenizer(family)
    hostile = token_ids(reader, render(ASK, {"question": spelling(reader)}))
    assert control_ids(reader, hostile) == control_ids(reader, token_ids(reader, render(ASK, {"question": "3 + 4?"})))
    text = reader.decode(hostile)
    assert text.count(spelling(reader).split("\U000f0000")[0]) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trace_adds_no_control_token_to_a_training_row(family: str) -> None:
    reader = Reader(tokenizer(family), ASK)
    attack = spelling(reader.tokenizer)
    for thoughts in ("", "<think>\nfirst {}\n</think>\n\n"):
        hostile, plain = (reader.row(text, thoughts.format(text) + f"It is {text}") for text in (attack, "3 + 4"))
        for attacked, ordinary in ((hostile.prompt, plain.prompt), (hostile.completion, plain.completion)):
            assert control_ids(reader.tokenizer, attacked) == control_ids(reader.tokenizer, ordinary)
        assert attack.split("\U000f0000")[0] in reader.tokenizer.decode(hostile.completion)
        traces = [Trace("3 + 4", "7"), Trace(attack, thoughts.format(attack) + f"It is {attack}")]
        assert reader.rows(traces) == [reader.row(*trace) for trace in traces]
        turn = reader.turn(traces[1].text)
        assert len(reader.starts(turn.text)) == len(reader.ids(turn.text))
        assert reader.starts(turn.text) == sorted(reader.starts(turn.text))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_scored_continuation_adds_no_control_token(family: str) -> None:
    reader = tokenizer(family)
    for question in ("3 + 4?", spelling(reader)):
        messages: list[Message] = [{"role": "user", "content": question}]
        ids = continuation_ids(reader, messages, token_ids(reader, messages), spelling(reader))
        assert control_ids(reader, ids) == []
