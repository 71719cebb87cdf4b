"""`contrast`: one error, stated with confidence. A trace that reveals it or is trivially wrong is refused."""

import pytest

from tracemill.methods import named
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.checks import Item, check
from tracemill.verification.leakage.giveaways import giveaway

CONTRAST = named("contrast")
WRONG = "The bags hold 3 * 4 = 14 apples. She eats 2, so 14 - 2 = 12. The answer is 12."


def refusal(text: str, kind: Kind = "number") -> str | None:
    return CONTRAST.refusal(text, check(Item(text, kind=kind)))


def test_its_traces_are_negative_examples_of_four_kinds() -> None:
    assert CONTRAST.negative
    assert set(CONTRAST.variants("math", ())) == {"arithmetic", "operation", "missing-step", "interpretation"}


@pytest.mark.parametrize(
    "text",
    [
        WRONG,
        "The bags hold 3 + 4 = 7 apples. She eats 2, so 7 - 2 = 5. The answer is 5.",
        "The bags hold 3 * 4 = 12 apples. The answer is 12.",
        "She eats 2 bags, so 3 - 2 = 1 bag is left, which holds 4 apples. The answer is 4.",
        "Step 1: 3 * 4 = 14.\nStep 2: 14 - 2 = 12.\n\nThe final answer is 12 apples.\n#### 12",
    ],
)
def test_a_plausible_error_is_kept(text: str) -> None:
    assert refusal(text) is None


GIVEAWAYS = [
    "This is wrong on purpose.",
    "I intentionally made an error here.",
    "The mistake is in the first step.",
    "Here we incorrectly add instead of multiplying.",
    "We multiplied incorrectly.",
    "The error here is a wrong product.",
    "This is a common mistake.",
    "Note that this is incorrect.",
    "The correct answer would be 10.",
    "But the correct answer is 10.",
    "It should have been 12.",
    "(Arithmetic error: 3 * 4 is 12.)",
    "Wrong operation: addition.",
    "I will make an arithmetic mistake in this step.",
    "This solution contains a subtle error.",
    "That is the wrong result.",
    "It should actually be 12.",
    "Correction: 3 * 4 = 12.",
    "We pretend that this is right.",
    "Here is a plausible but flawed solution.",
    "We deliberately skip the last step.",
    "We misread the question on purpose.",
    "In reality, the right answer is 10.",
    "This is an incorrect calculation.",
    "The reasoning is flawed.",
]


@pytest.mark.parametrize("words", GIVEAWAYS)
def test_a_trace_that_reveals_its_error_is_refused(words: str) -> None:
    assert "reveals its error" in (refusal(WRONG.replace("She eats", f"{words} She eats")) or "")


@pytest.mark.parametrize(
    "text",
    [
        "He answered 3 of 20 questions incorrectly, so 20 - 3 = 17 are right.",
        "A wrong answer costs 2 points, so 4 wrong answers cost 8.",
        "She makes 2 mistakes a page, on 6 pages 12.",
        "The true or false part has 10 questions, the right side of the page 5.",
        "The actual price is 20 dollars after the discount.",
        "The correct change is 20 - 13 = 7 dollars.",
        "Each should get 12 / 4 = 3 sweets.",
        "So the right answer is 12.",
        "The margin of error is 3 percent of 200.",
        "The false alarm rate is 2 percent.",
        "The defendant made a false statement, which is fraud.",
        "The mistaken belief was reasonable, so the defence holds.",
        "Let us check: 14 - 2 = 12 is correct.",
    ],
)
def test_ordinary_texts_about_errors_are_no_giveaways(text: str) -> None:
    assert giveaway(text) is None


@pytest.mark.parametrize(
    ("text", "kind", "why"),
    [
        ("", "number", "no answer"),
        ("The answer is 12.", "number", "derives nothing"),
        ("3 * 4 = 14, and then some. The answer is apples.", "number", "not of the required kind"),
        (
            "A contract for land must be in writing, and none was. The answer is 12.",
            "boolean",
            "not of the required kind",
        ),
        ("3 * 4 = 14. The answer is 14. Then 14 - 2 = 12. The answer is 12.", "number", "two answers: 14 and 12"),
        ("3 * 4 = 12 apples in the bags. The answer is 99.", "number", "not the result of its reasoning"),
        ("3 * 4 = 14. 14 - 2 = 13. 13 + 1 = 15. The answer is 15.", "number", "more than one error"),
    ],
)
def test_trivially_wrong_traces_are_refused(text: str, kind: Kind, why: str) -> None:
    assert why in (refusal(text, kind) or "")


def test_two_spellings_of_one_answer_are_not_two_answers() -> None:
    assert refusal("3 * 4 = 14. The answer is 14. So the final answer is 14 apples.") is None
    assert refusal("1 / 4 + 1 / 4 = 2/4. The answer is 1/2. \\boxed{0.5}") is None
