"""Which training questions overlap one of an evaluation, although they are worded differently."""

from itertools import product

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


#: Two thousand words without a number, and as many with numbers of their own.
PROSE = " ".join(f"{''.join(letters)}." for letters in product("abcdefghijklm", repeat=3))[:10_000]
FIGURES = " ".join(f"Line {number} holds {number * number} items." for number in range(400))


def _share(known: list[str], question: str, *, ngram: int = 6, share: float = 0.5) -> float:
    overlaps = Overlaps(ngram, share)
    for key, evaluated in enumerate(known):
        overlaps.add(key, evaluated)
    overlap = overlaps.find(question)
    return overlap[1] if overlap else 0.0


@pytest.mark.parametrize(
    ("known", "question"),
    [
        (NATALIA, NATALIA),
        (NATALIA, NATALIA.replace("in April, and then she", "during April, and she").replace("altogether", "in total")),
        (WENG, WENG.replace("earns", "makes").replace("just", "only").replace("How much", "How much money")),
        (WENG, "A puzzle for you. " + WENG + " Think before you answer."),
        (FENCE, FENCE.replace("is the best", "would be the best").replace("neighbouring field", "field next to his")),
    ],
)
def test_a_reworded_question_is_found(known: str, question: str) -> None:
    assert _share([known, "How many legs do 7 spiders and 9 ants have?"], question) > 0.5


@pytest.mark.parametrize(
    ("known", "question"),
    [
        (NATALIA, NATALIA.replace("48", "50")),
        ("What is 3 + 4?", "What is 4 + 3?"),
        ("What is the capital city of France?", "What is the capital city of Spain?"),
        ("Tom has 3 boxes of 12 eggs. How many eggs?", "A train goes 12 miles in 3 hours. How fast is it?"),
        ("", "What is 3 + 4?"),
        ("What is 3 + 4?", ""),
    ],
)
def test_another_question_is_not(known: str, question: str) -> None:
    assert _share([known], question) == 0


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


@pytest.mark.parametrize("known", [NATALIA, WENG, FENCE, "How many legs do 7 spiders and 9 ants have?"])
@pytest.mark.parametrize("frame", ["{0} {1}", "{1} {0} {1}", "{1} {0}"], ids=["start", "middle", "end"])
def test_a_question_hidden_in_a_long_prompt_is_found(known: str, frame: str) -> None:
    assert _share([known], frame.format(known.upper(), PROSE)) == 1


@pytest.mark.parametrize("known", [NATALIA, WENG, FENCE])
@pytest.mark.parametrize("frame", ["{0} {1}", "{1} {0} {1}", "{1} {0}"], ids=["start", "middle", "end"])
def test_a_question_hidden_among_other_numbers_is_found(known: str, frame: str) -> None:
    assert _share(["Which of 2 and 3 is more?", known], frame.format(known.upper(), FIGURES)) == 1


def test_a_hidden_question_is_named() -> None:
    overlaps = Overlaps(ngram=6, share=0.5)
    for key, question in ((11, WENG), (12, NATALIA), (13, NATALIA + " And in June, at 3 a day?")):
        overlaps.add(key, question)
    assert overlaps.find(f"{FIGURES} {NATALIA} {FIGURES}") == (12, 1.0)


def test_a_question_that_only_begins_as_a_hidden_one_is_another() -> None:
    assert _share([NATALIA + " And in June, at 3 a day?"], f"{FIGURES} {NATALIA} {FIGURES}") == 0


def test_only_a_whole_question_of_thirteen_words_is_found_among_other_numbers() -> None:
    thirteen = "If we add 3 to 4, then double it, what is the result"
    assert len(thirteen.split()) == 13
    assert _share([thirteen], f"{thirteen} {FIGURES}") == 1
    assert _share([thirteen], f"{thirteen.removesuffix(' result')} {FIGURES}") == 0
    assert _share([thirteen.removesuffix(" result")], f"{thirteen} {FIGURES}") == 0


def test_a_share_of_exactly_the_limit_is_no_overlap() -> None:
    # One of two trigrams is in both.
    known, question = "red green blue white", "red green blue black"
    assert _share([known], question, ngram=3, share=0.5) == 0
    assert _share([known], question, ngram=3, share=0.49) == 0.5


def test_the_share_is_of_the_lighter_question() -> None:
    short, long = "red green blue white", "pink red green blue black grey brown beige"
    for known, question in ((short, long), (long, short)):
        assert _share([known], question, ngram=3, share=0.49) == 0.5


@pytest.mark.parametrize(("ngram", "share"), [(5, 1), (6, 1), (7, 0)])
def test_a_question_of_fewer_words_than_an_n_gram_has_none(ngram: int, share: int) -> None:
    question = "Who wrote the Book of Kells?"
    assert _share([question], question + " Do tell.", ngram=ngram) == share


def test_numbers_shorten_an_n_gram_to_three_words() -> None:
    assert _share(["Is 7 odd?"], "Is 7 odd? Say.", ngram=50) == 1


@pytest.mark.parametrize(("holders", "share"), [(100, 1), (101, 0)])
def test_an_n_gram_that_over_a_hundred_questions_hold_says_nothing(holders: int, share: int) -> None:
    known = [f"red green blue {''.join(letters)}" for letters in product("abcdefghijk", repeat=2)][: holders - 1]
    assert _share(["red green blue", *known], "red green blue", ngram=3) == share
    assert _share(["red green blue grey", *known], "red green blue grey", ngram=3) == 1


def test_numbers_agree_in_any_order_and_only_as_a_whole() -> None:
    assert _share(["A shelf of 3 rows holds 12 jars"], "12 jars: a shelf of 3 rows holds") > 0.5
    assert _share(["A jar holds 1.5 litres of oil"], "A jar holds 1 5 litres of oil") == 0
