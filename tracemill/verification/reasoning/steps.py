r"""The steps of a trace, as its text shows them.

The reasoning is what the answer says. Where the answer only states its result, the reasoning is what a reasoning model
thought before it (`tracemill.thinking`). Its steps are, in this order of preference,

1. "Step 3:", "**Step 2**", "### Step 4", where at least two lines begin so; then "1." or "1)"; then "First", "Second";
   then bullets. What follows such a line belongs to it; before the first and after the last, behind an empty line, 2
   to 4 hold;
2. paragraphs, where empty lines separate at least two of them besides the answer;
3. lines;
4. the sentences of a single line.

A fenced code block and a displayed formula are never cut and belong to the step before, a heading or an introduction
("We compute:") to the step after, and the line ``#### 72`` with GSM8K's answer to none.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tracemill import thinking

MAX_STEPS = 2_000  # whatever follows belongs to the last one

_MARKER = re.compile(
    r"""[ ]{0,3}(?:
      (?P<step>(?:\#{1,6}[ ]|[-*•][ ])?(?:\*\*|__)?[Ss][Tt][Ee][Pp][ ]\d{1,3}(?!\d))
    | (?P<number>(?:\*\*)?\(?\d{1,3}[.)](?:\*\*)?[ ])
    | (?P<first>(?:\*\*)?First(?:ly)?\b)
    | (?P<next>(?:\*\*)?(?:Second|Third|Fourth|Fifth|Next|Then|Finally|Lastly)(?:ly)?\b)
    | (?P<bullet>[-*•+][ ])
    )""",
    re.VERBOSE,
)
_ANSWER = re.compile(r"[ ]{0,3}####[ ]{0,9}[^\n]{0,200}\Z")
_STATES = re.compile(
    r"[#*_\s]{0,9}(?:(?:so|thus|therefore|hence)?,? ?(?:the|my)? ?(?:final )?answer\b|\$?\\boxed)", re.IGNORECASE
)
_HEADING = re.compile(r"[ ]{0,3}(?:#{1,6} [^\n=]{1,200}|\*\*[^*\n=]{1,100}(?:\*\*:?|:\*\*)|[^\n\d=]{1,200}:)\s*\Z")
_FORMULA = re.compile(r"\s{0,20}(?:\\\[|\$\$|\\begin\{|[=&≈]|\\\\)")
_BLOCK = re.compile(r"```|\[asy\]|\\\[|\\begin\{|\$\$|\n\s{0,20}(?:[=&≈]|\\\\)")
_DISPLAY = re.compile(r"(?<!\\)\\[\[\]]|\\(?:begin|end)\{|\$\$")
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]*]{0,3}[ \t]{1,9}(?=[A-Z0-9$\\(\"'*<])")
_CALCULATES = re.compile(r"(?:[-+*/×÷·^]|\\(?:times|cdot|d?frac|div)(?![a-z]))[^=≈\n]{0,80}[=≈]")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|st|vs|nos?|eqs?|fig|approx|e\.g|i\.e|etc|resp|cf|[b-hj-wyz])\.|^\s*\(?\d{1,3}\.)$",
    re.IGNORECASE,
)


class Steps(NamedTuple):
    """The steps of a trace, in order, and where they come from."""

    steps: list[str]
    #: Whether they are thoughts: a model tries ideas there and drops them, so no mistake in them counts.
    are_thoughts: bool = False


class AtStep(NamedTuple):
    """Something found in one step: the step's place from 0, and the words that show it."""

    step: int
    text: str


def split(text: str) -> list[str]:
    """The steps of `text`, in order, at most `MAX_STEPS`; none is empty. Takes linear time."""
    return read(text).steps


def read(text: str) -> Steps:
    """The steps of `text`, as `split` gives them, and whether they are thoughts."""
    thoughts, answer, _ = thinking.split(text)
    steps = _split(answer)
    return Steps(steps) if thoughts is None or _reasons(steps) else Steps(_split(thoughts), are_thoughts=True)


def _split(text: str) -> list[str]:
    lines = _lines(text.strip())
    if len(lines) > 1 and _ANSWER.match(lines[-1]):
        lines.pop()
    found = _with_headings(_items(lines))
    if len(found) > MAX_STEPS:
        found[MAX_STEPS - 1 :] = ["\n".join(found[MAX_STEPS - 1 :])]
    return found


def _reasons(steps: Sequence[str]) -> bool:
    """Do the steps of an answer say more than its result: a calculation, or two sentences?"""
    lines = (line for step in steps for line in step.split("\n") if line.strip())
    reasons = [sentence for line in lines for sentence in sentences(line) if not _STATES.match(sentence)]
    return len(reasons) > 1 or any(map(_CALCULATES.search, reasons))


def _lines(text: str) -> list[str]:
    """The lines; a code block or a displayed formula counts as one with the line before it."""
    lines = text.split("\n")
    if not _BLOCK.search(text):
        return [line.rstrip() for line in lines]
    found: list[list[str]] = []
    fenced, opened, dollars = False, 0, False
    for line in lines:
        joins = fenced or ((opened > 0 or dollars) and bool(line.strip())) or bool(_FORMULA.match(line))
        if not line.strip():
            opened, dollars = 0, False  # no formula holds an empty line
        if "[asy]" in line or "[/asy]" in line:
            joins, fenced = True, line.rfind("[asy]") > line.rfind("[/asy]")
        elif line.count("```") % 2:
            joins, fenced = True, not fenced
        elif not fenced:
            for mark in _DISPLAY.findall(line):
                dollars ^= mark == "$$"
                opened = max(0, opened + (1 if mark in ("\\[", "\\begin{") else -1 if mark != "$$" else 0))
        if joins and found:
            while len(found) > 1 and not found[-1][0].strip():
                found.pop()
            found[-1].append(line.rstrip())
        else:
            found.append([line.rstrip()])
    return ["\n".join(block) for block in found]


def _items(lines: Sequence[str]) -> list[str]:
    marks: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        if match := _MARKER.match(line):
            marks.setdefault(str(match.lastgroup), []).append(place)
    if "first" in marks and "next" in marks:
        marks["ordinal"] = sorted(marks["first"][:1] + [place for place in marks["next"] if place > marks["first"][0]])
    kind = next((name for name in ("step", "number", "ordinal", "bullet") if len(marks.get(name, ())) > 1), None)
    if kind is None:
        return _prose(lines)
    starts = marks[kind]
    end = starts[-1] + 1
    begun = not _heads(lines[starts[-1]]) and (kind != "step" or "=" in lines[starts[-1]])
    while end < len(lines):
        apart = not lines[end - 1] and lines[end] and not lines[end].startswith((" ", "\t"))
        if apart and (begun or _STATES.match(lines[end])):
            break
        begun = begun or bool(lines[end])
        end += 1
    items = ("\n".join(lines[start:stop]) for start, stop in zip(starts, [*starts[1:], end], strict=True))
    return [*_prose(lines[: starts[0]]), *(item.strip() for item in items), *_prose(lines[end:])]


def _prose(lines: Sequence[str]) -> list[str]:
    """Paragraphs, lines or sentences."""
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line:
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    found = ["\n".join(paragraph).strip() for paragraph in paragraphs if paragraph]
    if sum(not _STATES.match(paragraph) and not _heads(paragraph) for paragraph in found) > 1:
        return found
    found = [line.strip() for line in lines if line]
    return list(sentences(found[0])) if len(found) == 1 and "\n" not in found[0] else found


def _heads(text: str) -> bool:
    return (text[-1:] in (":", "*") or text[:1] == "#") and bool(_HEADING.match(text))


def sentences(line: str) -> Iterator[str]:
    """The sentences of one line, in order. Takes linear time."""
    start = 0
    for match in _SENTENCE.finditer(line):
        if not _ABBREVIATION.search(line[max(start, match.start() - 12) : match.start()]):
            yield line[start : match.end()].strip()
            start = match.end()
    yield line[start:].strip()


def _with_headings(steps: list[str]) -> list[str]:
    """Each heading together with what it stands above."""
    found: list[str] = []
    above = ""
    for step in steps:
        step = f"{above}\n{step}" if above else step
        above = step if _heads(step.rpartition("\n")[2]) and len(step) < 1_000 else ""
        if not above:
            found.append(step)
    return [*found, above] if above else found
