"""Postgres is away for longer than a lease, or read-only as during a failover. Both take seconds."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.factory import Processes, additions, fill, rows, states, value, wait_until
from tests.integration.scripted import Teacher, wait_for
from tracemill import stack as local
from tracemill.settings import settings
from tracemill.stack import Stack
from tracemill.stack.state import folder_of
from tracemill.stack.supervise import Supervisor

pytestmark = pytest.mark.integration

#: Longer than the lease of a claim, and than that of the leader.
OUTAGE_SECONDS = 5


def test_an_outage_longer_than_a_lease_takes_no_claim_from_a_living_worker(
    factory: Processes, teacher: Teacher, stack: Stack
) -> None:
    teacher.latency = OUTAGE_SECONDS + 4
    before = teacher.n_requests
    fill(additions(32), "outage", samples=1)
    wait_until(lambda: teacher.n_requests - before == 0 and states("outage") == {"running": 32}, 30)
    supervisor = Supervisor(folder_of(settings().data_dir), Path(stack.run_dir))
    supervisor.stop(["postgres"], 10)
    time.sleep(OUTAGE_SECONDS)
    supervisor.apply()
    supervisor.settle(["postgres"], 20)
    wait_for("outage")
    assert teacher.n_requests - before == 32
    assert rows("select worker, count(*) from traces group by 1")[0].count == 32
    assert [name for name, process in factory.running.items() if process.poll() is not None] == []


@contextmanager
def read_only(stack: Stack) -> Iterator[None]:
    """Every new transaction is read-only, as after `alter system set default_transaction_read_only = on`."""
    file = folder_of(settings().data_dir).postgres / "postgresql.auto.conf"
    before = file.read_text()
    (pid,) = [row.pid for row in local.status(settings().data_dir) if row.name == "postgres"]
    assert pid is not None

    def load(content: str, setting: str) -> None:
        file.write_text(content)
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: value("show default_transaction_read_only") == setting, 10)

    load(f"{before}default_transaction_read_only = on\n", "on")
    try:
        yield
    finally:
        load(before, "off")


def test_answers_that_arrive_at_a_read_only_postgres_are_kept(
    factory: Processes, teacher: Teacher, stack: Stack
) -> None:
    teacher.latency = 2
    before = teacher.n_requests
    fill(additions(32), "read-only", samples=1)
    wait_until(lambda: states("read-only") == {"running": 32}, 30)
    refusals = {name: factory.log(name).read_text().count("read-only transaction") for name in ("generate", "producer")}
    with read_only(stack):
        for name, earlier in refusals.items():
            wait_until(lambda: factory.log(name).read_text().count("read-only transaction") > earlier + 1, 30)  # noqa: B023
        wait_until(lambda: teacher.n_requests - before == 32, 30)
        time.sleep(1)
        assert states("read-only") == {"running": 32}
    wait_for("read-only")
    assert teacher.n_requests - before == 32
    assert [name for name, process in factory.running.items() if process.poll() is not None] == []
