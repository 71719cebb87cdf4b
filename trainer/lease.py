"""A trainer's hold on a round: a lease in Postgres that a thread renews while the round is worked on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from db.queries import Q
from db.session import transaction
from tracemill.concurrency import Periodic

log = logging.getLogger(__name__)


class Lease:
    """One round held under one owner's name. `held` turns False when somebody else took the round over."""

    def __init__(self, round_id: int, owner: str, seconds: float) -> None:
        self.round_id = round_id
        self.owner = owner
        self.seconds = seconds
        self.held = True

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease three times in its length, by a thread, until the block ends."""
        with Periodic(f"lease-{self.round_id}", self.seconds / 3, self._renew):
            yield

    def _renew(self) -> None:
        if not self.held:
            return
        values = {"round_id": self.round_id, "owner": self.owner, "lease": self.seconds}
        try:
            with transaction() as connection:
                self.held = connection.execute(Q["renew_round"], values).rowcount == 1
        except OperationalError as error:  # Postgres is away; whoever is first when it is back goes on
            log.warning("round %d: lease not renewed: %s", self.round_id, error)
