"""Serve the page on a port of loopback until SIGINT or SIGTERM."""

import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from urllib.parse import urlencode

import uvicorn

from tracemill.errors import UsageError, reason_of
from web.app import application
from web.guard import PARAMETER
from web.records import Store

ADDRESS = "127.0.0.1"
#: Connections at once; further ones are told to try again.
MAX_CONNECTIONS = 64
#: Seconds that running requests get at the end.
SHUTDOWN_SECONDS = 3


def serve(store: Store, path: str, *, port: int, token: str | None, started: Callable[[str], None]) -> None:
    """Serve a store, and close it at the end. `started` gets the address of `path` with the token.

    Port 0 means a free one. Raises UsageError if the port is taken.
    """
    token = token or secrets.token_urlsafe(24)
    with closing(store), listen(port) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            application(store, token, port),
            log_level="error",  # a flood would fill the terminal with warnings
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            http="h11",
            loop="asyncio",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn raises the signal again after its shutdown, which would end this process with an error.
            signal.signal(number, lambda *_: None)
        started(f"http://{ADDRESS}:{port}{path}{'&' if '?' in path else '?'}{urlencode({PARAMETER: token})}")
        uvicorn.Server(config).run(sockets=[listener])


def listen(port: int) -> socket.socket:
    """A socket that listens on a port of loopback. Raises UsageError if it is taken."""
    try:
        return socket.create_server((ADDRESS, port), backlog=256)
    except OSError as error:
        raise UsageError(f"cannot listen on {ADDRESS}:{port}: {reason_of(error)}. Choose another --port") from None
