r"""Extract the final answer of a trace.

Three forms are *strict*, because the trace says that this is its answer:

- ``\boxed{X}``;
- "The answer is X", also "Final answer: X", a heading "Final answer" with X under it, and ``<answer>X</answer>``;
- ``#### X``, as in GSM8K.

If several occur, the last one in the text counts. Neighbouring boxes ("\boxed{1} or \boxed{2}") are one answer with two
values. Without a strict form, the last sentence with a value is a *lenient* guess (`sentence_answers`). Thoughts
(`tracemill.thinking`) are searched only if they are complete and no answer follows them.

A value keeps its units, its percent and money signs, and every sign of a second answer ("5 or 6"). Whether these matter
depends on the gold answer, so `compare.compare` decides. Markdown, ``$…$`` around a value and a final dot are removed.
"""

import re
from dataclasses import dataclass
from typing import Literal

from tracemill import thinking
from tracemill.verification.answers import other_languages, sentence_answers, stated_answers
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.answers.normalize import MAX_VALUE_LENGTH, tidy
from tracemill.verification.answers.rows import grid_at_end

Form = Literal["boxed", "stated", "hashes", "equation", "last number", "last line"]
STRICT_FORMS: frozenset[Form] = frozenset({"boxed", "stated", "hashes"})

TAIL = 100_000  # characters read: an answer is near the end, and hostile text must not cost much time
LENIENT_TAIL = 10_000  # characters read for a lenient guess

_CALCULATOR_MARK = re.compile(r"<<[^<>\n]{0,200}>>")
_BOX = re.compile(r"(?:\\(?:boxed|fbox|framebox)|\x08oxed|(?<![\w\\])boxed)[ \t]{0,3}(?:(\{)|(-?\d[\d.,]{0,30}))")
_BRACE = re.compile(r"(?<!\\)[{}]")
_DENIED_BEFORE = re.compile(r"(?:\bnot|n't|\bnever)(?: be| equal to)?[\s$*(\\]{1,5}$")
_DENIED_AFTER = re.compile(
    r"[\s$*)\\.]{0,4}(?:is|was) (?:not (?:the|right|correct)|wrong|incorrect)\b|[\s$*)\\]{0,4}(?:isn't|wasn't)\b"
)
_RAISED = re.compile(r"\^(?:\{[^{}]{1,12}\}|\\circ|\w)|!")
_BETWEEN_BOXES = re.compile(
    r"[ \t$]{0,4}(?:\\[,;! ]|\\q?quad){0,2}[ \t$]{0,4}$"  # side by side
    r"|[\s$.)\]\\]{0,6}(?:\\q?quad|\\text\s?\{)?\s{0,3}(,|;|or|and|&|\\text\{\s?(?:or|and)\s?\}|,\s?(?:and|or))\s?\}?"
    r"(?:[\s$(\[\\]|\\q?quad){0,8}(?:[A-Za-z]\w{0,2}\s?=\s?)?[\s$(\[\\]{0,4}$"
)
_VERB = (
    r"(?:\*\*|__|</\w{1,9}>)?(?:[ \t](?:choice|option|key|here))?"
    r"(?:[ \t](?:to|for|of|in)\b[^\n.:=]{0,120}?(?=[ \t](?:is|are|was)\b))?(?:,[ \t][a-z]{2,12},)?[ \t]{0,3}"
    r"(?:\b(?:is|are|was|equals?|becomes|(?:would|will|must|should|has to)[ ](?:[a-z]{4,9}[ ])?be|comes out "
    r"(?:to be|to|as)"
    r"|turns out to be|works out to(?: be)?)\b"
    r"(?:[ \t]{0,3}(?:\*\*|__)?:)?|[:=：→是为]|[-=]>|[-–—](?=[ \t]))(?:\*\*|__)?"
)
_STATEMENTS = tuple(
    (
        word,
        re.compile(f"{pattern}{_VERB}"),
        re.compile(rf"{pattern}[ \t]?:?(?:\*\*|__)?:?[ \t]{{0,9}}\r?$", re.MULTILINE),
    )
    for word, pattern in (
        ("nswer", "nswers?"),
        ("NSWER", "NSWERS?"),
        ("inal ", "inal (?:result|value|solution|output)"),
        ("答案", "答案"),
    )
)
_BARE_NUMBER = re.compile(r"[ \t]{0,3}(-?[0-9]{1,15})(?:\.?[ \t]{0,3}$|\.?[ \t]{0,3}(?=\n))")
_BEFORE_HEADING = re.compile(
    r"[ \t]{0,3}(?:#{1,6}[ \t]{0,3}|\*\*|__|>[ \t]|\d{1,2}\.[ \t]){0,3}(?:(?:the|my|your)[ ])?(?:(?:final|"
    r"correct)[ ])?[af]$",
    re.IGNORECASE,
)
_HASHES = re.compile(r"####[ \t]{0,9}(\S[^\n]{0,300})$", re.MULTILINE)
_HASHED_VALUE = re.compile(
    r"(?!\d+\.[ \t])[-+−$€£\\*]{0,5}(?:\.?\d[\d.,/]{0,60}|\\[dt]?frac\{[^{}]{1,30}\}\{[^{}]{1,30}\}) ?\\?%?(?: "
    r"[A-Za-z]{1,20}){0,3}"
    r"[.*]{0,3}$"
)
#: Only a plain value after a box replaces the box: "we can check our answer: 17·44 = 748" does not.
_PLAIN_VALUE = re.compile(r"[^\n=]{0,40}[\d\\][^\n=]{0,60}$|\(?[A-J]\)?$|(?:yes|no|true|false)\b", re.IGNORECASE)


_ANNOUNCED = re.compile(r"\b(?:answer|solution|result)\b[^\n:]{0,60}?(?:\bis\b|:)[:*\s]*", re.IGNORECASE)

# A model that was not stopped writes another question, or another turn of the dialogue.
_RUN_ON = re.compile(
    r"\n[ \t]{0,3}(?:Question|Q|Human|User|Problem|Frage|Pregunta|Domanda|Вопрос|问题|題目|题目|問題|질문)[ \t]{0,2}"
    r"\d{0,3}[:：]"
)


@dataclass(frozen=True)
class Answer:
    """An extracted answer: its text, and the form in which the trace gives it."""

    value: str
    form: Form


def extract(text: str, kind: Kind = "number") -> Answer | None:
    """Return the last answer in `text`; None if there is none. Takes linear time.

    If another question follows an answer in a strict form, the text ends before that question.
    """
    tail = _answer_text(text)
    if run_on := _RUN_ON.search(tail):
        answer = extract(tail[: run_on.start()], kind)
        if answer is not None and answer.form in STRICT_FORMS:
            return answer
    if "<<" in tail:
        tail = _CALCULATOR_MARK.sub("", tail)
    if kind == "code":
        return _last_code_block(tail)
    candidates = [
        candidate
        for candidate in (_boxed(tail), _stated(tail, kind), _tagged(tail, kind), _hashes(tail))
        if candidate is not None
    ]
    if candidates:
        latest = max(candidates, key=lambda candidate: candidate[0])
        latest_box = next((candidate for candidate in candidates if candidate[1].form == "boxed"), latest)
        return latest[1] if _PLAIN_VALUE.match(latest[1].value) else latest_box[1]
    if not tail.isascii() and (statement := other_languages.stated(tail, kind)) is not None:
        return Answer(statement[1], "stated")
    if kind not in ("choice", "boolean") and (grid := grid_at_end(tail[-MAX_VALUE_LENGTH:])):
        return Answer(grid, "last line")
    lenient = sentence_answers.last(tail[-LENIENT_TAIL:], kind)
    return Answer(*lenient) if lenient else None


def readings(text: str, answer: Answer | None) -> list[str]:
    """Return the texts that a scorer may read as the answer, which can have many lines.

    It is the content of the tag `<answer>`. Otherwise these are the answer as extracted, everything after its
    announcement, the last block of code, and the whole text.
    """
    tail = _answer_text(text).strip()
    end = tail.rfind("</answer>")
    start = tail.rfind("<answer>", 0, end) if end > 0 else -1
    if start >= 0:
        return [tail[start + len("<answer>") : end].strip()]
    values = [answer.value, tail] if answer else [tail]
    if announced := list(_ANNOUNCED.finditer(tail)):
        rest = tail[announced[-1].end() :]
        values += [rest, rest.removesuffix("."), rest.removesuffix("**")]
    if tail.endswith("```") and (block := _last_code_block(tail)):
        values.append(block.value)
    return values


def _answer_text(text: str) -> str:
    """Return the last `TAIL` characters of the answer.

    Complete thoughts are the answer if nothing follows them.
    """
    text = thinking.answer_of(text)
    if "</" in text or "|>" in text:
        text = thinking.without_turn_end(text)
    return text[-TAIL:]


def _boxed(tail: str) -> tuple[int, Answer] | None:
    if "oxed" not in tail and "box" not in tail:
        return None
    boxes: list[tuple[int, int, str]] = []
    for match in reversed(list(_BOX.finditer(tail))[-20:]):
        end = _closing_brace(tail, match.end()) if match[1] else match.end()
        value = tidy(tail[match.end() : end] if match[1] else match[2]) if end is not None else ""
        if not value or end is None:
            continue
        if exponent := _RAISED.match(tail[end + 1 : end + 20]):
            value += exponent[0]
        before, after = tail[max(0, match.start() - 24) : match.start()], tail[end + 1 : end + 40]
        if _DENIED_BEFORE.search(before) or _DENIED_AFTER.match(after):
            value = f"not {value}"
        if boxes and not (end < boxes[-1][0] <= end + 80 and _BETWEEN_BOXES.match(tail[end + 1 : boxes[-1][0]])):
            break
        boxes.append((match.start(), end, value))
    if not boxes:
        return None
    values = list(dict.fromkeys(value for _, _, value in reversed(boxes)))
    separator = " or " if len(boxes) > 1 and re.search(r"\bor\b", tail[boxes[-1][1] : boxes[0][0]]) else ", "
    return boxes[0][0], Answer(separator.join(values), "boxed")


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for brace in _BRACE.finditer(text, start, start + MAX_VALUE_LENGTH):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    return None


def _stated(tail: str, kind: Kind) -> tuple[int, Answer] | None:
    starts: set[int] = set()
    for word, statement, heading in _STATEMENTS:
        if word not in tail:
            continue
        starts.update(match.end() for match in list(statement.finditer(tail))[-50:])
        for match in list(heading.finditer(tail))[-50:]:
            line_start = tail.rfind("\n", max(0, match.start() - 60), match.start()) + 1
            if match.start() - line_start <= 60 and _BEFORE_HEADING.match(tail[line_start : match.start()]):
                starts.add(match.end())
    for start in sorted(starts, reverse=True)[:50]:
        if number := _BARE_NUMBER.match(tail, start):
            return start, Answer(number[1], "stated")
        if grid := grid_at_end(tail[start : start + MAX_VALUE_LENGTH]):
            return start, Answer(grid, "stated")
        if value := stated_answers.stated(tail[start : start + MAX_VALUE_LENGTH], kind):
            return start, Answer(value, "stated")
    return None


def _tagged(tail: str, kind: Kind) -> tuple[int, Answer] | None:
    for tag in ("answer", "Answer", "ANSWER", "final_answer", "final", "FINAL"):
        end = tail.rfind(f"</{tag}>")
        start = tail.rfind(f"<{tag}>", max(0, end - MAX_VALUE_LENGTH), end) if end > 0 else -1
        if start >= 0:
            content = tail[start + len(tag) + 2 : end].strip()
            nested = _boxed(content) or _stated(content, kind)
            if nested is None and (grid := grid_at_end(content)):
                return end, Answer(grid, "stated")
            value = nested[1].value if nested else stated_answers.stated(content, kind) or tidy(content)
            if value:
                return end, Answer(value, "stated")
    return None


def _hashes(tail: str) -> tuple[int, Answer] | None:
    # "#### Step 2" is a Markdown heading. A value is a number, or it ends the text.
    if "####" not in tail:
        return None
    for match in reversed(list(_HASHES.finditer(tail))[-50:]):
        value = match[1].strip().strip("#").strip()
        if _HASHED_VALUE.match(value) or not tail[match.end() :].strip():
            value = tidy(value)
            if any(char.isalnum() for char in value) and not value.lower().endswith("answer"):
                return match.start(), Answer(value, "hashes")
    return None


def _last_code_block(tail: str) -> Answer | None:
    end = tail.rfind("```")
    start = tail.rfind("```", 0, end) if end > 0 else -1
    program = tail[start + 3 : end].partition("\n")[2].strip() if start >= 0 else ""
    return Answer(program, "stated") if program else None
