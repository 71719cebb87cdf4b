"""A trainer's lease on a round: a thread renews it in Postgres during the work."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from db.queries import Q
from db.retry import is_away, reason
from db.session import transaction
from tracemill.concurrency import Periodic

log = logging.getLogger(__name__)

#: The longest time between two renewals. A trainer notices within it that its round was cancelled.
MAX_RENEW_SECONDS = 2.0


class Lease:
    """The lease of one owner on one round.

    `held` becomes False when the round was cancelled, or when another owner has claimed it.
    """

    def __init__(self, round_id: int, owner: str, seconds: float) -> None:
        self.round_id = round_id
        self.owner = owner
        self.seconds = seconds
        self.held = True

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease in a thread, at least three times per duration, until the block ends."""
        with Periodic(f"lease-{self.round_id}", min(self.seconds / 3, MAX_RENEW_SECONDS), self._renew):
            yield

    def _renew(self) -> None:
        if not self.held:
            return
        values = {"round_id": self.round_id, "owner": self.owner, "lease": self.seconds}
        try:
            with transaction() as connection:
                self.held = connection.execute(Q["renew_round"], values).rowcount == 1
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            # The first to claim or renew the round later continues.
            log.warning("round %d: lease not renewed: %s", self.round_id, reason(error))
