"""An example as the model reads it: the tokens of the prompt, as an engine sends them, then those of the answer.

The prompt goes through the same `render` and `token_ids` as in a generate worker, so training and evaluation agree.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tracemill import thinking
from tracemill.errors import TracemillError
from tracemill.methods import all_methods
from tracemill.prompts import Prompt, render, token_ids

#: The label of a token without a loss (PyTorch's cross-entropy skips it).
IGNORED = -100
_MARK = "answer"


@dataclass(frozen=True)
class Row:
    """Token ids of a prompt, and of the completion that is learnt, with its end-of-turn token."""

    prompt: list[int]
    completion: list[int]

    @property
    def input_ids(self) -> list[int]:
        """All tokens."""
        return self.prompt + self.completion

    @property
    def labels(self) -> list[int]:
        """The input ids with every prompt token `IGNORED`."""
        return [IGNORED] * len(self.prompt) + self.completion

    @property
    def tokens(self) -> int:
        """The number of tokens."""
        return len(self.prompt) + len(self.completion)


class Reader:
    """Makes rows with a student's tokenizer and the prompt of all questions."""

    def __init__(self, tokenizer: Any, prompt: Prompt) -> None:
        self.tokenizer = tokenizer
        self.end = end_of_turn(tokenizer)
        self._prompt = prompt

    def row(self, question: str, text: str) -> Row:
        """The row whose completion is `text` and the end of the turn."""
        return Row(self.prompt_ids(question), [*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.end])

    def rows(self, pairs: Sequence[tuple[str, str]]) -> list[Row]:
        """The rows of many (question, text) pairs, on all cores."""
        if not pairs:
            return []
        messages = [render(self._prompt, {"question": question}) for question, _ in pairs]
        prompts = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        texts = self.tokenizer([text for _, text in pairs], add_special_tokens=False)["input_ids"]
        return [Row(prompt, [*text, self.end]) for prompt, text in zip(prompts, texts, strict=True)]

    def prompt_ids(self, question: str) -> list[int]:
        """The tokens before the answer."""
        return token_ids(self.tokenizer, render(self._prompt, {"question": question}))


def learnt_text(text: str, methods: Iterable[str]) -> str:
    """The part of a trace that a student learns: all of it, or its answer alone (`Method.teaches_thoughts`).

    `methods`: that of the trace, and for one of a pair that of its partner: pairs must not differ in having thoughts.
    """
    known = [method for name in methods if (method := all_methods().get(name))]
    return text if all(method.teaches_thoughts for method in known) else thinking.split(text).answer


class Sized(Protocol):
    """A row or a pair of rows, with its length."""

    @property
    def tokens(self) -> int: ...


R = TypeVar("R", bound=Sized)


def short(rows: Iterable[R], max_tokens: int) -> tuple[list[int], list[R]]:
    """(indices, rows) of at most `max_tokens` tokens. Raises TracemillError if there are none."""
    all_rows = list(rows)
    kept = [index for index, row in enumerate(all_rows) if row.tokens <= max_tokens]
    if not kept:
        raise TracemillError(
            f"all {len(all_rows)} examples are longer than fit.max_tokens = {max_tokens}; the shortest has "
            f"{min((row.tokens for row in all_rows), default=0)} tokens. Raise max_tokens."
        )
    return kept, [all_rows[index] for index in kept]


def end_of_turn(tokenizer: Any) -> int:
    """The token that ends an assistant's turn: the first special token after an answer in the chat template.

    It is not always the tokenizer's `eos_token` (Gemma ends a turn with `<end_of_turn>`), which is the fallback.
    """
    messages = [{"role": "user", "content": "question"}, {"role": "assistant", "content": _MARK}]
    tail = tokenizer.apply_chat_template(messages, tokenize=False).rpartition(_MARK)[2]
    special = set(tokenizer.all_special_ids)
    ends = (token for token in tokenizer(tail, add_special_tokens=False)["input_ids"] if token in special)
    return int(next(ends, tokenizer.eos_token_id))
