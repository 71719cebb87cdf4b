"""Celery's connections to Redis: as few as possible for each process, and fast reconnection.

All threads of a process send their commands on one connection, one after the other. A worker has two more: one waits
for messages (`BRPOP`), the other for remote control (`PSUBSCRIBE`). kombu opens two for each of its channels instead.

kombu also makes a new `redis.Redis` for each command. With redis-py 8 that fills a table of 170 entries, which takes a
third of a millisecond. This is more than the command itself and a quarter of the total cost of a question. And Celery
waits longer after each failed attempt to reach Redis, up to 30 s.
"""

from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES, redis
from redis import BlockingConnectionPool

#: Longest pause between two attempts to reach Redis, in seconds.
LONGEST_PAUSE = 4.0


#: The connection for commands to each Redis, by its parameters.
_command_pools: dict[str, BlockingConnectionPool] = {}


class Channel(redis.Channel):  # type: ignore[misc]
    """A channel without connections of its own, except those that wait.

    It keeps one client for commands. Any thread may use a client that has a pool.
    """

    keyprefix_fanout: str = redis.Channel.keyprefix_fanout
    _pool_client: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.client  # it was for a first ping; the next one waits for messages

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous and self._registered:
            return super()._create_client(asynchronous=True)
        if self._pool_client is None or self._pool_client.connection_pool is not self.pool:
            self._pool_client = super()._create_client()
        return self._pool_client

    def _get_pool(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._get_pool(asynchronous=True)
        parameters = self._connparams()
        self.keyprefix_fanout = self.keyprefix_fanout.format(db=parameters["db"])
        pool = BlockingConnectionPool(**parameters | {"max_connections": 1})  # type: ignore[no-untyped-call]
        return _command_pools.setdefault(repr(sorted(parameters.items())), pool)

    def _disconnect_pools(self) -> None:
        self._pool = None  # the pool for commands belongs to the process
        super()._disconnect_pools()


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
