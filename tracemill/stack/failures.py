"""Crash loops: programs that end soon after each start, with the last error line of their logs."""

import re
from pathlib import Path

from tracemill.stack.launch import START_LINE, WITHIN_SECONDS
from tracemill.stack.state import Folder

#: Bytes at the end of a log that are searched for an error, and the longest error line that is shown.
TAIL_BYTES = 64_000
MAX_CHARACTERS = 200

#: Seconds by which two runs of a program that fails in the same way may differ. The supervisor rounds by a second.
MAX_SLACK = 10.0

ERROR = re.compile(r"^error: |^[\w.]*(Error|Exception|Exit)\b|\b(ERROR|CRITICAL|FATAL)\b")
#: The prefix of a line that Celery logs.
PREFIX = re.compile(r"^\[[^\]]*\]\s*")


def start_times(folder: Folder, name: str) -> list[float]:
    """The start times of a program since `up` started it, in seconds since the epoch."""
    journal = folder.units / f"{name}.starts"
    return [float(line) for line in journal.read_text().split()] if journal.exists() else []


def failure(folder: Folder, name: str, state: str, uptime: float | None) -> str | None:
    """Why a restarted program counts as failed; None if it works.

    A running program has failed if it ended soon after its previous start and has not run clearly longer since.
    """
    starts = start_times(folder, name)
    n_ended = len(starts) if uptime is None else len(starts) - 1
    if n_ended < 1 or state in ("STOPPED", "STOPPING"):
        return None
    if uptime is not None:
        previous_seconds = starts[-1] - starts[-2]
        if previous_seconds > WITHIN_SECONDS or uptime > previous_seconds + min(previous_seconds, MAX_SLACK) + 1:
            return None
    error = last_error(folder.log(name))
    if state == "FATAL":
        return f"failed {n_ended} times and is not started again: {error}"
    return f"crash loop, ended {n_ended} times: {error}" if n_ended > 1 else f"ended once, starts again: {error}"


def last_error(log: Path) -> str:
    """The last error line of a program's log, otherwise the last line of its previous run."""
    lives = _tail(log).split(START_LINE)
    for index, life in enumerate(reversed(lives)):
        lines = [line.strip() for line in life.splitlines()[1:] if line.strip()]
        errors = [line for line in lines if ERROR.search(line)]
        if errors or (lines and index > 0):
            return PREFIX.sub("", (errors or lines)[-1])[:MAX_CHARACTERS]
    return f"it left no message. It was killed, perhaps because memory ran out. See {log}"


def _tail(log: Path) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return file.read().decode(errors="replace")
