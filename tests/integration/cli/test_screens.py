"""The screens of five states of the factory, in 80 and in 60 columns: loading, working, paused, crash loop, done."""

import io
import json
import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from unittest.mock import patch

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli import jobs
from cli import stack as commands
from cli.main import app
from cli.output import console
from tests.integration.factory import additions, change, fill
from tracemill import stack as local
from tracemill.stack import ProcessStatus, Stack

pytestmark = pytest.mark.integration

JOB = "gsm8k-train-teacher-cot"
ERROR = "error: /data/models/llama-3.3-70b-instruct-awq-marlin-of-the-team/config.json: no such file"
CRASH_LOOP = f"generate: crash loop, ended 7 times: {ERROR}"
COMMANDS = (["up"], ["status"], ["health"], ["jobs", "list"])
PROGRAMS = [
    ProcessStatus(name, "RUNNING", pid, 3723.0, 0, Path("log"), engine="vllm" if name == "generate" else "")
    for pid, name in enumerate(("postgres", "redis", "generate", "producer", "verify"), start=4_194_300)
]
HEARTBEAT = """
insert into processes (name, kind, host, leads, queues, concurrency, started_at)
values (:name, :kind, :host, :leads, cast(:queues as jsonb), :concurrency, now() - interval '42 seconds')
"""


def beats(*, generate: int | None = 64) -> None:
    """Store the heartbeats of the programs. `generate`: the concurrency of that worker; None if it has no heartbeat."""
    change("delete from processes")
    queues = {"producer": [], "generate": ["generate.teacher", "generate.student"], "verify": ["verify"]}
    host = socket.gethostname()
    for program in PROGRAMS[2:]:
        kind = program.name
        concurrency = generate if kind == "generate" else 1
        if concurrency is not None:
            row = {"kind": kind, "host": host, "leads": kind == "producer", "concurrency": concurrency}
            change(HEARTBEAT, name=f"{kind}.{program.pid}@{host}", queues=json.dumps(queues[kind]), **row)


def loading() -> list[ProcessStatus]:
    beats(generate=0)
    return PROGRAMS


def working() -> list[ProcessStatus]:
    beats()
    return PROGRAMS


def paused() -> list[ProcessStatus]:
    beats()
    change("update jobs set state = 'paused'")
    return PROGRAMS


def crash_loop() -> list[ProcessStatus]:
    beats(generate=None)
    failure = CRASH_LOOP.removeprefix("generate: ")
    ended = {"state": "BACKOFF", "pid": None, "uptime": None, "restarts": 6, "failure": failure}
    return [replace(program, **ended) if program.name == "generate" else program for program in PROGRAMS]  # type: ignore[arg-type]


def done() -> list[ProcessStatus]:
    beats()
    change("update job_questions set state = 'done'")
    change("update jobs set state = 'done'")
    return PROGRAMS


class OneReport(Exception):
    """The end of the live table."""


class OneReportLong:
    """A clock for `jobs.follow` that ends it at its first sleep. Threads of other modules keep the real one."""

    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def sleep(_: float) -> None:
        raise OneReport


def live_table(width: int) -> str:
    """The first table of `jobs watch` on a terminal."""
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, color_system=None, width=width, height=50)
    with patch.object(jobs, "time", OneReportLong), suppress(OneReport):
        jobs.follow([JOB], out=terminal)
    return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", screen.getvalue())


def squeezed(text: str) -> str:
    """The text of each column without spaces: a wrapped cell is one word then. Seconds since then do not count."""
    columns = zip_longest(*(line.split("│") for line in text.splitlines()), fillvalue="")
    return re.sub(r"\(4\ds\)", "(42s)", re.sub(r"\s", "", "".join(map("".join, columns))))


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize(
    ("state", "reason", "in_status"),
    [
        (loading, "generate is loading the model (42 s)", "LOADING"),
        (working, None, "RUNNING"),
        (paused, f"paused. Continue: tracemill jobs resume {JOB}", "RUNNING"),
        (crash_loop, CRASH_LOOP, "BACKOFF"),
        (done, None, "RUNNING"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_screen_shows_its_state_and_the_reason_whole(
    clean: Stack,
    monkeypatch: pytest.MonkeyPatch,
    state: Callable[[], list[ProcessStatus]],
    reason: str | None,
    in_status: str,
    width: int,
) -> None:
    fill(additions(3), JOB)
    programs = state()
    monkeypatch.setattr(local, "status", lambda _: programs)
    watch = live_table(width)
    monkeypatch.setattr(commands, "start", lambda *_, **__: None)
    monkeypatch.setattr(commands, "require_programs", lambda: None)
    monkeypatch.setattr(console, "_width", width)
    screens = {" ".join(words): CliRunner().invoke(app, words).stdout for words in COMMANDS} | {"watch": watch}
    for name, screen in screens.items():
        assert (reason is None) or squeezed(reason) in squeezed(screen), (name, screen)
        assert "…" not in screen, (name, screen)
        tables = [line for line in screen.splitlines() if not line.startswith((f"{JOB}: ", "generate: ", "logs: "))]
        assert max(map(len, tables)) <= width, (name, screen)
    for name in ("up", "status"):
        assert re.search(rf"^│ generate │ {in_status}\b", screens[name], re.MULTILINE), screens[name]
    change("delete from processes")


def test_flower_prints_no_address_where_nothing_answers(clean: Stack) -> None:
    ended = CliRunner().invoke(app, ["flower"])
    assert str(ended.exception) == "Flower does not run. `tracemill up` starts it, unless [local] has flower = false"
    assert ended.stdout == ""
