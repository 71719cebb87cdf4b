"""An assistant's turn as a student's chat template writes it: thoughts, answer, end of the turn.

Every template has its own place for thoughts. Some write them from a field of the message (Qwen3, gpt-oss), some
repeat the text with its marks (SmolLM3, Gemma 3, Llama 3). Some open them already in the prompt, and some of these drop
them from a finished turn (DeepSeek-R1). So a form is read from the turns that the template writes for two sample
messages, after the prompt of all questions. Traces come with any teacher's marks; the form replaces them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tracemill import thinking
from tracemill.prompts import Message

_THOUGHTS, _ANSWER = "sample thoughts", "sample answer"


@dataclass(frozen=True)
class Turn:
    """The text that the student writes after its prompt."""

    text: str
    #: The position of the answer. The thoughts and the marks are before it.
    answer_start: int
    #: Whether the turn ends after the text. Otherwise it was cut off.
    is_complete: bool


@dataclass(frozen=True)
class TurnForm:
    """The texts of a chat template around thoughts and answer, from the end of the prompt to the end of the turn."""

    #: Before an answer without thoughts.
    before_answer: str
    #: Before the thoughts, and between them and the answer. None if the prompt says that no thoughts follow.
    around_thoughts: tuple[str, str] | None
    #: Between the answer and the end of the turn; nearly always empty.
    after_answer: str
    #: The first special token after an answer. It is not always the tokenizer's `eos_token` (Gemma 3 ends a turn with
    #: `<end_of_turn>`), which is the fallback.
    end: int

    def turn(self, text: str, is_cut_off: bool = False, hide: Callable[[str], str] = str) -> Turn:
        """The turn with the thoughts and the answer of a trace's text. Cut-off thoughts stay open.

        `hide` puts stand-ins into data for the control tokens that they spell.
        """
        thoughts, answer, ends_in_thoughts = thinking.split(text)
        thoughts, answer = None if thoughts is None else hide(thoughts), hide(answer)
        before, is_complete = self.before_answer, not (is_cut_off or ends_in_thoughts)
        if thoughts is not None and self.around_thoughts is not None:
            opening, closing = self.around_thoughts
            before = opening + thoughts + ("" if ends_in_thoughts and not answer else closing)
        after = self.after_answer if is_complete else ""
        return Turn(before + answer.strip() + after, len(before), is_complete)


def turn_form(
    tokenizer: Any, messages: Sequence[Message], options: Mapping[str, Any] = MappingProxyType({})
) -> TurnForm:
    """Read the form from the tokenizer's chat template. `options` are the template's own."""
    template = _Template(tokenizer, list(messages), options)
    return TurnForm(template.before_answer(), template.around_thoughts(), *template.end())


class _Template:
    """A chat template after one prompt."""

    def __init__(self, tokenizer: Any, messages: list[Message], options: Mapping[str, Any]) -> None:
        self._tokenizer, self._messages, self._options = tokenizer, messages, options
        self._prompt = self._apply(messages, add_generation_prompt=True) or ""
        #: The mark in the prompt that opens the thoughts; empty if there is none.
        self._opened = thinking.opened_at_end(self._prompt)
        self._closing = f"\n{thinking.closing_of(self._opened)}\n\n" if self._opened else ""

    def before_answer(self) -> str:
        before = _before(self._turn(content=_ANSWER), _ANSWER)
        if before is None or (self._opened and self._closing.strip() not in before):
            return self._closing
        return before

    def around_thoughts(self) -> tuple[str, str] | None:
        if thinking.closed_at_end(self._prompt):
            return None
        fields = dict.fromkeys(("reasoning_content", "reasoning", "thinking"), _THOUGHTS)
        opening, closing = f"{thinking.BEGIN}\n", f"\n{thinking.END}\n\n"
        marked = opening + _THOUGHTS + closing + _ANSWER
        for turn in (self._turn(content=_ANSWER, **fields), self._turn(content=marked)):
            before = _before(turn, _THOUGHTS)
            between = _before((turn or "").partition(_THOUGHTS)[2], _ANSWER)
            if before is not None and between and not (self._opened and self._opened in before):
                return before, between
        return ("", self._closing) if self._opened else (opening, closing)

    def end(self) -> tuple[str, int]:
        """The text between the answer and the first special token after it, and that token."""
        turn = self._apply([*self._messages, {"role": "assistant", "content": _ANSWER}]) or ""
        tail, added = turn.rpartition(_ANSWER)[2], self._tokenizer.added_tokens_decoder
        special = {*self._tokenizer.all_special_ids, *(token for token, content in added.items() if content.special)}
        ids = self._tokenizer(tail, add_special_tokens=False)["input_ids"]
        for token in ids:
            if token in special:
                return tail.partition(self._tokenizer.convert_ids_to_tokens(token))[0], int(token)
        return "", int(self._tokenizer.eos_token_id)

    def _turn(self, **message: str) -> str | None:
        """The text after the prompt if the assistant's message follows it; None if the prompt is not its beginning."""
        text = self._apply([*self._messages, {"role": "assistant", **message}])
        return text[len(self._prompt) :] if text is not None and text.startswith(self._prompt) else None

    def _apply(self, messages: Sequence[Any], **how: bool) -> str | None:
        """None if the template refuses the messages. gpt-oss refuses marks in the content."""
        from jinja2 import TemplateError

        try:
            return str(self._tokenizer.apply_chat_template(messages, tokenize=False, **how, **self._options))
        except TemplateError:
            return None


def _before(text: str | None, part: str) -> str | None:
    """The text before a part; None unless the text has this part once."""
    return text.partition(part)[0] if text is not None and text.count(part) == 1 else None
