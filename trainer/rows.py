"""An example as the model reads it: the tokens of the prompt, as an engine sends them, then those of the answer.

The prompt goes through the same `render` and `token_ids` as in a generate worker, so training and evaluation agree. The
answer is the turn that the student's chat template writes after this prompt (`trainer.turns`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

from tracemill import thinking
from tracemill.control_tokens import control_tokens
from tracemill.errors import TracemillError
from tracemill.methods import all_methods
from tracemill.prompts import Prompt, render, token_ids
from trainer.turns import Turn, turn_form

#: The label of a token without a loss (PyTorch's cross-entropy skips it).
IGNORED = -100


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


class Trace(NamedTuple):
    """A question, and the part of a trace's text that is learnt."""

    question: str
    text: str
    #: Whether the text ends where its model had to stop, at the longest answer.
    is_cut_off: bool = False


class Reader:
    """Makes rows with a student's tokenizer and the prompt of all questions.

    `options` are those of the chat template with which the evaluation sends its prompt.
    """

    def __init__(self, tokenizer: Any, prompt: Prompt, options: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.tokenizer = tokenizer
        self._prompt, self._options = prompt, options
        self._control = control_tokens(tokenizer)
        self.form = turn_form(tokenizer, render(prompt, {"question": "sample question"}), options)

    def row(self, question: str, text: str, is_cut_off: bool = False) -> Row:
        """The row whose completion is the turn with `text`."""
        turn = self.turn(text, is_cut_off)
        return Row(self.prompt_ids(question), [*self.ids(turn.text), *self.ending(turn)])

    def rows(self, traces: Sequence[Trace]) -> list[Row]:
        """The rows of many traces, on all cores."""
        if not traces:
            return []
        hide = self._control.hide
        if any(hide(text) != text for trace in traces for text in (trace.question, trace.text)):
            return [self.row(*trace) for trace in traces]
        prompts = self.tokenizer.apply_chat_template(
            [render(self._prompt, {"question": trace.question}) for trace in traces],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
            **self._options,
        )
        turns = [self.turn(trace.text, trace.is_cut_off) for trace in traces]
        texts = self.tokenizer([turn.text for turn in turns], add_special_tokens=False)["input_ids"]
        return [
            Row(prompt, [*text, *self.ending(turn)]) for prompt, text, turn in zip(prompts, texts, turns, strict=True)
        ]

    def turn(self, text: str, is_cut_off: bool = False) -> Turn:
        """The turn with the thoughts and the answer of a trace's text, with stand-ins for control tokens in them."""
        return self.form.turn(text, is_cut_off, self._control.hide)

    def ids(self, text: str) -> list[int]:
        """The tokens of a text inside a turn."""
        return self._control.ids(text)

    def starts(self, text: str) -> list[int]:
        """The start of each of these tokens in the text."""
        return self._control.starts(text)

    def ending(self, turn: Turn) -> list[int]:
        """The token after a complete turn; none after one that was cut off."""
        return [self.form.end] if turn.is_complete else []

    def prompt_ids(self, question: str) -> list[int]:
        """The tokens before the answer."""
        return token_ids(self.tokenizer, render(self._prompt, {"question": question}), self._options)


def load_tokenizer(model: str) -> Any:
    """The tokenizer of a model folder or hub name. Code of the model does not run."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model, trust_remote_code=False)


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


def short(rows: Iterable[R], max_tokens: int | None) -> tuple[list[int], list[R]]:
    """(indices, rows) of at most `max_tokens` tokens; None is no limit. Raises TracemillError if there are none."""
    all_rows = list(rows)
    kept = [index for index, row in enumerate(all_rows) if max_tokens is None or row.tokens <= max_tokens]
    if not kept:
        raise TracemillError(
            f"all {len(all_rows)} examples are longer than fit.max_tokens = {max_tokens}; the shortest has "
            f"{min((row.tokens for row in all_rows), default=0)} tokens. Raise max_tokens."
        )
    return kept, [all_rows[index] for index in kept]
