"""The student's training rows, token by token, with the embedded model's tokenizer."""

from pathlib import Path
from typing import Any

import pytest

from tracemill.model_settings import EMBEDDED_MODEL
from tracemill.prompts import Prompt, render, token_ids
from tracemill.weights import resolve
from trainer.rows import IGNORED, Reader, Trace

pytestmark = pytest.mark.integration

ASK = Prompt(({"role": "system", "content": "Think."}, {"role": "user", "content": "Q: {question}"}))
QUESTION, TEXT = "What is 2 + 3?", "2 + 3 = 5. The answer is 5."


@pytest.fixture(scope="module")
def tokenizer(models: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(resolve(EMBEDDED_MODEL, models))


def test_the_prompt_is_exactly_what_the_engine_sends(tokenizer: Any) -> None:
    prompt_ids = token_ids(tokenizer, render(ASK, {"question": QUESTION}))
    row = Reader(tokenizer, ASK).row(QUESTION, TEXT)
    assert row.input_ids[: len(prompt_ids)] == prompt_ids
    assert row.labels[: len(prompt_ids)] == [IGNORED] * len(prompt_ids)
    assert tokenizer.decode(prompt_ids).endswith("<|im_start|>assistant\n")


def test_the_loss_is_on_the_answer_and_its_end_and_nothing_else(tokenizer: Any) -> None:
    row = Reader(tokenizer, ASK).row(QUESTION, TEXT)
    learnt = [label for label in row.labels if label != IGNORED]
    assert tokenizer.decode(learnt) == TEXT + "<|im_end|>"
    assert row.labels[-len(learnt) :] == learnt


def test_the_whole_row_is_the_conversation_as_the_chat_template_writes_it(tokenizer: Any) -> None:
    row = Reader(tokenizer, ASK).row(QUESTION, TEXT)
    turns = [*render(ASK, {"question": QUESTION}), {"role": "assistant", "content": TEXT}]
    assert tokenizer.decode(row.input_ids) + "\n" == tokenizer.apply_chat_template(turns, tokenize=False)


def test_many_rows_at_once_are_the_same_as_one_by_one(tokenizer: Any) -> None:
    traces = [Trace(QUESTION, TEXT), Trace("What is 1 + 1?", "2", is_cut_off=True), Trace(QUESTION, "")]
    reader = Reader(tokenizer, ASK)
    assert reader.rows(traces) == [reader.row(*trace) for trace in traces]
    assert reader.rows([]) == []


def test_a_turn_ends_with_the_templates_token_if_it_is_not_the_eos_token(tokenizer: Any) -> None:
    import copy

    assert Reader(tokenizer, ASK).form.end == tokenizer.eos_token_id
    other = copy.deepcopy(tokenizer)
    other.chat_template = "{% for m in messages %}{{ m['content'] }}<|endoftext|>{% endfor %}"
    assert Reader(other, ASK).form.end == tokenizer.convert_tokens_to_ids("<|endoftext|>") != tokenizer.eos_token_id
