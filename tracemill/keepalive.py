"""TCP keepalive settings: after how many silent seconds a connection counts as broken.

By default Linux waits two hours if nothing was sent, and a quarter of an hour if something was. During that time a
disconnected process waits for a lost answer, and a server keeps the locks of a lost client.
"""

import socket

#: Idle seconds before the first keepalive probe, seconds between two probes, and the number of probes.
IDLE, INTERVAL, COUNT = 5, 5, 2
#: Silent seconds after which a connection is broken.
BROKEN = IDLE + INTERVAL * COUNT
#: Seconds until an attempt to connect fails.
CONNECT = 10

#: Settings of libpq for the client's end of a connection to Postgres.
POSTGRES_CLIENT: dict[str, int] = {
    "connect_timeout": CONNECT,
    "keepalives_idle": IDLE,
    "keepalives_interval": INTERVAL,
    "keepalives_count": COUNT,
    "tcp_user_timeout": 1000 * BROKEN,
}
#: Settings of a Postgres session for the server's end. A lost client keeps its locks until they take effect.
POSTGRES_SERVER: dict[str, int] = {
    "tcp_keepalives_idle": IDLE,
    "tcp_keepalives_interval": INTERVAL,
    "tcp_keepalives_count": COUNT,
    "tcp_user_timeout": 1000 * BROKEN,
}
#: Settings of kombu, which otherwise turns off the keepalives of redis-py.
REDIS_CLIENT: dict[str, object] = {
    "socket_connect_timeout": CONNECT,
    "socket_keepalive": True,
    "socket_keepalive_options": {
        getattr(socket, name): value
        for name, value in (
            ("TCP_KEEPIDLE", IDLE),
            ("TCP_KEEPINTVL", INTERVAL),
            ("TCP_KEEPCNT", COUNT),
            ("TCP_USER_TIMEOUT", 1000 * BROKEN),
        )
        if hasattr(socket, name)  # on Linux; other systems keep their defaults
    },
}
