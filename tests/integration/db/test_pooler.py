"""The factory works behind pgbouncer in transaction mode, where no session lasts longer than a transaction."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import empty, forget
from tests.integration.factory import additions, fill, value
from tests.integration.pooler import PROGRAM, pooler
from tests.integration.scripted import check, scripted_factory, start_all, wait_for
from tracemill.roles import APPLICATION
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

#: Sessions of the pooler: far fewer than the connections of the processes.
SESSIONS = 3


def test_a_missing_pooler_is_reported() -> None:
    """A warning for a machine without pgbouncer, where the other tests of this file are skipped."""
    if PROGRAM is None:
        warnings.warn("THE FACTORY WAS NOT TESTED BEHIND A POOLER: there is no pgbouncer", stacklevel=1)


@pytest.fixture(scope="module")
def pooled(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The settings name the pooler instead of Postgres."""
    if PROGRAM is None:
        pytest.skip("not tried: there is no pgbouncer")
    forget()
    empty(stack)
    with (
        pooler(stack, tmp_path_factory.mktemp("pooler"), SESSIONS) as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TRACEMILL_DATABASE_URL", address)
        forget()
        yield
    forget()


def test_a_job_is_answered_and_verified_behind_a_pooler(pooled: None, tmp_path: Path) -> None:
    with scripted_factory(tmp_path) as processes:
        start_all(processes)
        fill(additions(40), "sums")
        fill(additions(20), "budgeted", budget=100_000, budget_unit="tokens")
        for job in ("sums", "budgeted"):
            wait_for(job)
    check("sums", 40)
    check("budgeted", 20)


def test_every_session_of_a_pooler_has_the_limits_of_the_application(pooled: None) -> None:
    names = ("idle_in_transaction_session_timeout", "lock_timeout")
    assert [value(f"show {name}") for name in names] == [APPLICATION[name] for name in names]
