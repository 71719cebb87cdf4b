"""An interrupt of the installed command: it names what continues, and the command that follows."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from db.session import transaction
from tests.installed import TRACEMILL, environment
from tests.integration.factory import change, rows, value, wait_until
from tests.integration.rounds import job, question
from tracemill.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("heeded_signals")]

ROUND = 'name = "r1"\n[select]\njobs = ["teach"]\n[evaluate]\njobs = ["before"]\n'
LOOP = 'name = "star"\n[attempt]\nsource = "sums.jsonl"\n[evaluate]\njobs = ["before"]\n'
#: A worker that loads its model for ever.
LOADING = """
insert into processes (name, kind, host, leads, queues, concurrency)
values ('verify.1@elsewhere', 'verify', 'elsewhere', false, '["verify.verifier"]', 0)
"""


@pytest.fixture
def folder(clean: Stack, tmp_path: Path) -> Iterator[Path]:
    """A folder with the files of a user, and a database with a taught job and an evaluation."""
    (tmp_path / "round.toml").write_text(ROUND)
    (tmp_path / "star.toml").write_text(LOOP)
    (tmp_path / "sums.jsonl").write_text('{"question": "1 + 1?", "gold": "2"}\n')
    (tmp_path / "five.jsonl").write_text("".join(f'{{"question": "{n} + 1?", "gold": "{n + 1}"}}\n' for n in range(5)))
    labelled = ({"question": "1 + 1?", "trace": "It is 2.", "correct": n % 2 == 0} for n in range(40))
    (tmp_path / "labelled.jsonl").write_text("\n".join(map(json.dumps, labelled)))
    with transaction() as connection:
        questions = [question(connection, f"What is {n} + 50?") for n in range(2)]
        job(connection, "teach", questions)
        job(connection, "before", questions, evaluate=True)
    change("delete from processes")
    change(LOADING)
    yield tmp_path
    change("delete from processes")


def interrupted(folder: Path, words: str, number: signal.Signals, wait: Callable[[IO[str]], object]) -> str:
    """Run the command, send the signal when `wait` of its stderr returns, and return the rest of stderr."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("TRACEMILL_")}
    command = [TRACEMILL, *words.split()]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env=environment() | ours, **pipes) as process:  # type: ignore[call-overload]
        try:
            wait(process.stderr)
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    return str(errors).lstrip("\n")


@pytest.mark.parametrize(
    ("number", "words", "line", "sentence"),
    [
        (
            signal.SIGINT,
            "train round.toml",
            "r1: queued",
            "training of r1 continues without this terminal. Follow it again: tracemill train round.toml. "
            "End it: tracemill rounds cancel r1\n",
        ),
        (
            signal.SIGTERM,
            "loop star.toml",
            "star: round 1",
            "loop star continues without this terminal. Follow it again: tracemill loop star.toml. "
            "Stop it: tracemill loops stop star\n",
        ),
        (
            signal.SIGHUP,
            "calibrate --judge verifier labelled.jsonl",
            "waiting for the worker that serves verifier",
            "the ratings so far are kept. Continue: tracemill calibrate --judge verifier labelled.jsonl\n",
        ),
        (
            signal.SIGINT,
            "pilot five.jsonl",
            "five:teacher-cot: 0/5 questions",
            "the arms continue without this terminal. See the result: tracemill pilot five.jsonl\n",
        ),
    ],
    ids=["train", "loop", "calibrate", "pilot"],
)
def test_an_interrupted_command_names_what_continues(
    folder: Path, number: signal.Signals, words: str, line: str, sentence: str
) -> None:
    # A signal during a print makes rich print that line again.
    errors = interrupted(folder, words, number, lambda err: next(text for text in err if line in text))
    assert errors.endswith(sentence)


def test_an_enqueue_ended_by_sighup_names_the_command_for_the_rest(folder: Path) -> None:
    lines = (f'{{"question": "What is {n} + 1?", "gold": "{n + 1}"}}\n' for n in range(200_000))
    (folder / "many.jsonl").write_text("".join(lines))
    stored = "select count(*) from job_questions q join jobs j on j.id = q.job_id where j.name = 'rest'"
    words = "enqueue many.jsonl --name rest"
    errors = interrupted(folder, words, signal.SIGHUP, lambda _: wait_until(lambda: value(stored), 60))
    assert errors == (
        "job rest keeps the questions that are stored so far, and workers answer them. "
        "Store the rest: tracemill enqueue many.jsonl --name rest. End the job: tracemill jobs cancel rest\n"
    )
    assert 0 < value(stored) < 200_000
    assert rows("select state from jobs where name = 'rest'") == [("filling",)]
