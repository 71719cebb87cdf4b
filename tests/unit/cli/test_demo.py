"""The demo's questions are distinct and of two kinds. Training and held-out questions never overlap."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import demo, demo_teacher
from cli.demo_report import judge_in_words
from cli.demo_teacher import ALIASES, ITSELF, LARGER, TEACHER, choose, display_name
from producer.demo_questions import EXAMPLES, mixed
from producer.job_request import read_shots
from tests.conftest import forget
from tracemill.errors import TracemillError
from tracemill.model_sources import Report
from tracemill.settings import model, settings
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
    judge = {
        "rated": 90,
        "auc": None,
        "uninformative": "not calibrated",
        "threshold": None,
        "plain": None,
        "canaries": 14,
        "fooled_by": [],
    }
    assert judge_in_words(judge) == (
        "its rating gates nothing: not calibrated; fooled by 0 kinds of 14 canaries; 90 traces rated"
    )
    informative = judge | {"uninformative": None, "threshold": 0.43, "auc": {"value": 0.8, "low": 0.7, "high": 0.9}}
    assert judge_in_words(informative | {"threshold": None}).startswith("its rating is only measured: AUC 0.80 [0.70, ")
    assert judge_in_words(informative | {"plain": (0.8, 0.4), "fooled_by": ["threat", "plea"]}) == (
        "its rating gates at 0.43: AUC 0.80 [0.70, 0.90]; fooled by 2 kinds of 14 canaries (it rates right sums 0.80, "
        "wrong ones 0.40); 90 traces rated"
    )


@pytest.mark.usefixtures("heeded_signals")
def test_a_closed_terminal_stops_the_stack_of_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[Path] = []
    monkeypatch.setattr(demo, "_require_models", lambda: None)
    monkeypatch.setattr(demo, "start", lambda *_, **__: os.kill(os.getpid(), signal.SIGHUP))
    monkeypatch.setattr(demo.local, "down", stopped.append)
    with pytest.raises(KeyboardInterrupt):
        demo.demo(questions=20, held_out=20, samples=1, larger_teacher=False, keep_up=False, json=False)
    assert stopped == [settings().data_dir]


@pytest.mark.parametrize("larger_teacher", [False, True])
def test_a_larger_teacher_is_fetched_only_on_request(larger_teacher: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fetched(Exception):
        pass

    def choose() -> None:
        raise Fetched

    def start(*_: object, **__: object) -> None:
        raise TracemillError("not started")

    monkeypatch.setattr(demo, "_require_models", lambda: None)
    monkeypatch.setattr(demo, "choose", choose)
    monkeypatch.setattr(demo, "start", start)
    monkeypatch.setattr(demo.local, "down", lambda folder: None)
    with pytest.raises(Fetched if larger_teacher else TracemillError):
        demo.demo(questions=20, held_out=20, samples=1, larger_teacher=larger_teacher, keep_up=False, json=False)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A data folder of its own. The variables that the demo sets are removed afterwards."""
    monkeypatch.setenv("TRACEMILL_DATA_DIR", str(tmp_path))
    for name in LARGER.environment:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    forget()
    yield
    monkeypatch.undo()
    forget()


@pytest.mark.usefixtures("fresh")
def test_the_larger_model_teaches_and_judges_where_it_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_teacher, "resolve", lambda *_, **__: "folder")
    assert choose() == LARGER
    assert {model(alias).model for alias in ALIASES} == {TEACHER}
    assert model("teacher") == model("verifier")  # one engine serves both
    assert display_name(model("student").model) == "SmolLM2-135M-Instruct"


@pytest.mark.usefixtures("fresh")
def test_without_the_larger_model_the_student_teaches_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def resolve(name: str, data_dir: Path, report: Report) -> str:
        raise TracemillError(f"cannot get {name}. Tried:\n  hub: no network")

    monkeypatch.setattr(demo_teacher, "resolve", resolve)
    before = settings().models
    assert choose() == ITSELF
    assert "hub: no network\nSo the student's own model teaches." in capsys.readouterr().out
    assert settings().models == before


@pytest.mark.usefixtures("fresh")
def test_a_download_that_is_too_slow_for_the_demo_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def resolve(name: str, data_dir: Path, report: Report) -> str:
        report("downloading from the hub", 10, 1000)
        return "folder"

    monkeypatch.setattr(demo_teacher, "resolve", resolve)
    monkeypatch.setattr(demo_teacher, "FETCH_SECONDS", -1)
    assert choose() == ITSELF
    assert f"`tracemill models get {TEACHER}` continues its download" in capsys.readouterr().out


@pytest.mark.usefixtures("fresh")
def test_a_teacher_of_the_users_own_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_MODELS__TEACHER__MODEL", "./mine")
    forget()
    monkeypatch.setattr(demo_teacher, "resolve", lambda *_, **__: pytest.fail("it was fetched"))
    assert choose() == ITSELF
    assert model("teacher").model == "./mine"
