"""`tracemill verify FILE --judge ALIAS`: what a model adds to the verdicts, and what happens when it fails."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.scripted_server import Fault, ScriptedServer
from tests.unit.tracemill.verification.verify_command import Verify, command, read, runner, sums, write


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Verify]:
    yield from runner(monkeypatch, capsys)


JUDGE = {"TRACEMILL_MODELS__SCRIPTED__ENGINE": "openai", "TRACEMILL_MODELS__SCRIPTED__MODEL": "scripted"}


def test_a_judge_rates_each_row_and_is_watched(verify: Verify, tmp_path: Path) -> None:
    path, out = write(tmp_path / "in.jsonl", sums(30)), tmp_path / "out.jsonl"
    with ScriptedServer(first_words={"yes": -0.2, "no": -1.7}) as server:
        here = JUDGE | {"TRACEMILL_MODELS__SCRIPTED__OPENAI__BASE_URL": server.base_url}
        ended = verify(path, "-o", out, "--judge", "scripted", "--json", **here)
        assert ended.code == 0
        first = len(server.requests)
        again = verify(path, "-o", out, "--judge", "scripted", "--json", **here)
        assert json.loads(again.out)["from_earlier_run"] == 30
        assert len(server.requests) < 2 * first
        without = verify(path, "-o", out)
        assert without.code == 2
        assert "with these options" in without.err
    done = read(out)
    assert [row["id"] for row in done] == [f"q{i}" for i in range(30)]
    assert all(row["faithfulness"] == pytest.approx(0.8176, abs=1e-3) for row in done)
    assert all(0 <= row["coherence"] <= 1 for row in done)
    assert {(row["judge"], row["agreement"]) for row in done} == {("scripted", None)}
    watched = json.loads(ended.out)["judge"]
    assert watched["alias"] == "scripted"
    assert watched["canaries"] > 0


def test_rows_that_the_judge_fails_on_are_named_and_keep_their_other_verdicts(verify: Verify, tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", sums(3))
    with ScriptedServer(first_words={"yes": -0.2, "no": -1.7}) as server:
        # The canaries are answered, then every prompt is too long.
        server.faults = _after(server, Fault.REFUSED)
        here = JUDGE | {"TRACEMILL_MODELS__SCRIPTED__OPENAI__BASE_URL": server.base_url}
        ended = verify(path, "-o", tmp_path / "out.jsonl", "--judge", "scripted", **here)
    assert ended.code == 1
    done = read(tmp_path / "out.jsonl")
    assert [row["correct"] for row in done] == [True, True, False]
    assert all(row["faithfulness"] is None and "maximum context length" in row["error"] for row in done)
    assert "line 1 is not verified" in ended.err


def _after(server: ScriptedServer, fault: Fault) -> Iterator[Any]:
    """The fault for requests about our rows only."""
    while True:
        _, request = server.requests[-1]
        yield fault if "+ 7?" in json.dumps(request) else None


def test_a_judge_that_is_dead_ends_the_run_with_a_sentence(verify: Verify, tmp_path: Path) -> None:
    with ScriptedServer(faults=[Fault.UNAUTHORIZED] * 1000) as server:
        here = JUDGE | {"TRACEMILL_MODELS__SCRIPTED__OPENAI__BASE_URL": server.base_url}
        ended = verify(write(tmp_path / "in.jsonl", sums(3)), "--judge", "scripted", **here)
    assert (ended.code, ended.out) == (1, "")
    assert "error: " in ended.err
    assert "Traceback" not in ended.err


def test_interrupted_while_the_judge_thinks_it_ends_at_once(tmp_path: Path) -> None:
    path, out = write(tmp_path / "in.jsonl", sums(300)), tmp_path / "out.jsonl"
    with ScriptedServer(first_words={"yes": -0.2, "no": -1.7}) as server:
        server.faults = _after(server, Fault.HANGS)
        process = subprocess.Popen(
            command(path, "-o", out, "--judge", "scripted"),
            cwd=ROOT,
            env=os.environ | JUDGE | {"TRACEMILL_MODELS__SCRIPTED__OPENAI__BASE_URL": server.base_url},
            stderr=subprocess.PIPE,
        )
        while not any("+ 7?" in json.dumps(request) for _, request in list(server.requests)):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert b"stopped after 0 rows" in errors
    assert b"Traceback" not in errors
