"""The sample of a pilot and its arms; the stored parts are in tests/integration/cli/test_pilot.py."""

import doctest
from collections import Counter

from producer import pilot
from producer.job_request import JobRequest, SourceSpec
from producer.pilot import draw, requests_of_arms
from producer.sources import Problem, Question
from tracemill.text import content_hash


def question(n: int, **meta: str | int) -> Question:
    return Question(f"What is {n} + 1?", str(n + 1), None, None, dict(meta), n)


MANY = [question(n) for n in range(500)]


def texts(sample: pilot.Sample) -> set[str]:
    return {each.text for each in sample.questions}


def test_the_sample_does_not_depend_on_the_order_of_the_source() -> None:
    assert texts(draw(MANY, "d", 50, 0)) == texts(draw(MANY[::-1], "d", 50, 0))
    assert texts(draw(MANY, "d", 50, 0)) != texts(draw(MANY, "d", 50, 1))


def test_a_larger_sample_holds_the_smaller_one() -> None:
    assert texts(draw(MANY, "d", 20, 0)) < texts(draw(MANY, "d", 50, 0))


def test_every_question_is_as_likely_to_be_drawn() -> None:
    drawn = Counter(text for seed in range(100) for text in texts(draw(MANY[:20], "d", 5, seed)))
    assert min(drawn[each.text] for each in MANY[:20]) > 10  # 25 on average, with a standard deviation of 4.3


def test_repeated_and_unreadable_rows_are_not_drawn() -> None:
    sample = draw([*MANY[:5], Problem("d:6", "broken"), *MANY[:5]], "d", 8, 0)
    assert sorted(each.text for each in sample.questions) == sorted(each.text for each in MANY[:5])
    assert sample.hashes == [content_hash("d", each.text, each.gold) for each in sample.questions]
    assert (sample.n_source, sample.n_left_out) == (10, 1)


def test_each_difficulty_has_its_share_of_the_sample() -> None:
    rows = [question(n, level=1 + n % 10 // 8) for n in range(200)]
    sample = draw(rows, "d", 20, 0)
    assert sample.strata == {"1": 16, "2": 4}
    assert Counter(each.meta["level"] for each in sample.questions) == {1: 16, 2: 4}


def test_a_scale_of_difficulties_is_no_strata() -> None:
    sample = draw([question(n, difficulty=n) for n in range(200)], "d", 20, 0)
    assert (len(sample.questions), sample.strata) == (20, {})


def test_the_parts_of_a_sample_add_up() -> None:
    assert doctest.testmod(pilot).failed == 0


def test_an_arm_is_a_model_a_method_and_a_temperature() -> None:
    base = JobRequest(SourceSpec("sums.jsonl"), name="sums")
    assert [request.name for request in requests_of_arms(base, ["teacher"], ["cot", "cot"], [])] == ["sums:teacher-cot"]
    arms = requests_of_arms(base, ["teacher", "large"], ["cot"], [0.0, 0.75])
    assert [(request.name, request.model, request.sampling.temperature) for request in arms] == [
        ("sums:teacher-cot-t0", "teacher", 0.0),
        ("sums:teacher-cot-t0.75", "teacher", 0.75),
        ("sums:large-cot-t0", "large", 0.0),
        ("sums:large-cot-t0.75", "large", 0.75),
    ]
