"""Crash loops and the last error lines of logs."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tracemill.stack.failures import failure, last_error
from tracemill.stack.launch import START_LINE
from tracemill.stack.state import Folder, folder_of

START = f"{START_LINE}worker at 2026-11-29 06:00:00 ---\n"


def a_folder(tmp_path: Path, starts: Sequence[float], log: str = f"{START}error: no weights\n") -> Folder:
    folder = folder_of(tmp_path / "data")
    folder.create()
    (folder.units / "worker.starts").write_text("".join(f"{start}\n" for start in starts))
    folder.log("worker").write_text(log)
    return folder


@pytest.mark.parametrize(
    ("starts", "state", "uptime", "expected"),
    [
        ([0], "RUNNING", 5, None),
        ([0, 10], "RUNNING", 5, "ended once, starts again: error: no weights"),
        ([0, 10, 20], "RUNNING", 5, "crash loop, ended 2 times: error: no weights"),
        ([0, 10, 20], "BACKOFF", None, "crash loop, ended 3 times: error: no weights"),
        ([0, 10, 20], "FATAL", None, "failed 3 times and is not started again: error: no weights"),
        ([0, 10, 20], "STOPPED", None, None),
        ([0, 10, 20], "RUNNING", 20, "crash loop, ended 2 times: error: no weights"),
        ([0, 10, 20], "RUNNING", 22, None),
        ([0, 100, 200], "RUNNING", 112, None),
        ([0, 100_000], "RUNNING", 5, None),
    ],
)
def test_a_program_has_failed_until_it_outlives_its_last_run(
    tmp_path: Path, starts: Sequence[float], state: str, uptime: float | None, expected: str | None
) -> None:
    assert failure(a_folder(tmp_path, starts), "worker", state, uptime) == expected


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (f"{START}error: old\n{START}ValueError: new\n{START}loading\n", "ValueError: new"),
        (f"{START}[2026-11-29 06:00:00: CRITICAL/MainProcess] it died\nbye\n{START}", "it died"),
        (f"{START}error: old\n{START}plain\n{START}", "plain"),
    ],
)
def test_the_last_error_is_that_of_the_latest_ended_run(tmp_path: Path, log: str, expected: str) -> None:
    assert last_error(a_folder(tmp_path, [], log).log("worker")) == expected


def test_a_log_without_a_message_names_the_probable_cause(tmp_path: Path) -> None:
    assert "perhaps because memory ran out" in last_error(a_folder(tmp_path, [], START).log("worker"))
