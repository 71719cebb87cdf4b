"""Texts split into thoughts and answer, and the tokens of the thoughts counted."""

from collections.abc import Sequence
from time import thread_time

import pytest

from tracemill.thinking import answer_of, closing_ids, control_tokens, count_tokens, length, opened_at_end, split

SPLITS = [
    ("<think>3 + 4</think>\nIt is 7.", "3 + 4", "It is 7.", False),
    ("3 + 4</think>\nIt is 7.", "3 + 4", "It is 7.", False),
    ("<think>3 +", "3 +", "", True),
    ("<think>", None, "", True),
    ("Well.\n<think>3 +", "3 +", "Well.", True),
    ("<think>\n\n</think>\nIt is 7.", None, "It is 7.", False),
    ("<think>a</think>b<think>c</think>d", "abc", "d", False),
    ("<think>a</think>b\n<think>c", "ac", "b", True),
    ("<think>a</think>\n<think>c", "ac", "", True),
    ("<think>a<think>b</think>c</think>d", "abc", "d", False),
    ("<Think>a</THINK>b", "a", "b", False),
    ("<reasoning>a</reasoning><answer>7</answer>", "a", "<answer>7</answer>", False),
    ("<think>a</think>b<|im_end|>", "a", "b", False),
    ("<think>a</think>\n<response>\nb\n</response>", "a", "b", False),
    ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>", "a", "b", False),
    ("<|channel|>analysis<|message|>a<|channel|>final <|constrain|>json<|message|>b", "a", "b", False),
    ("<|channel|>analysis<|message|>a<|end|>", "a", "", True),
    ("a<|channel|>final<|message|>b<|end|><|start|>assistant<|channel|>analysis<|message|>c", "ac", "b", True),
    ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "a", "b", False),
    ("Here's my thought process: a\nHere is my response: b", "a", "b", False),
]
UNMARKED = [
    "",
    " It is 7. \n",
    "The tag <think> begins a thought.",
    "I think 3 < 4 and [a, b] > c. <|im_end|>",
    "Here is my response: 7",
    "Here is my thought process: 3 + 4 = 7.",
    "We have \\[ x < 1 \\] and <b>bold</b>, and the next <thought> is mine.",
]


@pytest.mark.parametrize(("text", "thoughts", "answer", "is_cut_off"), SPLITS)
def test_a_text_is_split_into_thoughts_and_answer(
    text: str, thoughts: str | None, answer: str, is_cut_off: bool
) -> None:
    assert split(text) == (thoughts, answer, is_cut_off)


@pytest.mark.parametrize("text", UNMARKED)
def test_a_text_without_marks_is_the_answer_unchanged(text: str) -> None:
    assert split(text) == (None, text, False)
    assert answer_of(text) == text
    assert length(text) == 0


def test_complete_thoughts_without_an_answer_are_the_answer() -> None:
    assert answer_of("<think>It is 7.</think>\n") == "It is 7."
    assert answer_of("<think>It is 7.") == ""
    assert answer_of("It is 8.\n<think>Or 7") == "It is 8."


@pytest.mark.parametrize(
    "piece",
    ["<", "<think>", "</think>", "\n<think>", "<think>a</think>", "<|end|>", "<|start|>assistant", "[THINK]", "◁",
     "<|channel|>final", "<|channel|>analysis<|message|>", "</think> <response>", "Here is my thought process: ",
     "<think:aaaaaaaaaaaaaaaa", " ", "\n", "<|im_end|>"],
)  # fmt: skip
def test_a_megabyte_of_hostile_marks_is_split_in_linear_time(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    start = thread_time()
    for hostile in (text, f"<think>{text}", f"{text}</think>"):
        split(hostile)
        length(hostile)
    assert thread_time() - start < 6


#: Tokens of the answer, the mark at the end of the prompt, the number of thinking tokens.
ANSWERS: dict[str, tuple[list[str], str, int]] = {
    "none": (["It", " is", " 4"], "", 0),
    "thoughts, then an answer": (["<think>", "2", " +", " 2", "</think>", "4"], "", 3),
    "opened in the prompt": (["2", " +", "</think>", "4"], "<think>\n", 2),
    "only a closing mark": (["2", " +", "</think>", "4"], "", 2),
    "cut off": (["<think>", "2", " +"], "", 2),
    "opened in the prompt and cut off": (["2", " +"], "<think>\n", 2),
    "empty thoughts": (["<think>", "</think>", "4"], "", 0),
    "cut off after the answer": (["a", "</think>", "b", "\n", "<think>", "c", "d"], "", 3),
    "the opening mark mentioned in the answer": (["a", "</think>", "b", "<think>", "c"], "", 1),
    "empty": ([], "", 0),
}


@pytest.mark.parametrize(("words", "opened", "tokens"), ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("spelt", [False, True], ids=["marks are tokens", "marks are spelt"])
def test_thoughts_are_counted_in_tokens(words: list[str], opened: str, tokens: int, spelt: bool) -> None:
    pieces = [piece for word in words for piece in (_spelt(word) if spelt else [word])]
    vocabulary = list(dict.fromkeys(pieces))
    ids = [vocabulary.index(piece) for piece in pieces]

    def decode(ids: Sequence[int]) -> str:
        return "".join(vocabulary[token] for token in ids)

    closing = closing_ids({piece: number for number, piece in enumerate(vocabulary)})
    assert bool(closing) is ("</think>" in words and not spelt)
    assert count_tokens(opened + "".join(words), ids, closing, decode, opened) == tokens


@pytest.mark.parametrize("spelt", [False, True], ids=["marks are tokens", "marks are spelt"])
@pytest.mark.parametrize("inner", ["<think>", "</think>"])
def test_marks_inside_thoughts_count_as_thoughts(inner: str, spelt: bool) -> None:
    words = ["<think>", "a", inner, "b", "</think>", "4"]
    pieces = [piece for word in words for piece in (_spelt(word) if spelt else [word])]
    closing = {} if spelt else {"</think>": 4}

    def decode(ids: Sequence[int]) -> str:
        return "".join(pieces[token] for token in ids)

    assert count_tokens("".join(words), range(len(pieces)), closing, decode) == (6 if spelt else 3)


def test_the_mark_at_the_end_of_a_prompt_opens_the_thoughts() -> None:
    assert opened_at_end("<|assistant|>\n<think>\n") == "<think>"
    assert opened_at_end("<seed:think>") == "<seed:think>"
    assert opened_at_end("<think>\n\n</think>\n\n") == ""
    assert opened_at_end("Think of <think> as a tag.") == ""


def test_only_the_control_tokens_that_spell_marks_are_kept() -> None:
    chat = {"<|im_start|>", "<|im_end|>", "<|end|>", "<|endoftext|>"}
    assert control_tokens(chat) == frozenset()
    harmony = {"<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>"}
    assert control_tokens(harmony) == {"<|start|>", "<|end|>", "<|message|>", "<|channel|>"}
    assert control_tokens({"<s>", "[INST]", "[THINK]", "[/THINK]"}) == {"[THINK]", "[/THINK]"}


def _spelt(word: str) -> list[str]:
    return ["</" if "/" in word else "<", "th", "ink", ">"] if "think" in word else [word]
