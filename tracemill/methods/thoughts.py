"""What a reasoning model thought, apart from what it said: `<think>…</think>` before the answer.

Engines write a server's `reasoning_content` in the same form (`engines.openai_protocol`), so there is one way. The
marks of several makers are known, in any case; what ends a thought is what `answers.extract` takes for it, so an answer
is never looked for in what is a thought here, unless nothing was said after it.
"""

import re

from tracemill.verification.answers.extract import THOUGHT_END

_BEGIN = (
    r"<(?:think|thinking|thought|reasoning)>|<\|begin_of_thought\|>"
    r"|(?:<\|start\|>assistant)?<\|channel\|>analysis<\|message\|>"
)
#: A mark amid a line is spoken of, not begun.
_BREAKS_OFF = re.compile(rf"^[ \t]{{0,9}}(?:{_BEGIN})", re.IGNORECASE | re.MULTILINE)
_MARK = re.compile(rf"{_BEGIN}|(?:<\|end\|>)?(?:<\|start\|>assistant)?(?:{THOUGHT_END.pattern})", re.IGNORECASE)


def apart(text: str) -> tuple[str | None, str]:
    """(thoughts, said), without the marks. Thoughts are null where there are none. Takes linear time.

    Everything up to the last closing mark is thought: some chat templates put the opening mark into the prompt, and who
    thinks several times, or in thoughts within thoughts, has said the last word after the last. Thoughts that break off
    end the text: what was said before them stays said.
    """
    end = max((mark.end() for mark in THOUGHT_END.finditer(text)), default=0)
    begins = _BREAKS_OFF.search(text, end) if "<" in text else None
    start = begins.start() if begins else len(text)
    thoughts = _MARK.sub("", text[:end] + text[start:]).strip()
    return thoughts or None, text[end:start].strip()
