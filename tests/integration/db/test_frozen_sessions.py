"""A session that is frozen in a transaction keeps its locks for seconds, and stops no other job meanwhile."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from db.heartbeat import present
from db.session import engine, transaction
from tests import ROOT
from tests.conftest import forget
from tests.integration.factory import additions, change, fill, states, value, wait_until
from tests.integration.feeding import leases_run_out, step
from tests.integration.rounds import new_round, round_spec
from tests.integration.statements import claim
from tracemill.roles import APPLICATION
from tracemill.settings import FeederSettings
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

LIMITS = FeederSettings(window=10)
#: The locks of a process that was frozen in a transaction.
LOCKS = {
    "claims": "select from job_questions where job_id = 1 for update",
    "the job": "update jobs set spent = spent where id = 1",
    "a round": "select from rounds for update",
}


@contextmanager
def frozen(statement: str) -> Iterator[None]:
    """A session that holds the locks of the statement until the end of the block."""
    with engine().connect() as connection:
        connection.execute(text(statement))
        yield


@pytest.mark.parametrize("held", LOCKS)
def test_a_frozen_transaction_of_one_job_does_not_stop_another(clean: Stack, held: str) -> None:
    ids = [fill(additions(2), name, budget=10, budget_unit="tokens").job_id for name in ("frozen", "other")]
    with transaction() as connection:
        new_round(connection, round_spec("r1"))
    step(LIMITS)
    for job_id in ids:
        claim(job_id, *(2 * job_id - 1, 2 * job_id))
    leases_run_out()
    change("update jobs set spent = 10 where id = 1")
    change("update rounds set lease_until = null")
    feeding = threading.Thread(target=step, args=(LIMITS,))
    with frozen(LOCKS[held]):
        feeding.start()
        feeding.join(5)
        has_ended, other = not feeding.is_alive(), states("other")
    feeding.join()
    assert has_ended
    assert other == {"queued": 2}
    assert states("frozen") == {"running" if held == "claims" else "pending": 2}


HOLDS_A_LOCK = """
import time
from sqlalchemy import text
from db import session
with session.transaction() as connection:
    connection.execute(text("set local idle_in_transaction_session_timeout = '1s'"))
    connection.execute(text("update jobs set priority = 1"))
    print("locked", flush=True)
    time.sleep(600)
"""


def test_a_process_that_is_frozen_in_a_transaction_loses_its_locks(clean: Stack) -> None:
    fill(additions(1), "sums")
    with subprocess.Popen([sys.executable, "-c", HOLDS_A_LOCK], cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "locked\n"
            holder.send_signal(signal.SIGSTOP)
            unlocked = "select count(*) from (select from jobs for update skip locked) j"
            assert value(unlocked) == 0
            wait_until(lambda: value(unlocked) == 1, 5)
        finally:
            holder.kill()


def test_every_session_waits_a_limited_time_for_locks_and_statements(clean: Stack) -> None:
    names = ("idle_in_transaction_session_timeout", "lock_timeout")
    assert [value(f"show {name}") for name in names] == ["15s", "10s"]


def test_a_process_whose_role_has_no_limits_warns(clean: Stack, caplog: pytest.LogCaptureFixture) -> None:
    change("alter role current_user set lock_timeout = 0")
    try:
        forget()
        with present("producer"):
            assert "run `tracemill db roles`" in caplog.text
    finally:
        change(f"alter role current_user set lock_timeout = '{APPLICATION['lock_timeout']}'")
        forget()
