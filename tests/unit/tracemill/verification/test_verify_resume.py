"""`tracemill verify FILE -o OUT`: a run that was stopped is continued, and no other file is ever written over."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import ROOT
from tests.unit.tracemill.verification.verify_command import Verify, command, read, runner, sums, write


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Verify]:
    yield from runner(monkeypatch, capsys)


def start(*words: str | Path) -> "subprocess.Popen[bytes]":
    """The command in a process of its own, once it has written some rows to its last word."""
    process = subprocess.Popen(command(*words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out = Path(words[-1])
    while not out.exists() or out.stat().st_size < 100_000:
        assert process.poll() is None
        time.sleep(0.002)
    return process


def ended(children: list[psutil.Process]) -> bool:
    """Whether they all end within seconds."""
    return not psutil.wait_procs(children, timeout=5)[1]


def without_seconds(path: Path) -> list[str]:
    """The lines as they stand, but for the one field that differs between runs."""
    lines = path.read_text("utf-8").splitlines()
    return [line.replace(f'"seconds": {json.loads(line)["seconds"]}', '"seconds": 0') for line in lines]


def test_an_output_cut_off_anywhere_is_completed_to_the_same_bytes(verify: Verify, tmp_path: Path) -> None:
    rows = [*sums(4), {"answer": "own", "trace": "é \ud800"}, {"trace": 5}, {}]
    path, out = write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    path.write_bytes(b"nonsense\n" + path.read_bytes() + b"nonsense\n")
    verify(path, "-o", out)
    whole, data = without_seconds(out), out.read_bytes()
    assert len(whole) == 7
    ends = [offset for offset in range(len(data)) if data[offset : offset + 1] == b"\n"]
    for cut in [0, 1, 50, *(end + more for end in ends for more in (-1, 0, 1, 60)), len(data) - 30]:
        out.write_bytes(data[:cut])
        run = verify(path, "-o", out, "--json")
        figures = json.loads(run.out)
        assert without_seconds(out) == whole
        assert out.read_bytes().startswith(data[: data.rfind(b"\n", 0, cut) + 1])
        assert (run.code, figures["rows"], figures["left_out"], figures["not_verified"]) == (1, 7, 2, 2)
        assert figures["from_earlier_run"] == data[:cut].count(b"\n")


def test_killed_half_way_and_run_again_it_ends_as_if_undisturbed(verify: Verify, tmp_path: Path) -> None:
    path, out = write(tmp_path / "in.jsonl", sums(6000)), tmp_path / "out.jsonl"
    verify(path, "-o", tmp_path / "undisturbed.jsonl")
    process = start(path, "-o", out)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    with out.open("ab") as file:
        file.truncate(out.stat().st_size - 10)
    done = out.read_bytes()
    assert done.count(b"\n") < 6000
    assert ended(children)
    run = verify(path, "-o", out, "--json")
    assert (run.code, json.loads(run.out)["from_earlier_run"]) == (0, done.count(b"\n"))
    assert without_seconds(out) == without_seconds(tmp_path / "undisturbed.jsonl")
    assert out.read_bytes().startswith(done[: done.rfind(b"\n") + 1])


def test_interrupted_it_says_how_to_go_on_and_leaves_no_process(verify: Verify, tmp_path: Path) -> None:
    path, out = write(tmp_path / "in.jsonl", sums(6000)), tmp_path / "out.jsonl"
    process = start(path, "-o", out)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"run the same command again to continue" in errors
    assert b"Traceback" not in errors
    assert ended(children)
    assert verify(path, "-o", out).code == 0
    assert [row["id"] for row in read(out)] == [f"q{i}" for i in range(6000)]


def test_an_input_that_has_grown_is_continued(verify: Verify, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    verify(write(tmp_path / "in.jsonl", sums(5)), "-o", out)
    run = verify(write(tmp_path / "in.jsonl", sums(8)), "-o", out, "--json")
    assert (run.code, json.loads(run.out)["from_earlier_run"], len(read(out))) == (0, 5, 8)


CHANGES: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "a trace": lambda rows: rows[1].update(trace="The answer is 8"),
    "a gold answer": lambda rows: rows[1].update(gold="9"),
    "a kind": lambda rows: rows[1].update(kind="text"),
    "own steps": lambda rows: rows[1].update(steps=["one"]),
    "a new field": lambda rows: rows[1].update(level=3),
    "a field less": lambda rows: rows[1].pop("id"),
    "a row less": lambda rows: rows.pop(1),
    "a row less at the end": lambda rows: rows.pop(),
    "another order": lambda rows: rows.reverse(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_input_that_was_changed_is_noticed_and_the_output_left_alone(
    verify: Verify, tmp_path: Path, change: str
) -> None:
    out, rows = tmp_path / "out.jsonl", sums(4)
    verify(write(tmp_path / "in.jsonl", rows), "-o", out)
    before = out.read_bytes()
    CHANGES[change](rows)
    run = verify(write(tmp_path / "in.jsonl", rows), "-o", out)
    assert (run.code, run.out) == (2, "")
    assert f"error: {out} " in run.err
    assert "Delete it to start again" in run.err
    assert out.read_bytes() == before


@pytest.mark.parametrize("content", ["notes without an end", "notes\n", '{"a": 1}', '{"a": 1}\n', "[" * 100_000 + "\n"])
def test_a_file_that_holds_something_else_is_never_written_over(verify: Verify, tmp_path: Path, content: str) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text(content)
    run = verify(write(tmp_path / "in.jsonl", sums(3)), "-o", out)
    assert run.code == 2
    assert "Delete it to start again" in run.err
    assert out.read_text() == content


def test_two_runs_never_write_one_file(verify: Verify, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    out = tmp_path / "out.jsonl"
    waiting = subprocess.Popen(
        command("-", "-o", out), cwd=ROOT, stdin=read_end, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(read_end)
    while not out.exists():
        assert waiting.poll() is None
        time.sleep(0.02)
    time.sleep(0.2)
    run = verify(write(tmp_path / "in.jsonl", sums(3)), "-o", out)
    assert run.code == 2
    assert "another run" in run.err
    os.close(write_end)
    assert waiting.wait(30) == 0


def test_a_full_disk_is_said_in_a_sentence(verify: Verify, tmp_path: Path) -> None:
    run = verify(write(tmp_path / "in.jsonl", sums(3)), "-o", "/dev/full")
    assert run.code == 1
    assert "error: cannot write /dev/full: No space left on device" in run.err
    assert "run the same command again to continue" in run.err
