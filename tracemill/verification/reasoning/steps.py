r"""Split the reasoning of a trace into steps.

The reasoning is the answer. If the answer states only its result, the reasoning is the model's thoughts before it
(`tracemill.thinking`). The first of these rules that fits gives the steps:

1. At least two lines start with a marker: "Step 3:", "**Step 2**", "### Step 4"; or "1." or "1)"; or "First",
   "Second"; or a bullet. The kinds are tried in this order. The lines after a marker belong to its step. Text
   before the first marker follows rules 2 to 4, and so does text after the last step and an empty line.
2. Empty lines separate at least two paragraphs besides the answer: each paragraph is a step.
3. There are several lines: each line is a step.
4. There is one line: each sentence is a step.

Code blocks and displayed formulas are never cut; they belong to the step before. A heading or an introduction ("We
compute:") belongs to the step after. The line ``#### 72`` with the answer of GSM8K belongs to no step.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tracemill import thinking

MAX_FINDINGS = 20  # of each sort that are kept for one trace
MAX_STEPS = 2_000  # the last step holds all text after it

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
_STATES_ANSWER = re.compile(
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
    """The steps of a trace, in order, and their origin."""

    steps: list[str]
    #: Whether they are thoughts. A model tries ideas there and rejects some, so mistakes in them do not count.
    are_thoughts: bool = False
    #: If they are thoughts: the steps of the answer after them.
    after_thoughts: Sequence[str] = ()


class AtStep(NamedTuple):
    """A finding in one step: the index of the step, from 0, and a quotation."""

    step: int
    text: str


def split(text: str) -> list[str]:
    """Return the steps of `text` in order, at most `MAX_STEPS`.

    No step is empty. Takes linear time.
    """
    return read(text).steps


def read(text: str) -> Steps:
    """Return the steps of `text`, and whether they are thoughts."""
    thoughts, answer, _ = thinking.split(text)
    steps = _split(answer)
    return Steps(steps) if thoughts is None or _has_reasoning(steps) else Steps(_split(thoughts), True, steps)


def _split(text: str) -> list[str]:
    lines = _lines(text.strip())
    if len(lines) > 1 and _ANSWER.match(lines[-1]):
        lines.pop()
    steps = _with_headings(_marked_steps(lines))
    if len(steps) > MAX_STEPS:
        steps[MAX_STEPS - 1 :] = ["\n".join(steps[MAX_STEPS - 1 :])]
    return steps


def _has_reasoning(steps: Sequence[str]) -> bool:
    """Do the steps hold a calculation or two sentences, besides the result?"""
    lines = (line for step in steps for line in step.split("\n") if line.strip())
    claims = [sentence for line in lines for sentence in sentences(line) if not _STATES_ANSWER.match(sentence)]
    return len(claims) > 1 or any(map(_CALCULATES.search, claims))


def _lines(text: str) -> list[str]:
    """Return the lines, with code blocks and displayed formulas whole.

    Such a block is joined to the line before it.
    """
    lines = text.split("\n")
    if not _BLOCK.search(text):
        return [line.rstrip() for line in lines]
    blocks: list[list[str]] = []
    is_fenced, n_open, in_dollars = False, 0, False
    for line in lines:
        joins_previous = is_fenced or ((n_open > 0 or in_dollars) and bool(line.strip())) or bool(_FORMULA.match(line))
        if not line.strip():
            n_open, in_dollars = 0, False  # no formula holds an empty line
        if "[asy]" in line or "[/asy]" in line:
            joins_previous, is_fenced = True, line.rfind("[asy]") > line.rfind("[/asy]")
        elif line.count("```") % 2:
            joins_previous, is_fenced = True, not is_fenced
        elif not is_fenced:
            for mark in _DISPLAY.findall(line):
                in_dollars ^= mark == "$$"
                n_open = max(0, n_open + (1 if mark in ("\\[", "\\begin{") else -1 if mark != "$$" else 0))
        if joins_previous and blocks:
            while len(blocks) > 1 and not blocks[-1][0].strip():
                blocks.pop()
            blocks[-1].append(line.rstrip())
        else:
            blocks.append([line.rstrip()])
    return ["\n".join(block) for block in blocks]


def _marked_steps(lines: Sequence[str]) -> list[str]:
    marks: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        if match := _MARKER.match(line):
            marks.setdefault(str(match.lastgroup), []).append(index)
    if "first" in marks and "next" in marks:
        marks["ordinal"] = sorted(marks["first"][:1] + [index for index in marks["next"] if index > marks["first"][0]])
    kind = next((name for name in ("step", "number", "ordinal", "bullet") if len(marks.get(name, ())) > 1), None)
    if kind is None:
        return _prose_steps(lines)
    starts = marks[kind]
    end = starts[-1] + 1
    has_content = not _is_heading(lines[starts[-1]]) and (kind != "step" or "=" in lines[starts[-1]])
    while end < len(lines):
        starts_paragraph = not lines[end - 1] and lines[end] and not lines[end].startswith((" ", "\t"))
        if starts_paragraph and (has_content or _STATES_ANSWER.match(lines[end])):
            break
        has_content = has_content or bool(lines[end])
        end += 1
    items = ("\n".join(lines[start:stop]) for start, stop in zip(starts, [*starts[1:], end], strict=True))
    return [*_prose_steps(lines[: starts[0]]), *(item.strip() for item in items), *_prose_steps(lines[end:])]


def _prose_steps(lines: Sequence[str]) -> list[str]:
    """Split into paragraphs, lines or sentences."""
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line:
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    parts = ["\n".join(paragraph).strip() for paragraph in paragraphs if paragraph]
    if sum(not _STATES_ANSWER.match(paragraph) and not _is_heading(paragraph) for paragraph in parts) > 1:
        return parts
    parts = [line.strip() for line in lines if line]
    return list(sentences(parts[0])) if len(parts) == 1 and "\n" not in parts[0] else parts


def _is_heading(text: str) -> bool:
    return (text[-1:] in (":", "*") or text[:1] == "#") and bool(_HEADING.match(text))


def sentences(line: str) -> Iterator[str]:
    """Yield the sentences of one line, in order. Takes linear time."""
    start = 0
    for match in _SENTENCE.finditer(line):
        if not _ABBREVIATION.search(line[max(start, match.start() - 12) : match.start()]):
            yield line[start : match.end()].strip()
            start = match.end()
    yield line[start:].strip()


def _with_headings(steps: list[str]) -> list[str]:
    """Join each heading with the step below it."""
    joined: list[str] = []
    heading = ""
    for step in steps:
        step = f"{heading}\n{step}" if heading else step
        heading = step if _is_heading(step.rpartition("\n")[2]) and len(step) < 1_000 else ""
        if not heading:
            joined.append(step)
    return [*joined, heading] if heading else joined
