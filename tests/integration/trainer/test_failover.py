"""A Postgres that is read-only during a failover fails no round and no loop."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError

from db.session import transaction
from tests.integration.factory import change, rows
from tests.integration.rounds import new_round, round_spec
from tracemill.stack import Stack
from trainer import fit, lease, loop_service, service

pytestmark = pytest.mark.integration


def write_during_a_failover(*_: Any) -> None:
    with transaction() as connection:
        connection.execute(text("set transaction read only"))
        connection.execute(text("update rounds set error = 'it was written'"))


def test_a_round_continues_after_a_failover(clean: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction() as connection:
        round_id = new_round(connection, round_spec("r1"))
    monkeypatch.setattr(service, "_work", write_during_a_failover)
    with pytest.raises(InternalError, match="read-only transaction"):
        service.run_round(round_id)
    assert rows("select state, error from rounds") == [("selecting", None)]


def test_a_loop_continues_after_a_failover(clean: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    change("insert into loops (name, awaits, spec, shots) values ('star', 'star-1-attempt', '{}', '[]')")
    monkeypatch.setattr(loop_service, "loop_of", write_during_a_failover)
    with pytest.raises(InternalError, match="read-only transaction"):
        loop_service.make_step(1)
    assert rows("select state, error from loops") == [("running", None)]


def test_a_lease_is_renewed_again_after_a_failover(clean: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "transaction", lambda: write_during_a_failover())
    held = lease.Lease(1, "trainer", 30)
    held._renew()
    assert held.held


def test_a_fit_continues_during_a_failover(clean: Stack, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(fit, "transaction", lambda: write_during_a_failover())
    fit._reporter(1)(fit.objectives.Progress(1, 2, ((1, 0.5),), 1.0, 1.0, 1.0))
    assert "progress not stored: cannot execute UPDATE in a read-only transaction" in capsys.readouterr().err
