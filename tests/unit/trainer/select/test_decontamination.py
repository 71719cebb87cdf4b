"""Which training questions overlap one of an evaluation, although they are worded differently."""

import pytest

from trainer.select.decontamination import Overlaps

NATALIA = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)
WENG = (
    "Weng earns $12 an hour for babysitting. Yesterday, she just did 50 minutes of babysitting. How much did she earn?"
)
FENCE = (
    "Under the common law, which of the following is the best argument for the defendant in an action for trespass "
    "that was brought by the owner of the neighbouring field?"
)
DIAGNOSIS = "presents with {}. Which of the following is the most likely diagnosis?"


def _share(known: list[str], asked: str) -> float:
    overlaps = Overlaps(ngram=6, share=0.5)
    for key, question in enumerate(known):
        overlaps.add(key, question)
    found = overlaps.find(asked)
    return found[1] if found else 0.0


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        (NATALIA, NATALIA),
        (NATALIA, NATALIA.replace("in April, and then she", "during April, and she").replace("altogether", "in total")),
        (WENG, WENG.replace("earns", "makes").replace("just", "only").replace("How much", "How much money")),
        (WENG, "A puzzle for you. " + WENG + " Think before you answer."),
        (FENCE, FENCE.replace("is the best", "would be the best").replace("neighbouring field", "field next to his")),
    ],
)
def test_a_reworded_question_is_found(known: str, asked: str) -> None:
    assert _share([known, "How many legs do 7 spiders and 9 ants have?"], asked) > 0.5


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        (NATALIA, NATALIA.replace("48", "50")),
        ("What is 3 + 4?", "What is 4 + 3?"),
        ("What is the capital city of France?", "What is the capital city of Spain?"),
        ("Tom has 3 boxes of 12 eggs. How many eggs?", "A train goes 12 miles in 3 hours. How fast is it?"),
        ("", "What is 3 + 4?"),
        ("What is 3 + 4?", ""),
    ],
)
def test_another_question_is_not(known: str, asked: str) -> None:
    assert _share([known], asked) == 0


def test_what_many_questions_have_in_common_says_nothing() -> None:
    known = [f"Patient {n} {DIAGNOSIS.format(f'symptom {n} and finding {n}')}" for n in range(500)]
    assert _share(known, f"Patient 3 {DIAGNOSIS.format('a rash of two weeks on 3 limbs and no finding')}") == 0
    sums = [f"State the final answer to the following arithmetic problem: {n} + 7 =" for n in range(10, 60)]
    assert _share(sums, "State the final answer to the following arithmetic problem: 7 + 12 =") == 0


def test_of_several_overlapping_questions_the_most_alike_is_named() -> None:
    overlaps = Overlaps(ngram=6, share=0.5)
    overlaps.add(11, NATALIA.replace("in April, and then she", "during April, and she"))
    overlaps.add(12, NATALIA)
    assert overlaps.find(NATALIA) == (12, 1.0)
