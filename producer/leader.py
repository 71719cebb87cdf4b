"""The lead among the feeders: a lease on one row of Postgres, with a fencing number.

Each change of the leader raises the number. A leader renews its lease at the start of each transaction, by its number.
So a feeder that was frozen or cut off, and returns after another one took the lead, changes nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from db.queries import Q
from db.session import statement, transaction
from tracemill.errors import TracemillError


class LeadLost(TracemillError):
    """The lease of this feeder ran out, so another one may lead."""


@dataclass(frozen=True)
class Lead:
    """The lease of the leading feeder."""

    fence: int
    #: Duration of the lease after each renewal.
    lease_seconds: float

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction of the leader, which no other feeder can interrupt. Raises LeadLost before any change."""
        with transaction() as connection:
            self._renew(connection)
            yield connection

    def held_seconds(self) -> float:
        """Seconds for which this feeder has led without losing Postgres. Raises LeadLost."""
        with statement() as connection:
            return self._renew(connection)

    def _renew(self, connection: Connection) -> float:
        renewal = {"fence": self.fence, "lease": self.lease_seconds}
        seconds = connection.execute(Q["renew_lead"], renewal).scalar()
        if seconds is None:
            raise LeadLost("this feeder no longer leads: its lease ran out")
        return float(seconds)

    def release(self) -> None:
        """Let another feeder lead at once."""
        with statement() as connection:
            connection.execute(Q["release_lead"], {"fence": self.fence})


def take_lead(name: str, lease_seconds: float) -> Lead | None:
    """The lead for the feeder of that name; None while another feeder has it."""
    with statement() as connection:
        fence = connection.execute(Q["take_lead"], {"name": name, "lease": lease_seconds}).scalar()
    return None if fence is None else Lead(fence, lease_seconds)
