"""The parts of a trace are positions in its text, and copies only where the text does not hold them as they are."""

from typing import Any

import pytest

from tracemill import thinking
from tracemill.methods import named
from tracemill.methods.trace_text import text_columns

STEPS = "Step 1: 3 * 4 = 12.\nStep 2: 12 - 2 = 10.\nThe answer is 10."


def part(columns: dict[str, Any], column: str, name: str) -> str | None:
    """The part as the views read it."""
    start, length = columns[f"{name}_start"], columns[f"{name}_length"]
    if start is None:
        return columns[column]  # type: ignore[no-any-return]
    assert columns[column] is None
    return str(columns["text"][start - 1 : start - 1 + length])


@pytest.mark.parametrize(
    ("text", "n_copies"),
    [
        ("3 + 4 = 7. The answer is 7.", 0),
        ("<think>\nIs it 7? ½\n</think>\n\nThe answer is 7.\n", 0),
        ("[THINK]7[/THINK]7", 0),
        ("<think>7</think>", 1),  # its empty answer
        ("<think>7, </think>or<think> 8</think>8", 1),  # its thoughts, without the marks between them
        ("<think>never ends", 1),
    ],
)
def test_the_thoughts_and_the_answer_are_read_back_by_position(text: str, n_copies: int) -> None:
    columns = text_columns(text, named("cot"), "number")
    thoughts, answer, _ = thinking.split(text)
    assert part(columns, "thoughts", "thoughts") == thoughts
    shown = part(columns, "answer_text", "answer")
    assert (text if shown is None else shown) == answer
    assert [columns["thoughts"], columns["answer_text"]].count(None) == 2 - n_copies
    assert part(columns, "reasoning", "reasoning") is None


@pytest.mark.parametrize("text", [STEPS, f"<think>Hm.</think>\n{STEPS}"])
def test_a_rationale_is_no_second_copy_of_the_text(text: str) -> None:
    columns = text_columns(text, named("stepwise"), "number")
    assert columns["reasoning"] is None
    assert part(columns, "reasoning", "reasoning") == STEPS.rpartition("\n")[0]


def test_a_rationale_with_a_gap_is_stored_as_it_is() -> None:
    text = "Step 1: 3 + 4 = 7. The answer is 7.\nStep 2: 7 - 0 = 7. The answer is 7."
    columns = text_columns(text, named("stepwise"), "number")
    assert columns["reasoning"] == part(columns, "reasoning", "reasoning")
    assert "answer" not in columns["reasoning"]
