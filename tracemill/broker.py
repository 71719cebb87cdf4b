"""Celery's Redis transport, with one client for each connection pool.

kombu makes a new `redis.Redis` for each command. With redis-py 8 that fills a table of 170 entries, a third of a
millisecond each time: more than the command itself, and a quarter of all that a question costs.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis


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


def install() -> None:
    """From here on, addresses `redis://` and `rediss://` mean this transport."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
