"""Thinking marks: split a reasoning model's text into thoughts and answer.

Models write their thoughts between two marks, and the answer after them. Each maker has its own marks. This module is
the only one that knows them; engines, checks, methods and the judge use it. It covers the marks of vLLM's reasoning
parsers (vLLM's documentation, "Reasoning Outputs"), in upper and lower case, and a few marks of open data sets.

It does not cover marks that are ordinary words or lines ("thought", "Thinking:"). The exception is Granite's pair of
sentences, if a text begins with the first and holds the second. Tool calls belong to the text around them.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

#: Our own marks. Engines write them around thoughts that a server sends separately.
BEGIN, END = "<think>", "</think>"

#: Names of tags. DeepSeek, Qwen, GLM, Kimi, Olmo, Nemotron, Hunyuan and others use `<think>`.
_NAMES = (
    "think",
    "thinking",
    "thought",
    "reasoning",
    "seed:think",  # Seed-OSS
    "mm:think",  # MiniMax M3
    "longcat_think",
    "ifm|think",  # K2
    "ifm|think_fast",
    "ifm|think_faster",
)
#: Other marks: the first opens the thoughts, the second closes them.
_PAIRS = (
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi-VL
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThoughts
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ("<|plamo:begin_think:plamo|>", "<|plamo:end_think:plamo|>"),  # PLaMo 3
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),  # Kimi K3
    ("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    ("<|content_thinking|>", "<|content_text|>"),  # Inkling
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),  # gpt-oss
)
#: Control tokens between the thoughts and their closing mark, or before an opening mark.
_TURNS = ("<|end|>", "<|start|>assistant", "<|end_message|>", "<|message_model|>")
#: Marks around an answer. They are not part of the answer.
_ANSWER_BEGINS = (
    "<response>",
    "<|begin_of_solution|>",
    "<|START_RESPONSE|>",
    "<|START_TEXT|>",
    "<|open|>response<|sep|>",
)
_ANSWER_ENDS = (
    "</response>",
    "<|end_of_solution|>",
    "<|END_RESPONSE|>",
    "<|END_TEXT|>",
    "<|close|>response<|sep|>",
    "<|close|>message<|sep|>",
)


def _any(marks: Iterable[str]) -> str:
    return "|".join(map(re.escape, marks))


_TAG = rf"(?:{_any(sorted(_NAMES, key=len, reverse=True))})(?::[\w.-]{{1,40}})?>"  # Hunyuan adds ":opensource"
_OPENING = rf"(?:<{_TAG}|{_any(begin for begin, _ in _PAIRS)})"
_FORMAT = r"<\|channel\|>final[ ]{0,3}<\|constrain\|>\w{0,20}<\|message\|>"  # gpt-oss, where a format is asked for
_CLOSING = rf"(?:</{_TAG}|{_any(end for _, end in _PAIRS)}|{_FORMAT})"
_TURN = rf"(?:(?:{_any(_TURNS)})\s{{0,3}})"
_CLOSES = re.compile(rf"({_CLOSING})(?:\s{{0,9}}(?:{_any(_ANSWER_BEGINS)}))?", re.IGNORECASE)
_OPENS = re.compile(_OPENING, re.IGNORECASE)
_OPENED_AT_END = re.compile(rf"({_OPENING})\s{{0,9}}\Z", re.IGNORECASE)
_CLOSED_AT_END = re.compile(rf"{_CLOSING}\s{{0,9}}\Z", re.IGNORECASE)
_TURN_BEFORE = re.compile(rf"{_TURN}{{1,3}}\Z")
#: An opening mark counts only at the start of a line or of a turn. Elsewhere it is only mentioned.
_START_BEFORE = re.compile(rf"\n[ \t]{{0,9}}{_TURN}{{0,3}}\Z|{_TURN}{{1,3}}\Z")
_MARK = re.compile(rf"{_TURN}{{0,3}}(?:{_OPENING}|{_CLOSING})", re.IGNORECASE)
_MARK_OF_ANSWER = re.compile(_any((*_ANSWER_BEGINS, *_ANSWER_ENDS)), re.IGNORECASE)
_TURN_ENDS = ("|>", "</s>", "<eos>")
#: Every mark begins with a character of `_FIRST`, and in lower case it holds one of `_SIGNS`. Most texts hold none.
_FIRST = re.compile(r"[<\[◁]")
_SIGNS = ("think>", "think:", "thinking>", "thought>", "reasoning>", "think_fast", "channel|>", "<|")
#: The parts of a mark that a tokenizer may have as one token.
_TOKEN = re.compile(r"<[^<>]+>|\[[^\[\]]+\]|◁[^◁▷]+▷")
_LONGEST = 80  # characters of a mark with the turn tokens and spaces before it

_GRANITE_OPENS = re.compile(r"\s{0,9}(Here(?:'s| is) my thought process:)", re.IGNORECASE)
_GRANITE_CLOSES = re.compile(r"(Here(?:'s| is) my response:)", re.IGNORECASE)


class Parts(NamedTuple):
    """A text split into thoughts and answer, without the marks."""

    #: None if the text holds no thoughts.
    thoughts: str | None
    #: The whole text, unchanged, if it holds no mark.
    answer: str
    #: Whether the text ends inside thoughts. An answer before them still counts.
    is_cut_off: bool = False


class _Borders(NamedTuple):
    """Start and end of the thoughts, of the answer, and of unfinished thoughts after the answer."""

    thoughts: tuple[int, int]
    answer: tuple[int, int]
    rest: tuple[int, int]
    #: The mark that closes the thoughts, as the text spells it; empty if there is none.
    closing: str


@lru_cache(maxsize=4)  # a method and the extraction of its answer split the same text up to four times
def split(text: str) -> Parts:
    """Split a text at its thinking marks, in linear time.

    Everything up to the last closing mark is thoughts, because some chat templates put the opening mark into the prompt
    and because a model may think several times. If the text ends with unfinished thoughts, the answer is the text
    before them.
    """
    borders = _borders(text)
    if borders is None:
        return Parts(None, text)
    start, end = borders.answer
    thoughts = text[slice(*borders.thoughts)] + text[slice(*borders.rest)]
    answer = without_turn_end(_without(_MARK_OF_ANSWER, text[start:end])).strip()
    return Parts(without_turn_end(_without(_MARK, thoughts)).strip() or None, answer, end < len(text))


def joined(thoughts: str | None, answer: str) -> str:
    """The text of a model from its two parts, with our own marks around its thoughts."""
    return f"{BEGIN}{thoughts}{END}\n{answer}" if thoughts else answer


def answer_of(text: str) -> str:
    """The answer, or the thoughts if the text has nothing else. Empty if these thoughts were cut off."""
    thoughts, answer, is_cut_off = split(text)
    return answer if answer or is_cut_off else thoughts or ""


def without_turn_end(text: str) -> str:
    """The text without up to ten chat-template tokens at its end, such as `<|im_end|>`."""
    for _ in range(10):
        stripped = text.rstrip()
        if not stripped.endswith(_TURN_ENDS):
            break
        text = stripped[: max(stripped.rfind("<"), 0)]
    return text


def length(text: str) -> int:
    """The number of characters of a text that are thoughts, without their marks."""
    borders = _borders(text)
    return sum(end - start for start, end in (borders.thoughts, borders.rest)) if borders else 0


def count_tokens(
    text: str,
    ids: Sequence[int],
    closing: Mapping[str, int],
    decode: Callable[[Sequence[int]], str],
    opened: str = "",
) -> int:
    """The number of an answer's tokens that are thoughts, without their marks.

    `text` is `opened` (the opening mark in the prompt) plus the decoded `ids`. `closing` holds the ids of the closing
    marks that are single tokens. For any other border, a binary search decodes beginnings of `ids` with `decode`.
    """
    borders = _borders(text)
    if borders is None:
        return 0

    def tokens(position: int) -> int:
        return _tokens_before(position - len(opened), ids, decode)

    start, end = borders.thoughts
    count = 0
    if end > start:
        mark = closing.get(borders.closing)
        last = len(ids) - 1 - ids[::-1].index(mark) if mark in ids else tokens(end)
        count = max(0, last - tokens(start))
    start, end = borders.rest
    return count + (len(ids) - tokens(start) if end > start else 0)


def closing_ids(vocabulary: Mapping[str, int]) -> dict[str, int]:
    """The tokens of a vocabulary that are closing marks."""
    return {token: number for token, number in vocabulary.items() if _CLOSES.fullmatch(token)}


def control_tokens(special: Collection[str]) -> frozenset[str]:
    """The special tokens of a tokenizer that spell its marks.

    A decoder that skips these tokens would hide the borders of the thoughts.
    """
    pairs = (*_PAIRS, *((f"<{name}>", f"</{name}>") for name in _NAMES))
    spelt = (_TOKEN.findall("".join(pair)) for pair in pairs)
    marks = {token for tokens in spelt if all(token in special for token in tokens) for token in tokens}
    turns = {token for turn in _TURNS for token in _TOKEN.findall(turn) if token in special}
    return frozenset(marks | turns if marks else marks)


def opened_at_end(prompt: str) -> str:
    """The mark that opens the thoughts at the end of a prompt; empty if there is none."""
    opens = _OPENED_AT_END.search(prompt, max(0, len(prompt) - _LONGEST))
    return opens[1] if opens else ""


def closing_of(opening: str) -> str:
    """The mark that closes thoughts after this opening mark, such as `</think>` after `<think>`."""
    return next((end for begin, end in _PAIRS if begin.lower() == opening.lower()), f"</{opening[1:]}")


def closed_at_end(prompt: str) -> bool:
    """Whether a prompt ends with the mark that closes thoughts, so that the answer follows."""
    return _CLOSED_AT_END.search(prompt, max(0, len(prompt) - _LONGEST)) is not None


def tokens_before_words(ids: Sequence[int], decode: Callable[[Sequence[int]], str], *, thoughts: bool) -> int:
    """The number of first tokens that are marks and line breaks before the thoughts, or before the answer.

    With `thoughts` false the thoughts count too: these tokens are all those before the answer.
    """
    text = decode(ids)
    borders = _borders(text)
    start = 0 if borders is None else (borders.thoughts if thoughts else borders.answer)[0]
    start += len(text) - start - len(text[start:].lstrip("\n"))
    return bisect_right(range(len(ids) + 1), start, key=lambda count: len(decode(ids[:count]))) - 1


def names_marks(template: str) -> bool:
    """Whether a chat template names a thinking mark: its model was trained to think."""
    return bool(_OPENS.search(template) or _CLOSES.search(template))


def _may_hold_marks(text: str) -> bool:
    if "<" not in text and "[" not in text and "◁" not in text:
        return False
    lower = text.lower()
    return ("<" in lower and any(sign in lower for sign in _SIGNS)) or "think]" in lower or "think▷" in lower


def _borders(text: str) -> _Borders | None:
    size = len(text)
    if (granite := _GRANITE_OPENS.match(text)) and (closes := _GRANITE_CLOSES.search(text, granite.end())):
        return _Borders((granite.end(), closes.start()), (closes.end(), size), (size, size), closes[1])
    if not _may_hold_marks(text):
        return None
    starts = [first.start() for first in _FIRST.finditer(text)]
    last = next((mark for start in reversed(starts) if (mark := _CLOSES.match(text, start))), None)
    rest = next(_openings(text, starts, last.end() if last else 0), None)
    if last is None:
        return None if rest is None else _Borders((0, 0), (0, rest[0]), (rest[1], size), "")
    end = _before_turn(text, last.start())
    first = next(_openings(text, starts[:4], 0), None)
    start = first[1] if first and not text[: first[0]].strip() else 0
    return _Borders(
        (min(start, end), end), (last.end(), rest[0] if rest else size), (rest[1] if rest else size, size), last[1]
    )


def _openings(text: str, starts: Iterable[int], closed: int) -> Iterator[tuple[int, int]]:
    """Start and end of each opening mark after `closed`, with the turn tokens before it."""
    for position in starts:
        if position < closed or not (mark := _OPENS.match(text, position)):
            continue
        before = text[max(closed, position - _LONGEST) : position]
        if position - closed < _LONGEST:
            before = f"\n{before.lstrip()}"
        if start := _START_BEFORE.search(before):
            yield max(closed, position - len(start[0])), mark.end()


def _without(marks: re.Pattern[str], text: str) -> str:
    """The text without its marks. It tries only the positions where a mark can begin, which is many times faster."""
    kept, read = [], 0
    for first in _FIRST.finditer(text):
        if first.start() >= read and (mark := marks.match(text, first.start())):
            kept.append(text[read : mark.start()])
            read = mark.end()
    return "".join([*kept, text[read:]])


def _before_turn(text: str, position: int) -> int:
    """The start of the turn tokens that end at `position`, or `position` if there are none."""
    turn = _TURN_BEFORE.search(text, max(0, position - _LONGEST), position)
    return turn.start() if turn else position


def _tokens_before(position: int, ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> int:
    """The number of first tokens that spell the first `position` characters."""
    if position <= 0:
        return 0
    high = 1
    while high < len(ids) and len(decode(ids[:high])) < position:
        high *= 2
    high = min(high, len(ids))
    return high // 2 + bisect_left(range(high // 2, high), position, key=lambda count: len(decode(ids[:count])))
