"""The columns of a trace that follow from its text."""

from typing import Any

from tracemill import thinking
from tracemill.methods import Method
from tracemill.text import storable
from tracemill.verification.answers.kinds import Kind


def text_columns(text: str, method: Method, kind: Kind) -> dict[str, Any]:
    """The text as it is stored, and the thoughts, reasoning, answer and steps that the method reads in it."""
    text = storable(text)
    parsed = method.parse(text, kind)
    thoughts, answer_text, _ = thinking.split(text)
    reasoning = (answer_text if thoughts is None else thoughts).strip()
    return {
        "text": text,
        **_part("thoughts", "thoughts", thoughts, text),
        **_part("answer_text", "answer", None if answer_text == text else answer_text, text),
        **_part("reasoning", "reasoning", None if parsed.reasoning == reasoning else parsed.reasoning, text),
        "answer": parsed.answer,
        "answer_form": parsed.answer_form,
        "steps": parsed.steps,
    }


def _part(column: str, name: str, part: str | None, text: str) -> dict[str, Any]:
    """The position of a part in the text, from 1; its copy if it is empty, or if marks inside it were removed."""
    at = text.find(part) if part else -1
    if at < 0:
        return {column: part, f"{name}_start": None, f"{name}_length": None}
    return {column: None, f"{name}_start": at + 1, f"{name}_length": len(part or "")}
