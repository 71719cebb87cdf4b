"""The demo's questions are distinct and of two kinds. Training and held-out questions never overlap."""

import os
import signal
from pathlib import Path

import pytest

from cli import demo
from cli.demo_report import judge_in_words
from producer.demo_questions import EXAMPLES, mixed
from producer.job_request import read_shots
from tracemill.settings import settings
from tracemill.text import fingerprint


def test_questions_are_distinct_and_half_sums_half_word_problems() -> None:
    questions = list(mixed(100, seed=5, split="train"))
    assert len({fingerprint(question.text) for question in questions}) == 100
    assert sum(question.text.startswith("State the final answer") for question in questions) == 50
    assert all(question.gold is not None for question in questions)


def test_training_and_held_out_questions_do_not_overlap() -> None:
    known = {fingerprint(question.text) for question in mixed(100, seed=5, split="test")}
    questions = list(mixed(100, seed=6, split="train", known=known))
    assert known.isdisjoint(fingerprint(question.text) for question in questions)
    assert sum(question.text.startswith("State the final answer") for question in questions) == 50


def test_the_worked_examples_state_their_answers_in_the_asked_form() -> None:
    shots = read_shots(EXAMPLES)
    assert len(shots) == 4
    assert all("The answer is " in shot.answer for shot in shots)


def test_the_report_explains_whether_the_judge_gates() -> None:
    judge = {"rated": 90, "auc": None, "uninformative": "not calibrated", "canaries": 14, "fooled_by": []}
    assert judge_in_words(judge) == (
        "its rating gates nothing: not calibrated; fooled by 0 kinds of 14 canaries; 90 traces rated"
    )
    informative = judge | {"uninformative": None, "auc": {"value": 0.8, "low": 0.7, "high": 0.9}}
    assert judge_in_words(informative | {"fooled_by": ["threat", "plea"]}) == (
        "its rating gates: AUC 0.80 [0.70, 0.90]; fooled by 2 kinds of 14 canaries; 90 traces rated"
    )


@pytest.mark.usefixtures("heeded_signals")
def test_a_closed_terminal_stops_the_stack_of_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[Path] = []
    monkeypatch.setattr(demo, "_require_models", lambda: None)
    monkeypatch.setattr(demo, "start", lambda _: os.kill(os.getpid(), signal.SIGHUP))
    monkeypatch.setattr(demo.local, "down", stopped.append)
    with pytest.raises(KeyboardInterrupt):
        demo.demo(questions=20, held_out=20, samples=1, keep_up=False, json=False)
    assert stopped == [settings().data_dir]
