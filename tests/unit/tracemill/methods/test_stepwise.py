"""`stepwise`: numbered steps, with rationale and label separated for two training tasks."""

import pytest

from tracemill.methods import Parsed, named
from tracemill.verification.checks import Item, check

LINES = "Step 1: The bags hold 3 * 4 = 12 apples.\nStep 2: She eats 2, so 12 - 2 = 10 are left."


def read(text: str) -> Parsed:
    return named("stepwise").parse(text, "number")


def test_each_step_has_its_number_text_operation_and_result() -> None:
    assert read(f"{LINES}\nThe answer is 10.").steps == [
        {"number": 1, "text": "The bags hold 3 * 4 = 12 apples.", "operation": "3 * 4", "result": "12"},
        {"number": 2, "text": "She eats 2, so 12 - 2 = 10 are left.", "operation": "12 - 2", "result": "10"},
    ]


@pytest.mark.parametrize(
    "label",
    [
        "\nThe answer is 10.",
        "\n\nThe answer is 10. Let me know if you have questions!",
        " The answer is 10.",
        "\nTherefore, the final answer is **10**.",
        "\n\n**Final Answer:** 10",
        "\n\n### Final Answer\n10",
        "\n#### 10",
        "\n<answer>10</answer>",
        "\n\nSo Ann has \\boxed{10} apples left.",
        "\nThe answer to the question is $10$.",
    ],
)
def test_the_rationale_does_not_hold_the_label(label: str) -> None:
    parsed = read(LINES + label)
    assert parsed.reasoning == LINES
    assert parsed.answer in ("10", "10 apples")
    assert [step["result"] for step in parsed.steps] == ["12", "10"]


def test_a_step_that_only_states_the_answer_is_not_a_step() -> None:
    parsed = read("Step 1: 3 * 4 = 12.\nStep 2: The answer is 12.")
    assert [step["text"] for step in parsed.steps] == ["3 * 4 = 12."]
    assert "answer" not in parsed.reasoning


@pytest.mark.parametrize(
    ("step", "operation", "result"),
    [
        ("Half of 48 is 48/2 = 24.", "48 / 2", "24"),
        ("He pays 2 * $3.50 = $7.00.", "2 * 3.50", "7.00"),
        ("In all 3 + 4 = 7 + 5 = 12.", "7 + 5", "12"),
        (r"We have $\frac{1}{2} \cdot 8 = 4$.", "( 1 / 2 ) * 8", "4"),
        ("So x = 5.", None, "5"),
        ("She buys apples for the whole class.", None, None),
    ],
)
def test_the_operation_and_result_of_a_step_are_read(step: str, operation: str | None, result: str | None) -> None:
    (read_step,) = read(f"Step 1: {step}\nThe answer is 1.").steps
    assert (read_step["operation"], read_step["result"]) == (operation, result)


def test_bold_headings_start_steps_too() -> None:
    text = "Let us see.\n\n**Step 1: Bags**\n\n3 * 4 = 12\n\n**Step 2: Rest**\n\n12 - 2 = 10\n\nThe answer is 10."
    assert [(step["number"], step["operation"]) for step in read(text).steps] == [(1, "3 * 4"), (2, "12 - 2")]


def test_steps_without_numbers_are_numbered_from_1() -> None:
    steps = read("3 * 4 = 12.\n12 - 2 = 10.\nThe answer is 10.").steps
    assert [(step["number"], step["result"]) for step in steps] == [(1, "12"), (2, "10")]


def test_the_label_of_a_code_question_is_its_program() -> None:
    parsed = named("stepwise").parse("Step 1: Add both.\n```python\ndef f(a, b):\n    return a + b\n```", "code")
    assert parsed.reasoning == "Step 1: Add both."
    assert parsed.answer == "def f(a, b):\n    return a + b"


def test_steps_after_an_initial_answer_are_the_rationale() -> None:
    parsed = read(f"The answer is 10.\n{LINES}")
    assert parsed.reasoning == LINES


def test_stepwise_gold_refuses_a_trace_that_reveals_the_hint() -> None:
    method = named("stepwise-gold")
    text = f"{LINES}\nThis matches the given answer. The answer is 10."
    assert method.needs == {"gold"}
    assert "matches the given answer" in (method.refusal(text, check(Item(text))) or "")
    assert method.refusal(LINES, check(Item(LINES))) is None
    assert named("stepwise").refusal(text, check(Item(text))) is None
