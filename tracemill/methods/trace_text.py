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
        "thoughts": thoughts,
        "answer_text": None if answer_text == text else answer_text,
        "reasoning": None if parsed.reasoning == reasoning else parsed.reasoning,
        "answer": parsed.answer,
        "answer_form": parsed.answer_form,
        "steps": parsed.steps,
    }
