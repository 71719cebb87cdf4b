"""How long the other end of a connection may be silent before the connection counts as broken.

Linux by itself waits two hours where nothing was sent, and a quarter of an hour where something was: so long a process
that was cut off would wait for an answer that is lost, and a server would keep the locks of a client that is gone.
"""

import socket

#: Seconds without a word until the other end is asked whether it is there, between two such questions, and how many.
IDLE, INTERVAL, COUNT = 5, 5, 2
#: Seconds after which a connection is broken, whatever was sent on it.
BROKEN = IDLE + INTERVAL * COUNT
#: Seconds that a connection may take to be made.
CONNECT = 10

#: For libpq, of a client's end of a connection to Postgres.
POSTGRES_CLIENT: dict[str, int] = {
    "connect_timeout": CONNECT,
    "keepalives_idle": IDLE,
    "keepalives_interval": INTERVAL,
    "keepalives_count": COUNT,
    "tcp_user_timeout": 1000 * BROKEN,
}
#: For one session of Postgres, of the server's end: until it is broken, a client that is gone holds its locks.
POSTGRES_SERVER: dict[str, int] = {
    "tcp_keepalives_idle": IDLE,
    "tcp_keepalives_interval": INTERVAL,
    "tcp_keepalives_count": COUNT,
    "tcp_user_timeout": 1000 * BROKEN,
}
#: For kombu, which otherwise turns off what redis-py does by itself.
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
        if hasattr(socket, name)  # Linux; elsewhere keepalives come as the system likes
    },
}
