"""The errors of Postgres after which the same work is tried again."""

import psycopg.errors
import pytest
from sqlalchemy.exc import DBAPIError

from db import retry
from db.retry import is_away, patiently

#: What an outage, a failover and a full server show, by SQLSTATE.
AWAY = (
    *("08000", "08001", "08003", "08004", "08006", "08P01"),
    *("25006", "25P03"),
    *("40001", "40P01", "55P03"),
    *("53000", "53100", "53200", "53300", "53400"),
    *("57P01", "57P02", "57P03", "57P05", "58000", "58030"),
)
#: Errors of a statement, its data or its rights.
NOT_AWAY = ("22001", "22P02", "23503", "23505", "42501", "42601", "42703", "42P01", "XX000")


def error(state: str) -> DBAPIError:
    """The error of SQLAlchemy for an error of psycopg with this SQLSTATE."""
    original = psycopg.errors.lookup(state)("it failed")
    made = DBAPIError.instance("select", {}, original, psycopg.Error)
    assert isinstance(made, DBAPIError)
    return made


@pytest.mark.parametrize("state", AWAY)
def test_states_of_an_absent_server_are_tried_again(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.0)
    errors = [error(state), error(state)]

    def work() -> str:
        if errors:
            raise errors.pop()
        return "stored"

    assert patiently(work) == "stored"


@pytest.mark.parametrize("state", NOT_AWAY)
def test_errors_of_a_statement_are_raised_at_once(state: str) -> None:
    assert not is_away(error(state))
    with pytest.raises(DBAPIError):
        patiently(lambda: (_ for _ in ()).throw(error(state)))


def test_a_lost_connection_without_a_state_is_tried_again() -> None:
    lost = DBAPIError.instance("select", {}, psycopg.OperationalError("server closed the connection"), psycopg.Error)
    assert is_away(lost)
    assert not is_away(ValueError("no row"))
