"""The demo's questions: distinct, of both kinds, and never the same for learning and for measuring."""

from cli.demo import EXAMPLES, mixed
from cli.demo_report import judge_verdict
from cli.enqueue import read_shots
from tracemill.statistics import Interval
from tracemill.text import fingerprint


def test_questions_are_distinct_and_half_sums_half_word_problems() -> None:
    questions = list(mixed(100, seed=5, split="train"))
    assert len({fingerprint(question.text) for question in questions}) == 100
    assert sum(question.text.startswith("State the final answer") for question in questions) == 50
    assert all(question.gold is not None for question in questions)


def test_the_worked_examples_are_readable_and_end_in_the_asked_form() -> None:
    shots = read_shots(EXAMPLES)
    assert len(shots) == 4
    assert all("The answer is " in shot.answer for shot in shots)


def test_a_judge_whose_interval_holds_a_half_is_called_at_chance() -> None:
    assert judge_verdict(Interval(0.55, 0.45, 0.65)).startswith("at chance")
    assert judge_verdict(Interval(0.8, 0.7, 0.9)).startswith("better than chance")
    assert judge_verdict(None).startswith("not measured")
