r"""What did the trace answer? The text is read from its end: the last word counts.

Three forms are *strict*, the trace said that this is its answer: ``\boxed{X}``, "The answer is X" (also "Final answer:
X", a heading "Final answer" with X under it, ``<answer>X</answer>``) and GSM8K's ``#### X``. If several occur, the last
one in the text counts; two boxes in one breath ("\boxed{1} or \boxed{2}") are one answer of two. Failing these, the
last sentence that holds a value is a *lenient* guess (`sentence_answers`). Thoughts (`tracemill.thinking`) are searched only
where they are complete and no answer follows them.

A value keeps its units, its percent and money signs and everything that makes it two answers ("5 or 6"): whether these
matter depends on the gold answer, so `correctness.compare` decides. Markdown, ``$…$`` around it and a dot after it go.
"""

import re
from dataclasses import dataclass
from typing import Literal

from tracemill import thinking
from tracemill.verification.answers import sentence_answers
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.answers.normalize import VALUE, tidy

Form = Literal["boxed", "stated", "hashes", "equation", "last number", "last line"]
STRICT_FORMS: frozenset[Form] = frozenset({"boxed", "stated", "hashes"})

TAIL = 100_000  # characters: an answer lies near the end, and every search below stays short on hostile text
LENIENT = 10_000

_MARK = re.compile(r"<<[^<>\n]{0,200}>>")
_BOX = re.compile(r"(?:\\(?:boxed|fbox|framebox)|\x08oxed|(?<![\w\\])boxed)[ \t]{0,3}(?:(\{)|(-?\d[\d.,]{0,30}))")
_DENIED_BEFORE = re.compile(r"(?:\bnot|n't|\bnever)(?: be| equal to)?[\s$*(\\]{1,5}$")
_DENIED_AFTER = re.compile(
    r"[\s$*)\\.]{0,4}(?:is|was) (?:not (?:the|right|correct)|wrong|incorrect)\b|[\s$*)\\]{0,4}(?:isn't|wasn't)\b"
)
_RAISED = re.compile(r"\^(?:\{[^{}]{1,12}\}|\\circ|\w)|!")
_BETWEEN_BOXES = re.compile(
    r"[\s$.)\]\\]{0,6}(?:\\q?quad|\\text\s?\{)?\s{0,3}(,|;|or|and|&|\\text\{\s?(?:or|and)\s?\}|,\s?(?:and|or))\s?\}?"
    r"(?:[\s$(\[\\]|\\q?quad){0,8}(?:[A-Za-z]\w{0,2}\s?=\s?)?[\s$(\[\\]{0,4}$"
)
_IS = (
    r"(?:\*\*|__|</\w{1,9}>)?(?:[ \t](?:choice|option|key|here))?"
    r"(?:[ \t](?:to|for|of|in)\b[^\n.:=]{0,120}?(?=[ \t](?:is|are|was)\b))?(?:,[ \t][a-z]{2,12},)?[ \t]{0,3}"
    r"(?:\b(?:is|are|was|equals?|becomes|(?:would|will|must|should|has to)[ ](?:[a-z]{4,9}[ ])?be|comes out "
    r"(?:to be|to|as)"
    r"|turns out to be|works out to(?: be)?)\b"
    r"(?:[ \t]{0,3}(?:\*\*|__)?:)?|[:=：→是为]|[-=]>|[-–—](?=[ \t]))(?:\*\*|__)?"
)
_WORDS = tuple(
    (word, re.compile(f"{pattern}{_IS}"), re.compile(rf"{pattern}[ \t]?:?(?:\*\*|__)?:?[ \t]{{0,9}}\r?$", re.MULTILINE))
    for word, pattern in (
        ("nswer", "nswers?"),
        ("NSWER", "NSWERS?"),
        ("inal ", "inal (?:result|value|solution|output)"),
        ("答案", "答案"),
    )
)
_NOTHING_BUT_A_NUMBER = re.compile(r"[ \t]{0,3}(-?[0-9]{1,15})(?:\.?[ \t]{0,3}$|\.?[ \t]{0,3}(?=\n))")
_BEFORE_HEADING = re.compile(
    r"[ \t]{0,3}(?:#{1,6}[ \t]{0,3}|\*\*|__|>[ \t]|\d{1,2}\.[ \t]){0,3}(?:(?:the|my|your)[ ])?(?:(?:final|"
    r"correct)[ ])?[af]$",
    re.IGNORECASE,
)
_HASHES = re.compile(r"####[ \t]{0,9}(\S[^\n]{0,300})$", re.MULTILINE)
_HASHED = re.compile(
    r"(?!\d+\.[ \t])[-+−$€£\\*]{0,5}(?:\.?\d[\d.,/]{0,60}|\\[dt]?frac\{[^{}]{1,30}\}\{[^{}]{1,30}\}) ?\\?%?(?: "
    r"[A-Za-z]{1,20}){0,3}"
    r"[.*]{0,3}$"
)
#: After a box only a plain value counts as a newer answer: "we can check our answer: 17·44 = 748" does not.
_CLEAN = re.compile(r"[^\n=]{0,40}[\d\\][^\n=]{0,60}$|\(?[A-J]\)?$|(?:yes|no|true|false)\b", re.IGNORECASE)


# A model that was not stopped goes on with a question, or a turn, of its own.
_RUN_ON = re.compile(r"\n[ \t]{0,3}(?:Question|Q|Human|User)[ \t]{0,2}\d{0,3}:")


@dataclass(frozen=True)
class Answer:
    """One extracted answer: its text, and the form in which it was given."""

    value: str
    form: Form


def extract(text: str, kind: Kind = "number") -> Answer | None:
    """The last answer that `text` gives; None if it gives none. Takes linear time.

    Where an answer was given in a strict form and another question follows, the text is over.
    """
    tail = _said(text)
    if run_on := _RUN_ON.search(tail):
        own = extract(tail[: run_on.start()], kind)
        if own is not None and own.form in STRICT_FORMS:
            return own
    if "<<" in tail:
        tail = _MARK.sub("", tail)
    if kind == "code":
        return _program(tail)
    found = [hit for hit in (_boxed(tail), _stated(tail), _tagged(tail), _hashes(tail)) if hit is not None]
    if found:
        best = max(found, key=lambda hit: hit[0])
        boxed = next((hit for hit in found if hit[1].form == "boxed"), best)
        return best[1] if _CLEAN.match(best[1].value) else boxed[1]
    lenient = sentence_answers.last(tail[-LENIENT:], kind)
    return Answer(*lenient) if lenient else None


def _said(text: str) -> str:
    """The last `TAIL` characters of the answer, or of complete thoughts that no answer follows."""
    text = thinking.answer_of(text)
    if "</" in text or "|>" in text:
        text = thinking.without_turn_end(text)
    return text[-TAIL:]


def _boxed(tail: str) -> tuple[int, Answer] | None:
    if "oxed" not in tail and "box" not in tail:
        return None
    found: list[tuple[int, int, str]] = []
    for match in reversed(list(_BOX.finditer(tail))[-20:]):
        end = _closing_brace(tail, match.end()) if match[1] else match.end()
        value = tidy(tail[match.end() : end] if match[1] else match[2]) if end is not None else ""
        if not value or end is None:
            continue
        if power := _RAISED.match(tail[end + 1 : end + 20]):
            value += power[0]
        before, after = tail[max(0, match.start() - 24) : match.start()], tail[end + 1 : end + 40]
        if _DENIED_BEFORE.search(before) or _DENIED_AFTER.match(after):
            value = f"not {value}"
        if found and not _BETWEEN_BOXES.match(tail[end + 1 : found[-1][0]][:80] if found[-1][0] - end < 80 else "x"):
            break
        found.append((match.start(), end, value))
    if not found:
        return None
    values = [value for _, _, value in reversed(found)]
    joint = " or " if len(found) > 1 and re.search(r"\bor\b", tail[found[-1][1] : found[0][0]]) else ", "
    return found[0][0], Answer(joint.join(values), "boxed")


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for place in range(start, min(len(text), start + VALUE)):
        if text[place] == "{" and text[place - 1] != "\\":
            depth += 1
        elif text[place] == "}" and text[place - 1] != "\\":
            depth -= 1
            if depth == 0:
                return place
    return None


def _stated(tail: str) -> tuple[int, Answer] | None:
    starts: set[int] = set()
    for word, statement, heading in _WORDS:
        if word not in tail:
            continue
        starts.update(match.end() for match in list(statement.finditer(tail))[-50:])
        for match in list(heading.finditer(tail))[-50:]:
            line = tail.rfind("\n", max(0, match.start() - 60), match.start()) + 1
            if match.start() - line <= 60 and _BEFORE_HEADING.match(tail[line : match.start()]):
                starts.add(match.end())
    for start in sorted(starts, reverse=True)[:50]:
        if number := _NOTHING_BUT_A_NUMBER.match(tail, start):
            return start, Answer(number[1], "stated")
        if value := sentence_answers.stated(tail[start : start + VALUE]):
            return start, Answer(value, "stated")
    return None


def _tagged(tail: str) -> tuple[int, Answer] | None:
    for tag in ("answer", "Answer", "final_answer"):
        end = tail.rfind(f"</{tag}>")
        start = tail.rfind(f"<{tag}>", max(0, end - VALUE), end) if end > 0 else -1
        if start >= 0:
            content = tail[start + len(tag) + 2 : end].strip()
            inner = _boxed(content) or _stated(content)
            value = inner[1].value if inner else sentence_answers.stated(content) or tidy(content)
            if value:
                return end, Answer(value, "stated")
    return None


def _hashes(tail: str) -> tuple[int, Answer] | None:
    # "#### Step 2" is a markdown heading: a value is a number, or the last line of the text.
    if "####" not in tail:
        return None
    for match in reversed(list(_HASHES.finditer(tail))[-50:]):
        value = match[1].strip().strip("#").strip()
        if _HASHED.match(value) or not tail[match.end() :].strip():
            value = tidy(value)
            if any(char.isalnum() for char in value) and not value.lower().endswith("answer"):
                return match.start(), Answer(value, "hashes")
    return None


def _program(tail: str) -> Answer | None:
    end = tail.rfind("```")
    start = tail.rfind("```", 0, end) if end > 0 else -1
    program = tail[start + 3 : end].partition("\n")[2].strip() if start >= 0 else ""
    return Answer(program, "stated") if program else None
