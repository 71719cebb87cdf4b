"""An example as the model reads it: the prompt's tokens as the engine would send them, then the answer's.

The prompt goes through the same `render` and `token_ids` that generate workers use: training and evaluation ask alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tracemill import thinking
from tracemill.errors import TracemillError
from tracemill.methods import all_methods
from tracemill.prompts import Prompt, render, token_ids

#: The label of a token that is read but not learnt (PyTorch's cross-entropy skips it).
IGNORED = -100
_MARK = "answer"


@dataclass(frozen=True)
class Row:
    """Token ids of a prompt and of the completion that is learnt, its end-of-turn token included."""

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
        """How many tokens it has."""
        return len(self.prompt) + len(self.completion)


class Reader:
    """A student's tokenizer, and the prompt that everything is asked with."""

    def __init__(self, tokenizer: Any, prompt: Prompt) -> None:
        self.tokenizer = tokenizer
        self.end = end_of_turn(tokenizer)
        self._prompt = prompt

    def row(self, question: str, text: str) -> Row:
        """The row that teaches to answer `question` by `text` and the end of the turn."""
        return Row(self.asked(question), [*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.end])

    def rows(self, pairs: Sequence[tuple[str, str]]) -> list[Row]:
        """The rows of many pairs of question and text, on all cores."""
        if not pairs:
            return []
        messages = [render(self._prompt, {"question": question}) for question, _ in pairs]
        asked = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        answered = self.tokenizer([text for _, text in pairs], add_special_tokens=False)["input_ids"]
        return [Row(question, [*text, self.end]) for question, text in zip(asked, answered, strict=True)]

    def asked(self, question: str) -> list[int]:
        """The prompt's tokens, up to where the answer begins."""
        return token_ids(self.tokenizer, render(self._prompt, {"question": question}))


def learnt_text(text: str, methods: Iterable[str]) -> str:
    """The part of a trace that a student learns: all of it, or its answer alone (`Method.teaches_thoughts`).

    `methods`: that of the trace, and for one of a pair that of its partner: pairs must not differ in having thoughts.
    """
    known = [method for name in methods if (method := all_methods().get(name))]
    return text if all(method.teaches_thoughts for method in known) else thinking.answer_of(text)


class Sized(Protocol):
    """What can be too long."""

    @property
    def tokens(self) -> int: ...


R = TypeVar("R", bound=Sized)


def short(rows: Iterable[R], most: int) -> tuple[list[int], list[R]]:
    """Those of at most `most` tokens, with their places. Raises TracemillError where there is none."""
    every = list(rows)
    kept = [place for place, row in enumerate(every) if row.tokens <= most]
    if not kept:
        raise TracemillError(
            f"all {len(every)} examples are longer than fit.max_tokens = {most}; the shortest has "
            f"{min((row.tokens for row in every), default=0)} tokens. Raise max_tokens."
        )
    return kept, [every[place] for place in kept]


def end_of_turn(tokenizer: Any) -> int:
    """The token that ends an assistant's turn: the first special one that the chat template puts after an answer.

    It is not always the tokenizer's `eos_token` (Gemma ends a turn with `<end_of_turn>`), which is the fallback.
    """
    messages = [{"role": "user", "content": "question"}, {"role": "assistant", "content": _MARK}]
    tail = tokenizer.apply_chat_template(messages, tokenize=False).rpartition(_MARK)[2]
    special = set(tokenizer.all_special_ids)
    found = (token for token in tokenizer(tail, add_special_tokens=False)["input_ids"] if token in special)
    return int(next(found, tokenizer.eos_token_id))
