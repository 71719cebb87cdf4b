"""A trainer's lease on a round: a thread renews it in Postgres during the work."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from db.queries import Q
from db.session import transaction
from tracemill.concurrency import Periodic

log = logging.getLogger(__name__)


class Lease:
    """The lease of one owner on one round. `held` becomes False when another owner has claimed the round."""

    def __init__(self, round_id: int, owner: str, seconds: float) -> None:
        self.round_id = round_id
        self.owner = owner
        self.seconds = seconds
        self.held = True

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease in a thread, three times per duration, until the block ends."""
        with Periodic(f"lease-{self.round_id}", self.seconds / 3, self._renew):
            yield

    def _renew(self) -> None:
        if not self.held:
            return
        values = {"round_id": self.round_id, "owner": self.owner, "lease": self.seconds}
        try:
            with transaction() as connection:
                self.held = connection.execute(Q["renew_round"], values).rowcount == 1
        except OperationalError as error:  # Postgres is unreachable; the first to claim or renew later continues
            log.warning("round %d: lease not renewed: %s", self.round_id, error)
