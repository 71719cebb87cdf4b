r"""Gold answers that are whole solutions, and what their traces state."""

import pytest

from tracemill.verification.answers.extract import extract
from tracemill.verification.answers.gold import final_answer
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.checks import Item, check


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"Adding gives $6+8=14$, so the sum is $\boxed{14}$.", "14"),
        (r"Twice: \boxed{3}, then \boxed{\frac{1}{4}}.", r"\frac{1}{4}"),
        ("6 + 8 = <<6+8=14>>14\n#### 14", "14"), ("#### 1,200", "1,200"), ("We add. The answer is 14.", "14"),
        ("14", "14"), (r"\frac{1}{4}", r"\frac{1}{4}"),
        ("assert f(2) == 3  # the answer is 3", "assert f(2) == 3  # the answer is 3"),
        ("The Boxer Rebellion", "The Boxer Rebellion"),
    ],
)  # fmt: skip
def test_a_gold_solution_gives_its_final_answer(gold: str, answer: str) -> None:
    assert final_answer(gold) == answer


@pytest.mark.parametrize(("trace", "correct"), [("So we have $\\boxed{14}$.", True), ("The answer is 15.", False)])
def test_a_trace_is_checked_against_the_final_answer_of_a_solution(trace: str, correct: bool) -> None:
    assert check(Item(trace, r"We add 6 and 8 and get $\boxed{14}$.")).correct is correct


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("The answer is Apollo 13.", "text", "Apollo 13"), ("The answer is Roe v. Wade, 410 U.S. 113 (1973).", "text",
         "Roe v. Wade, 410 U.S. 113 (1973)"), ("The answer is Form 1040 because he earns money.", "text", "Form 1040"),
        ("Answer: the Hundred Years' War.", "text", "the Hundred Years' War"),
        ("The answer is decreasing on (-4, 1).", "text",
         "decreasing on (-4, 1)"), ("The answer is carbon-12. I hope this helps.", "text", "carbon-12"),
        ("The answer is the reciprocal of 8.", "number", "the reciprocal of 8"),
        ("The answer is nearly 8.", "number", "nearly 8"),
        ("The answer is in 8 days or more.", "number", "8 days or more"),
        ("The area of the square is 9.", "number", "9"),
        ("Thus, we get 36 [2].", "number", "36"), ("<final>36</final>", "number", "36"),
        ("题目：3乘3？\n答案：9\n\n题目：4乘4？\n答案：16", "number", "9"),
    ],
)  # fmt: skip
def test_a_stated_text_is_whole_and_a_part_of_a_number_is_no_number(text: str, kind: Kind, value: str) -> None:
    answer = extract(text, kind)
    assert answer is not None
    assert answer.value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Відповідь: 36.", "36"), ("Ответ: 36", "36"), ("الجواب هو ٣٦.", "٣٦"), ("উত্তর হল ৩৬।", "৩৬"),
        ("答えは36です。", "36"),
        ("Antwort: 36 m²", "36 m²"), ("La réponse est 36.", "36"), ("Відповідь: 3,6 кг", "3,6 кг"), ("답: 36", "36"),
    ],
)  # fmt: skip
def test_an_answer_stated_in_another_language_is_extracted(text: str, value: str) -> None:
    answer = extract(text)
    assert answer is not None
    assert answer.value == value


@pytest.mark.parametrize("text", ["Ответ не 36.", "الجواب ليس ٣٦.", "答えは36ではない。"])
def test_a_denial_in_another_language_is_not_credited(text: str) -> None:
    assert check(Item(text, "36")).correct is not True
