"""The states of the local stack's programs, from the supervisor's report and the heartbeats."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from db import diagnosis
from tracemill.errors import StackError
from tracemill.lending import LENDING
from tracemill.stack import ProcessStatus


@pytest.fixture(autouse=True)
def two_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = [ProcessStatus(name, "RUNNING", 7, 3.0, 0, Path("log")) for name in ("redis", "verify")]
    monkeypatch.setattr(diagnosis.stack, "status", lambda folder: reports)


def states(monkeypatch: pytest.MonkeyPatch, heartbeats: list[Any]) -> dict[str, str]:
    monkeypatch.setattr(diagnosis, "_heartbeats", lambda host: heartbeats)
    return {report.name: report.state for report in diagnosis.programs()}


def test_a_program_is_starting_until_its_first_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    assert states(monkeypatch, []) == {"redis": "RUNNING", "verify": "STARTING"}
    beat = SimpleNamespace(name="verify.7@host", silent_seconds=1.0, queues=["verify"], concurrency=2, trouble=None)
    assert states(monkeypatch, [beat]) == {"redis": "RUNNING", "verify": "RUNNING"}


def test_a_worker_that_lends_its_gpu_is_not_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    beat = SimpleNamespace(name="verify.7@host", kind="verify", silent_seconds=1.0, queues=["verify"], concurrency=0)
    for trouble, state in ((LENDING, "LENDING"), (None, "LOADING")):
        lent = SimpleNamespace(**vars(beat), trouble=trouble, up_seconds=3.0)
        assert states(monkeypatch, [lent])["verify"] == state


def test_without_postgres_the_report_of_the_supervisor_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(host: str | None) -> list[Any]:
        raise StackError("no Postgres")

    monkeypatch.setattr(diagnosis, "_heartbeats", away)
    assert [report.state for report in diagnosis.programs()] == ["RUNNING", "RUNNING"]
