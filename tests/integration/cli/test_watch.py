"""`tracemill jobs watch` in a pipe, and Ctrl-C in commands that wait, through the installed command."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from db.session import transaction
from tests.installed import TRACEMILL, environment
from tests.integration.factory import additions, change, fill
from tests.integration.rounds import job, question
from tracemill.stack import Stack

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def sums(clean: Stack) -> None:
    fill(additions(3), "sums")


@contextmanager
def watching(*words: str) -> Iterator["subprocess.Popen[str]"]:
    ours = {name: value for name, value in os.environ.items() if name.startswith("TRACEMILL_")}
    command = [TRACEMILL, "jobs", "watch", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment() | ours, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def test_a_piped_watch_says_paused_and_ends_over_budget() -> None:
    change("update jobs set state = 'paused'")
    with watching("sums", "--seconds", "0.2") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("sums: paused, 0/3 questions")
        change("update jobs set state = 'over_budget'")
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "sums: over_budget, 0/3 questions" in rest


def test_watch_prints_one_line_of_json_for_each_report() -> None:
    with watching("--json", "--seconds", "0.2") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        change("update jobs set state = 'done'")
        *_, last = process.communicate(timeout=30)[0].splitlines()
    assert [row["state"] for row in (*first["jobs"], *json.loads(last)["jobs"])] == ["running", "done"]
    assert first["jobs"][0]["estimate"] is None
    assert "sums: no process hands out questions: tracemill producer" in first["why"]


def test_watch_without_a_name_follows_only_jobs_that_have_not_ended() -> None:
    fill(additions(1), "old")
    change("update jobs set state = 'done' where name = 'old'")
    with watching("--json") as process:
        assert process.stdout is not None
        assert [row["job"] for row in json.loads(process.stdout.readline())["jobs"]] == ["sums"]


def test_an_interrupted_watch_says_what_continues_and_how_to_watch_again() -> None:
    with watching("sums") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "job sums continues without this terminal. Watch again: tracemill jobs watch sums" in errors


def test_an_interrupted_enqueue_names_the_command_that_stores_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    words = ["enqueue", "some questions.jsonl", "--name", "rest"]
    monkeypatch.setattr("cli.enqueue.store_questions", interrupted)
    monkeypatch.setattr("sys.argv", ["tracemill", *words])
    errors = CliRunner().invoke(app, words).stderr
    assert "Store the rest: tracemill enqueue 'some questions.jsonl' --name rest." in errors


@pytest.fixture
def round_file(tmp_path: Path) -> Path:
    """The file of a round that can be queued."""
    with transaction() as connection:
        questions = [question(connection, f"What is {n} + 50?") for n in range(2)]
        job(connection, "teach", questions)
        job(connection, "before", questions, evaluate=True)
    file = tmp_path / "round.toml"
    file.write_text('name = "r1"\nstudent = "student"\n[select]\njobs = ["teach"]\n[evaluate]\njobs = ["before"]\n')
    return file


def test_a_queued_training_names_the_whole_command_that_follows_it(
    round_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", str(round_file), "--set", "name=r-2", "--no-wait"]
    monkeypatch.setattr("sys.argv", ["tracemill", *words])
    shown = CliRunner().invoke(app, words).stdout
    assert shown == f"queued: r-2. Follow: tracemill train {round_file} --set name=r-2\n"


def test_an_interrupted_training_names_the_commands_that_follow_and_end_it(
    round_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.train.follow", interrupted)
    monkeypatch.setattr("sys.argv", ["tracemill", "train", "round.toml"])
    errors = CliRunner().invoke(app, ["train", str(round_file)]).stderr
    assert errors == (
        "\ntraining of r1 continues without this terminal. Follow it again: tracemill train round.toml. "
        "End it: tracemill rounds cancel r1\n"
    )


def test_an_interrupted_calibration_says_that_nothing_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.calibrate.rate_file", interrupted)
    picture = str(tmp_path / "p.svg")
    result = CliRunner().invoke(
        app, ["calibrate", "--judge", "verifier", "x.jsonl", "--no-store", "--picture", picture]
    )
    assert "nothing is stored, and nothing continues. Start again: tracemill" in result.stderr
