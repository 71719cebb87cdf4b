"""Thinking marks: where a reasoning model's thoughts end and its answer begins.

Models write their thoughts between marks of their maker, and the answer after them. This module is the only one that
knows the marks; engines, checks, methods and the judge ask it. It covers the marks that vLLM's reasoning parsers know
(vLLM's documentation, "Reasoning Outputs"), in any case, and a few that open data sets use.

It does not cover marks that are ordinary words or lines ("thought", "Thinking:"), with one exception: Granite's two
sentences, where a text begins with the first and holds the second. Tool calls are part of what surrounds them.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

#: The marks that engines write around thoughts that a server sends apart, or that a chat template opens in the prompt.
BEGIN, END = "<think>", "</think>"

#: Names of tags: `<think>` is DeepSeek's, Qwen's, GLM's, Kimi's, Olmo's, Nemotron's, Hunyuan's and others'.
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
#: Control tokens that stand between the thoughts and the mark that closes them, or before one that opens them.
_TURNS = ("<|end|>", "<|start|>assistant", "<|end_message|>", "<|message_model|>")
#: Marks around an answer, which are no part of it.
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
_TURN_BEFORE = re.compile(rf"{_TURN}{{1,3}}\Z")
#: What stands before an opening mark that is no mention of one: the start of a line or of a turn.
_START_BEFORE = re.compile(rf"\n[ \t]{{0,9}}{_TURN}{{0,3}}\Z|{_TURN}{{1,3}}\Z")
_MARK = re.compile(rf"{_TURN}{{0,3}}(?:{_OPENING}|{_CLOSING})", re.IGNORECASE)
_MARK_OF_ANSWER = re.compile(_any((*_ANSWER_BEGINS, *_ANSWER_ENDS)), re.IGNORECASE)
_TURN_ENDS = ("|>", "</s>", "<eos>")
#: Every mark begins with one of these, and holds one of those, in small letters: most texts hold none.
_FIRST = re.compile(r"[<\[◁]")
_SIGNS = ("think>", "think:", "thinking>", "thought>", "reasoning>", "think_fast", "channel|>", "<|")
#: The parts of a mark that a tokenizer may have as one token.
_TOKEN = re.compile(r"<[^<>]+>|\[[^\[\]]+\]|◁[^◁▷]+▷")
_LONGEST = 80  # characters of a mark, and of the turn tokens and the space before it

_GRANITE_OPENS = re.compile(r"\s{0,9}(Here(?:'s| is) my thought process:)", re.IGNORECASE)
_GRANITE_CLOSES = re.compile(r"(Here(?:'s| is) my response:)", re.IGNORECASE)


class Parts(NamedTuple):
    """A text split into thoughts and answer, without the marks."""

    #: None: there are none.
    thoughts: str | None
    #: The whole text, unchanged, where it holds no mark.
    answer: str
    #: Whether the text ends amid thoughts. An answer that stands before them was given all the same.
    is_cut_off: bool = False


class _Borders(NamedTuple):
    """Where the thoughts before the answer, the answer, and the thoughts that break off after it begin and end."""

    thoughts: tuple[int, int]
    answer: tuple[int, int]
    rest: tuple[int, int]
    #: The mark that closes the thoughts, as the text spells it; empty: none does.
    closing: str


def split(text: str) -> Parts:
    """Split a text at its thinking marks. Takes linear time.

    Everything up to the last closing mark is thought: some chat templates put the opening mark into the prompt, and a
    model may think several times. Thoughts that break off end the text: what stands before them is the answer.
    """
    borders = _borders(text)
    if borders is None:
        return Parts(None, text)
    start, end = borders.answer
    thoughts = text[slice(*borders.thoughts)] + text[slice(*borders.rest)]
    answer = without_turn_end(_without(_MARK_OF_ANSWER, text[start:end])).strip()
    return Parts(without_turn_end(_without(_MARK, thoughts)).strip() or None, answer, end < len(text))


def answer_of(text: str) -> str:
    """The answer; of a text that is nothing but complete thoughts these thoughts. Empty where they were cut off."""
    thoughts, answer, is_cut_off = split(text)
    return answer if answer or is_cut_off else thoughts or ""


def without_turn_end(text: str) -> str:
    """The text without the tokens of a chat template at its end, such as `<|im_end|>`, at most ten."""
    for _ in range(10):
        stripped = text.rstrip()
        if not stripped.endswith(_TURN_ENDS):
            break
        text = stripped[: max(stripped.rfind("<"), 0)]
    return text


def length(text: str) -> int:
    """How many characters of a text are thoughts, the marks around them not counted."""
    borders = _borders(text)
    return sum(end - start for start, end in (borders.thoughts, borders.rest)) if borders else 0


def count_tokens(
    text: str,
    ids: Sequence[int],
    closing: Mapping[str, int],
    decode: Callable[[Sequence[int]], str],
    opened: str = "",
) -> int:
    """How many of an answer's tokens are thoughts, the marks around them not counted.

    `text`: `opened`, which the prompt holds, and what `ids` decode to. `closing`: the ids of the closing marks that
    are single tokens. Any other border is looked for in the text of ever longer beginnings (`decode`).
    """
    borders = _borders(text)
    if borders is None:
        return 0

    def tokens(place: int) -> int:
        return _tokens_before(place - len(opened), ids, decode)

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
    """Those of a tokenizer's special tokens that spell its marks: a decoder that skips them hides the thoughts."""
    pairs = (*_PAIRS, *((f"<{name}>", f"</{name}>") for name in _NAMES))
    spelt = (_TOKEN.findall("".join(pair)) for pair in pairs)
    marks = {token for tokens in spelt if all(token in special for token in tokens) for token in tokens}
    turns = {token for turn in _TURNS for token in _TOKEN.findall(turn) if token in special}
    return frozenset(marks | turns if marks else marks)


def opened_at_end(prompt: str) -> str:
    """The mark that opens the thoughts at the end of a prompt; empty: none does."""
    opens = _OPENED_AT_END.search(prompt, max(0, len(prompt) - _LONGEST))
    return opens[1] if opens else ""


def _may_hold_marks(text: str) -> bool:
    if "<" not in text and "[" not in text and "◁" not in text:
        return False
    small = text.lower()
    return ("<" in small and any(sign in small for sign in _SIGNS)) or "think]" in small or "think▷" in small


def _borders(text: str) -> _Borders | None:
    size = len(text)
    if (granite := _GRANITE_OPENS.match(text)) and (closes := _GRANITE_CLOSES.search(text, granite.end())):
        return _Borders((granite.end(), closes.start()), (closes.end(), size), (size, size), closes[1])
    if not _may_hold_marks(text):
        return None
    places = [first.start() for first in _FIRST.finditer(text)]
    last = next((mark for place in reversed(places) if (mark := _CLOSES.match(text, place))), None)
    rest = next(_openings(text, places, last.end() if last else 0), None)
    if last is None:
        return None if rest is None else _Borders((0, 0), (0, rest[0]), (rest[1], size), "")
    end = _before_turn(text, last.start())
    first = next(_openings(text, places[:4], 0), None)
    start = first[1] if first and not text[: first[0]].strip() else 0
    return _Borders(
        (min(start, end), end), (last.end(), rest[0] if rest else size), (rest[1] if rest else size, size), last[1]
    )


def _openings(text: str, places: Iterable[int], closed: int) -> Iterator[tuple[int, int]]:
    """Where marks that open thoughts begin, with the turn tokens before them, and end."""
    for place in places:
        if place < closed or not (mark := _OPENS.match(text, place)):
            continue
        before = text[max(closed, place - _LONGEST) : place]
        if place - closed < _LONGEST:
            before = f"\n{before.lstrip()}"
        if start := _START_BEFORE.search(before):
            yield max(closed, place - len(start[0])), mark.end()


def _without(marks: re.Pattern[str], text: str) -> str:
    """The text without its marks; they are looked for only where one can begin, which is many times as fast."""
    kept, read = [], 0
    for first in _FIRST.finditer(text):
        if first.start() >= read and (mark := marks.match(text, first.start())):
            kept.append(text[read : mark.start()])
            read = mark.end()
    return "".join([*kept, text[read:]])


def _before_turn(text: str, place: int) -> int:
    """Where the turn tokens before `place` begin."""
    turn = _TURN_BEFORE.search(text, max(0, place - _LONGEST), place)
    return turn.start() if turn else place


def _tokens_before(place: int, ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> int:
    """How many of the first tokens spell the first `place` characters."""
    if place <= 0:
        return 0
    high = 1
    while high < len(ids) and len(decode(ids[:high])) < place:
        high *= 2
    high = min(high, len(ids))
    return high // 2 + bisect_left(range(high // 2, high), place, key=lambda count: len(decode(ids[:count])))
