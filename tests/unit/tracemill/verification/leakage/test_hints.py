"""Traces that reveal a known answer, and ordinary mentions of hints and answers."""

from pathlib import Path

import pytest

from tracemill.methods import named
from tracemill.verification.checks import Item, check
from tracemill.verification.leakage.hints import betrayal

HERE = Path(__file__).parent
BETRAYALS = (HERE / "betrayals.txt").read_text(encoding="utf-8").splitlines()
ORDINARY = (HERE / "ordinary.txt").read_text(encoding="utf-8").splitlines()


def refusal(text: str) -> str | None:
    return named("rationalize").refusal(text, check(Item(text)))


def test_at_least_95_percent_of_the_betrayals_are_caught() -> None:
    missed = [text for text in BETRAYALS if betrayal(text) is None]
    assert len(BETRAYALS) >= 60
    assert len(missed) <= 0.05 * len(BETRAYALS), missed


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_reasoning_betrays_nothing(text: str) -> None:
    assert betrayal(text) is None


def test_the_revealing_words_are_the_evidence() -> None:
    assert betrayal("We add.\n3 + 4 = 7, which **matches\nthe given answer**.") == "matches the given answer"


def test_betrayals_count_in_the_answer_but_not_in_the_thoughts() -> None:
    assert refusal("<think>The hint says the answer is 7.</think>3 + 4 = 7. The answer is 7.") is None
    assert refusal("<think>3 + 4 = 7</think>As the hint says, the answer is 7.")


def test_a_betrayal_is_found_deep_in_a_long_text() -> None:
    assert betrayal("3 + 4 = 7. " * 20_000 + "As the hint says, it is 7.")


def test_an_answer_after_its_derivation_is_no_betrayal() -> None:
    assert betrayal("Since the answer is 4, we take (B).") is not None
    assert betrayal("2 + 2 = 4. Since the answer is 4, we take (B).") is None


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 7.",
        "7",
        "#### 7",
        "\\boxed{7}",
        "Sure! Let me solve this step by step.\n\nThe answer is 7.",
        "Tom has 7 apples. The answer is 7.",
        "The answer is 7. He has 3 apples and buys 4, and 3 + 4 = 7.",
        "<think></think>The answer is 7.",
        "",
    ],
)
def test_a_trace_that_only_asserts_its_answer_is_refused(text: str) -> None:
    assert refusal(text) == "it states its answer and derives nothing"


@pytest.mark.parametrize(
    "text",
    [
        "3 + 4 = 7. The answer is 7.",
        "He has 3 and buys 4, so the answer is 7.",
        "The answer is 3 + 4 = 7.",
        "<think>3 + 4 = 7</think>The answer is 7.",
        "The answer is 7? Let us see: 3 + 4 = 7. The answer is 7.",
        "So the total is $3 + 4 = \\boxed{7}$.",
    ],
)
def test_a_trace_that_derives_its_answer_is_kept(text: str) -> None:
    assert refusal(text) is None


def test_an_argument_in_words_derives_a_choice() -> None:
    method = named("rationalize")
    argued = "A contract for land must be in writing, and nothing was written here. The answer is (B)."
    assert method.refusal(argued, check(Item(argued, kind="choice"))) is None
    assert method.refusal("It is clear. The answer is (B).", check(Item("The answer is (B).", kind="choice")))


def test_a_program_without_explanation_is_no_reasoning() -> None:
    method, program = named("rationalize"), "```python\ndef f(a):\n    return a\n```"
    explained = f"The function must hand its argument back, whatever it is, so it returns it unchanged.\n{program}"
    assert method.refusal(program, check(Item(program, kind="code")))
    assert method.refusal(explained, check(Item(explained, kind="code"))) is None
