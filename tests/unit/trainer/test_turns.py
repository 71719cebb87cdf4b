"""A row is what the student's chat template would write: one opening mark, one end of turn, loss on the answer only.

The templates are small ones with the documented behaviour of seven families (`tests.chat_templates`).
"""

from typing import Any, NamedTuple

import pytest

from tests.chat_templates import FAMILIES, tokenizer
from tracemill.logprobs import TopK, encode
from tracemill.prompts import Prompt, render
from tracemill.thinking import split
from trainer.objectives import Example
from trainer.objectives.logits import _of_student, _row
from trainer.objectives.stepwise import weights_of_turn
from trainer.rows import IGNORED, Reader, Row, Trace

ASK = Prompt(({"role": "user", "content": "{question}"},))
QUESTION, THOUGHTS, ANSWER = "What is 3 + 4?", "Add 3 and 4.\nThat makes 7.", "3 + 4 = 7. The answer is 7."
#: The same trace, as models and servers spell it.
WITH_THOUGHTS = (
    f"<think>\n{THOUGHTS}\n</think>\n\n{ANSWER}",
    f"<think>{THOUGHTS}</think>\n{ANSWER}",
    f"{THOUGHTS}\n</think>\n\n{ANSWER}",
    f"[THINK]{THOUGHTS}[/THINK]{ANSWER}",
    f"<|channel|>analysis<|message|>{THOUGHTS}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
)
OFF = {"enable_thinking": False}


class Expected(NamedTuple):
    """The end of a prompt, and what the student writes after it."""

    prompt_end: str
    with_thoughts: str
    without: str
    end: str


_TAGGED = f"<think>\n{THOUGHTS}\n</think>\n\n{ANSWER}"
_OPENED = (f"{THOUGHTS}\n</think>\n\n{ANSWER}", f"\n</think>\n\n{ANSWER}")
_FINAL = f"<|channel|>final<|message|>{ANSWER}"
_CHATML, _LLAMA = "<|im_start|>assistant\n", "<|start_header_id|>assistant<|end_header_id|>\n\n"
EXPECTED = {
    "Qwen3": Expected(_CHATML, _TAGGED, f"<think>\n\n</think>\n\n{ANSWER}", "<|im_end|>"),
    "Qwen3-Thinking": Expected(f"{_CHATML}<think>\n", *_OPENED, "<|im_end|>"),
    "DeepSeek-R1-distill": Expected("<|Assistant|><think>\n", *_OPENED, "<|end_of_sentence|>"),
    "Gemma 3": Expected("<start_of_turn>model\n", _TAGGED, ANSWER, "<end_of_turn>"),
    "SmolLM3": Expected(_CHATML, _TAGGED, ANSWER, "<|im_end|>"),
    "gpt-oss": Expected(
        "<|start|>assistant",
        f"<|channel|>analysis<|message|>{THOUGHTS}<|end|><|start|>assistant{_FINAL}",
        _FINAL,
        "<|return|>",
    ),
    "Llama 3": Expected(_LLAMA, _TAGGED, ANSWER, "<|eot_id|>"),
}
#: Where the prompt says that no thoughts follow, a student learns the answer alone.
EXPECTED_OFF = {
    "Qwen3": Expected(f"{_CHATML}<think>\n\n</think>\n\n", ANSWER, ANSWER, "<|im_end|>"),
    "SmolLM3": Expected(f"{_CHATML}<think>\n\n</think>\n", ANSWER, ANSWER, "<|im_end|>"),
}
CASES = [
    *(pytest.param(family, {}, EXPECTED[family], id=family) for family in FAMILIES),
    *(pytest.param(family, OFF, each, id=f"{family} without thinking") for family, each in EXPECTED_OFF.items()),
]
matrix = pytest.mark.parametrize(("family", "options", "expected"), CASES)


def _require(reader: Reader, row: Row, expected: Expected, completion: str) -> None:
    prompt, learnt = reader.tokenizer.decode(row.prompt), reader.tokenizer.decode(row.completion)
    assert prompt.endswith(expected.prompt_end)
    assert learnt == completion + expected.end
    assert row.labels == [IGNORED] * len(row.prompt) + row.completion
    turn = expected.prompt_end + learnt
    assert turn.count("<think>") <= 1
    assert turn.count("<think>") == turn.count("</think>")
    assert turn.count(expected.end) == 1


@matrix
@pytest.mark.parametrize("text", WITH_THOUGHTS)
def test_a_row_with_thoughts_is_the_turn_of_the_template(
    family: str, options: dict[str, bool], expected: Expected, text: str
) -> None:
    reader = Reader(tokenizer(family), ASK, options)
    _require(reader, reader.row(QUESTION, text), expected, expected.with_thoughts)


@matrix
def test_a_row_without_thoughts_is_the_turn_of_the_template(
    family: str, options: dict[str, bool], expected: Expected
) -> None:
    reader = Reader(tokenizer(family), ASK, options)
    _require(reader, reader.row(QUESTION, ANSWER), expected, expected.without)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "DeepSeek-R1-distill"])
def test_a_row_equals_the_templates_own_text_of_the_conversation(family: str) -> None:
    reader = Reader(tokenizer(family), ASK)
    spelt = {} if family == "gpt-oss" else {"content": WITH_THOUGHTS[0]}
    message = {"role": "assistant", "content": ANSWER, "thinking": THOUGHTS} | spelt
    turns = [*render(ASK, {"question": QUESTION}), message]
    whole = reader.tokenizer.apply_chat_template(turns, tokenize=False)
    row = reader.row(QUESTION, WITH_THOUGHTS[0])
    assert reader.tokenizer.decode(row.input_ids) == whole.rstrip("\n")


@matrix
def test_cut_off_thoughts_stay_open_and_their_turn_has_no_end(
    family: str, options: dict[str, bool], expected: Expected
) -> None:
    reader = Reader(tokenizer(family), ASK, options)
    for is_cut_off in (True, False):  # some servers report no reason
        learnt = reader.tokenizer.decode(reader.row(QUESTION, f"<think>\n{THOUGHTS}", is_cut_off).completion)
        if not options:
            assert learnt == expected.with_thoughts.partition(THOUGHTS)[0] + THOUGHTS
        assert expected.end not in learnt
    answer = reader.tokenizer.decode(reader.row(QUESTION, WITH_THOUGHTS[0], is_cut_off=True).completion)
    assert answer == expected.with_thoughts


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tokenizer_with_a_begin_token_makes_the_same_rows(family: str) -> None:
    from tokenizers.processors import TemplateProcessing

    plain, beginning = tokenizer(family), tokenizer(family)
    begin = beginning.bos_token
    special = [(begin, beginning.bos_token_id)]
    beginning.backend_tokenizer.post_processor = TemplateProcessing(single=f"{begin} $A", special_tokens=special)
    assert beginning("a")["input_ids"][0] == beginning.bos_token_id
    readers = [Reader(each, ASK) for each in (plain, beginning)]
    rows = [[*reader.rows([Trace(QUESTION, ANSWER)]), reader.row(QUESTION, WITH_THOUGHTS[0])] for reader in readers]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_many_rows_at_once_are_the_rows_one_by_one(family: str) -> None:
    reader = Reader(tokenizer(family), ASK)
    traces = [Trace(QUESTION, WITH_THOUGHTS[0]), Trace("What is 1 + 1?", "2", True), Trace(QUESTION, ANSWER)]
    assert reader.rows(traces) == [reader.row(*trace) for trace in traces]


class TestStoredTokens:
    """Objective `logits`: the teacher's own tokens, after the student's prompt."""

    @pytest.mark.parametrize("teacher", ["writes the marks", "has them in its prompt"])
    @matrix
    def test_the_teachers_tokens_follow_the_students_prompt(
        self, family: str, options: dict[str, bool], expected: Expected, teacher: str
    ) -> None:
        opening, between = "<think>\n", f"{THOUGHTS}\n</think>\n\n{ANSWER}"
        if family == "gpt-oss":
            opening, between = "<|channel|>analysis<|message|>", expected.with_thoughts.partition("<|message|>")[2]
        written = (opening if teacher == "writes the marks" else "") + between
        reader = Reader(tokenizer(family), ASK, options)
        example = _example(reader, written, opening + between, ended=True)
        row, top = _row(reader, example), _of_student(reader, example)
        _require(reader, row, expected, expected.with_thoughts)
        kept = "".join(reader.tokenizer.decode([token]) for token, ids in zip(top.chosen, top.ids, strict=True) if ids)
        assert (expected.with_thoughts + expected.end).endswith(kept)
        assert kept.endswith(ANSWER + expected.end)
        assert all(len(ids) == len(values) for ids, values in zip(top.ids, top.logprobs, strict=True))

    @pytest.mark.parametrize("written", [ANSWER, f"<think>\n\n</think>\n\n{ANSWER}"])
    @matrix
    def test_an_answer_without_thoughts_gets_the_students_marks(
        self, family: str, options: dict[str, bool], expected: Expected, written: str
    ) -> None:
        reader = Reader(tokenizer(family), ASK, options)
        row = _row(reader, _example(reader, written, ANSWER, ended=False))
        _require(reader, row, expected, expected.without)

    @pytest.mark.parametrize("family", FAMILIES)
    def test_tokens_that_were_cut_off_get_no_end(self, family: str) -> None:
        reader = Reader(tokenizer(family), ASK)
        example = _example(reader, THOUGHTS, f"<think>\n{THOUGHTS}", ended=False, is_cut_off=True)
        learnt = reader.tokenizer.decode(_row(reader, example).completion)
        assert learnt.endswith(THOUGHTS)


def _example(reader: Reader, written: str, text: str, *, ended: bool, is_cut_off: bool = False) -> Example:
    """A trace whose teacher sampled the tokens of `written`."""
    ids = [*reader.ids(written), *([reader.form.end] if ended else [])]
    top = TopK.of((token, {token: -0.1, token + 1: -3.0}) for token in ids)
    return Example("sft", QUESTION, text, logprobs=encode(top), is_cut_off=is_cut_off)


class TestStepwise:
    def test_a_token_of_long_thoughts_weighs_as_much_as_one_of_imitation(self) -> None:
        text = "<think>\n" + "I add the numbers once more.\n" * 100 + "</think>\n\nStep 1: 3 + 4 = 7.\nThe answer is 7."
        values = self._weights(text, ("3 + 4 = 7.",))
        answer = values[text.index("Step 1") :]
        assert set(values[: -len(answer)]) == {1.0}
        assert sum(answer) / len(answer) == pytest.approx(1)
        assert max(answer) < 5
        assert sum(answer[-len("\nThe answer is 7.|") :]) / sum(answer) == pytest.approx(0.5)

    def test_thoughts_before_a_bare_answer_are_learnt_as_in_imitation(self) -> None:
        values = self._weights(f"<think>\n{THOUGHTS}\n</think>\n\nThe answer is 7.", ())
        assert set(values) == {1.0}

    def test_a_text_that_was_cut_off_has_no_answer_to_weigh(self) -> None:
        values = self._weights(f"{THOUGHTS}\nAnd so it", (), is_cut_off=True)
        assert set(values) == {1.0}

    @staticmethod
    def _weights(text: str, steps: tuple[str, ...], is_cut_off: bool = False) -> list[float]:
        """The weights of a student that writes its thoughts as the text has them, a token for each character."""
        reader: Any = Reader(tokenizer("SmolLM3"), ASK)
        turn = reader.turn(text, is_cut_off)
        assert split(turn.text).answer == split(text).answer
        starts = [*range(len(turn.text)), *([len(turn.text)] if turn.is_complete else [])]
        return weights_of_turn(turn, starts, steps, 0.5)
