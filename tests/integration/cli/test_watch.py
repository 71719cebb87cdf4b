"""`tracemill jobs watch` in a pipe and with Ctrl-C, through the installed command."""

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

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("heeded_signals")]


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_watch_says_what_continues_and_how_to_watch_again(number: signal.Signals) -> None:
    with watching("sums") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "job sums continues without this terminal. Watch again: tracemill jobs watch sums" in errors


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
