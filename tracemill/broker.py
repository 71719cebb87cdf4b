"""Celery's way to Redis: one client for each connection pool, and workers that are soon back when Redis is.

kombu makes a new `redis.Redis` for each command. With redis-py 8 that fills a table of 170 entries, a third of a
millisecond each time: more than the command itself, and a quarter of all that a question costs. And the longer Redis is
away, the less often Celery looks for it, in the end every 30 s.
"""

from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES, redis

#: Seconds between two attempts to reach Redis, at most.
LONGEST_PAUSE = 4.0


class Channel(redis.Channel):  # type: ignore[misc]
    """Keeps the client that it made for its pool; a client that has a pool may be used by any thread."""

    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)
        if self._kept is None or self._kept.connection_pool is not self.pool:  # kombu drops its pool when Redis is away
            self._kept = super()._create_client()
        return self._kept


class Transport(redis.Transport):  # type: ignore[misc]
    Channel = Channel


class Patient(Connection):  # type: ignore[misc]
    """Looks for a broker that is away every few seconds, however long it takes."""

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        return super().ensure_connection(*args, **{"interval_max": LONGEST_PAUSE, **kwargs})


class Wires(AMQP):  # type: ignore[misc]
    """What Celery connects with."""

    Connection = Patient


def install() -> None:
    """From here on, addresses `redis://` and `rediss://` mean this transport."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
