"""An example as the model reads it: the prompt's tokens as the engine would send them, then the answer's.

The prompt goes through the same `render` and `token_ids` that generate workers use: training and evaluation ask alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tracemill.prompts import Prompt, render, token_ids

#: The label of a token that is read but not learnt (PyTorch's cross-entropy skips it).
IGNORED = -100
_MARK = "answer"


@dataclass(frozen=True)
class Row:
    """Token ids of prompt + completion; the mask is 1 where the loss is taken (the completion) and 0 in the prompt."""

    input_ids: list[int]
    completion_mask: list[int]

    @property
    def labels(self) -> list[int]:
        """The input ids with every prompt token `IGNORED`."""
        pairs = zip(self.input_ids, self.completion_mask, strict=True)
        return [token if learnt else IGNORED for token, learnt in pairs]


def tokenise(tokenizer: Any, prompt: Prompt, question: str, text: str, end: int) -> Row:
    """The row that teaches to answer `question`, asked with `prompt`, by `text` and the end-of-turn token `end`."""
    asked = token_ids(tokenizer, render(prompt, {"question": question}))
    answered = [*tokenizer(text, add_special_tokens=False)["input_ids"], end]
    return Row(asked + answered, [0] * len(asked) + [1] * len(answered))


def tokenise_all(tokenizer: Any, prompt: Prompt, pairs: Sequence[tuple[str, str]]) -> list[Row]:
    """The rows of many pairs of question and text: as `tokenise` makes them, on all cores."""
    if not pairs:
        return []
    end = end_of_turn(tokenizer)
    messages = [render(prompt, {"question": question}) for question, _ in pairs]
    asked = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    answered = tokenizer([text for _, text in pairs], add_special_tokens=False)["input_ids"]
    return [
        Row([*question, *text, end], [0] * len(question) + [1] * (len(text) + 1))
        for question, text in zip(asked, answered, strict=True)
    ]


def end_of_turn(tokenizer: Any) -> int:
    """The token that ends an assistant's turn: the first special one that the chat template puts after an answer.

    It is not always the tokenizer's `eos_token` (Gemma ends a turn with `<end_of_turn>`), which is the fallback.
    """
    messages = [{"role": "user", "content": "question"}, {"role": "assistant", "content": _MARK}]
    tail = tokenizer.apply_chat_template(messages, tokenize=False).rpartition(_MARK)[2]
    special = set(tokenizer.all_special_ids)
    found = (token for token in tokenizer(tail, add_special_tokens=False)["input_ids"] if token in special)
    return int(next(found, tokenizer.eos_token_id))
