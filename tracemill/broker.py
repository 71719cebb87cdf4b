"""Celery's connection to Redis: one client for each connection pool, and fast reconnection.

kombu makes a new `redis.Redis` for each command. With redis-py 8 that fills a table of 170 entries, which takes a third
of a millisecond. This is more than the command itself and a quarter of the total cost of a question. Celery also waits
longer after each failed attempt to reach Redis, up to 30 s.
"""

from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES, redis

#: Longest pause between two attempts to reach Redis, in seconds.
LONGEST_PAUSE = 4.0


class Channel(redis.Channel):  # type: ignore[misc]
    """A channel that keeps one client for its pool. Any thread may use a client that has a pool."""

    _pool_client: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)
        # kombu replaces its pool when Redis cannot be reached.
        if self._pool_client is None or self._pool_client.connection_pool is not self.pool:
            self._pool_client = super()._create_client()
        return self._pool_client


class Transport(redis.Transport):  # type: ignore[misc]
    Channel = Channel


class RetryingConnection(Connection):  # type: ignore[misc]
    """A connection that tries to reach an absent broker every few seconds, without limit."""

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        return super().ensure_connection(*args, **{"interval_max": LONGEST_PAUSE, **kwargs})


class RetryingAMQP(AMQP):  # type: ignore[misc]
    """Celery's AMQP settings with a `RetryingConnection`."""

    Connection = RetryingConnection


def install() -> None:
    """Make this transport the one for `redis://` and `rediss://` addresses."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
