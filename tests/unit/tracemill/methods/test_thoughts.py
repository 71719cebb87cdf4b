"""What was thought and what was said, in the marks of several makers and however odd."""

import pytest

from tracemill.methods.thoughts import apart
from tracemill.verification.answers.extract import extract


@pytest.mark.parametrize(
    ("text", "thoughts", "said"),
    [
        ("It is 7.", None, "It is 7."),
        ("<think>3 + 4</think>\nIt is 7.", "3 + 4", "It is 7."),
        ("3 + 4</think>\nIt is 7.", "3 + 4", "It is 7."),
        ("<think>3 +", "3 +", ""),
        ("Well.\n<think>3 +", "3 +", "Well."),
        ("<think>\n\n</think>\nIt is 7.", None, "It is 7."),
        ("<think>a</think>b<think>c</think>d", "abc", "d"),
        ("<think>a</think>b\n<think>c", "ac", "b"),
        ("<think>a<think>b</think>c</think>d", "abc", "d"),
        ("<thinking>a</thinking>b", "a", "b"),
        ("<Think>a</THINK>b", "a", "b"),
        ("<reasoning>a</reasoning><answer>7</answer>", "a", "<answer>7</answer>"),
        ("<|begin_of_thought|>a<|end_of_thought|>b", "a", "b"),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b",
            "a",
            "b",
        ),
        ("The tag <think> begins a thought.", None, "The tag <think> begins a thought."),
        ("", None, ""),
    ],
)
def test_thoughts_and_what_was_said_come_apart(text: str, thoughts: str | None, said: str) -> None:
    assert apart(text) == (thoughts, said)


@pytest.mark.parametrize("end", ["</think>", "</THINK>", "</thinking>", "</thought>", "</reasoning>"])
def test_what_ends_a_thought_here_ends_it_where_answers_are_looked_for(end: str) -> None:
    text = f"The answer is 5.{end}So we get 7."
    answer = extract(text)
    assert answer is not None
    assert answer.value == "7"
    assert apart(text) == ("The answer is 5.", "So we get 7.")
