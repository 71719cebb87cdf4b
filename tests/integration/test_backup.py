"""A backup taken in the middle of work, restored on a new server as documented, loses and repeats nothing."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from tests.conftest import forget
from tests.documented import block_after
from tests.installed import TRACEMILL
from tests.integration.factory import Processes, additions, fill, states, value, wait_until
from tests.integration.scripted import Teacher, check, start_all, wait_for
from tests.integration.server import new_server, program
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

QUESTIONS = 80
PAGE = "docs/operations.md"


@pytest.fixture
def new(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The variables of the processes on a new server."""
    (tmp_path / "server").mkdir()
    with new_server(tmp_path / "server") as admin:
        host = admin.split("@")[1].split("/")[0]
        yield {
            "TRACEMILL_ADMIN_URL": admin,
            "TRACEMILL_DIRECT_URL": f"postgresql+psycopg://tracemill:o@{host}/tracemill",
            "TRACEMILL_DATABASE_URL": f"postgresql+psycopg://tracemill_app:a@{host}/tracemill",
            "TRACEMILL_READER_URL": f"postgresql://tracemill_reader:r@{host}/tracemill",
        }


def shell(commands: str, folder: Path, **variables: str) -> None:
    """Run documented commands."""
    path = f"{Path(program('pg_dump')).parent}:{Path(TRACEMILL).parent}:{os.environ['PATH']}"
    environment = os.environ | variables | {"PATH": path, "TRACEMILL_CONFIG": ""}
    ended = subprocess.run(
        ["bash", "-ec", commands], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_restored_backup_continues_without_loss_or_repetition(
    stack: Stack,
    factory: Processes,
    teacher: Teacher,
    new: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teacher.latency = 1.0  # so that some answers are always under way
    fill(additions(QUESTIONS), "sums")
    wait_until(lambda: states("sums").get("done", 0) >= 10)
    shell(block_after(PAGE, "pg_dump"), tmp_path, TRACEMILL_DIRECT_URL=stack.database_url)
    wait_for("sums")
    factory.stop_all()

    restore = block_after(PAGE, "tracemill db roles\npg_restore").splitlines()
    assert restore[-1].startswith("redis-cli")
    shell("\n".join(restore[:-1]), tmp_path, **new)
    redis.Redis.from_url(stack.redis_url).flushall()
    for name, address in new.items():
        monkeypatch.setenv(name, address)
    forget()
    try:
        under_way = states("sums")
        assert {"running", "done"} <= under_way.keys()
        unanswered = value(UNANSWERED)
        before = teacher.n_requests
        start_all(factory)
        wait_for("sums")
        check("sums", QUESTIONS)
        assert teacher.n_requests - before == unanswered
        assert 0 < unanswered < QUESTIONS
        with psycopg.connect(new["TRACEMILL_READER_URL"]) as reader:
            counts = reader.execute("select traces, done from job_progress").fetchall()
        assert counts == [(4 * QUESTIONS, QUESTIONS)]
    finally:
        factory.stop_all()
        monkeypatch.undo()
        forget()


UNANSWERED = """
select count(*) from job_questions q
where (select count(*) from traces t where t.job_id = q.job_id and t.question_id = q.question_id) < 4
"""
