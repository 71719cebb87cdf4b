"""Verify traces over HTTP, for programs that cannot import this library.

`POST /verify` takes what a line of `tracemill verify` has, or a list of such objects, and returns the same rows.
`GET /health` returns `{"status": "ok"}`. An error is `{"error": SENTENCE}`.

The server listens on loopback only. A browser's page must not use it: the `Host` must be a name of loopback, and the
body must be declared as JSON, which no page can send elsewhere without permission. It does not protect against other
users of this machine.
"""

import json
import logging
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tracemill.errors import TracemillError, UsageError, reason_of
from tracemill.verification.files import MAX_LINE, decode, read_row, row_with_verdict
from tracemill.verification.pipeline import Verifier

ADDRESS = "127.0.0.1"
MAX_ROWS = 10_000  # of one request
MAX_CONNECTIONS = 256  # at once; further ones are told to try again
TIMEOUT_SECONDS = 60.0  # for a client that sends nothing

_HOSTS = ("127.0.0.1", "localhost")

log = logging.getLogger(__name__)


class _RequestError(Exception):
    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class VerifyServer(ThreadingHTTPServer):
    """Serves one verifier until `shutdown`. Each connection has a thread."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, verifier: Verifier, port: int) -> None:
        """Listen on a port of loopback; 0 means a free one. Raises UsageError if it is taken."""
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise UsageError(f"cannot listen on {ADDRESS}:{port}: {reason_of(error)}. Choose another --port") from None
        self.verifier = verifier
        self.connections = threading.BoundedSemaphore(MAX_CONNECTIONS)

    @property
    def url(self) -> str:
        """The address that clients use."""
        return f"http://{ADDRESS}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a connection failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: VerifyServer
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_SECONDS

    def handle(self) -> None:
        if not self.server.connections.acquire(blocking=False):
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
            return
        try:
            super().handle()
        finally:
            self.server.connections.release()

    def do_GET(self) -> None:
        self._answer(self._health)

    def do_POST(self) -> None:
        self._answer(self._verify)

    def _answer(self, action: Any) -> None:
        try:
            if self.headers.get("Host", "").rpartition(":")[0] not in _HOSTS:
                raise _RequestError(HTTPStatus.FORBIDDEN, f"the Host must be {' or '.join(_HOSTS)}, with the port")
            self._send(HTTPStatus.OK, action())
        except _RequestError as error:
            self.close_connection = True  # its body may be unread
            self._send(error.status, {"error": str(error)})
        except TracemillError as error:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(error)})

    def _health(self) -> Any:
        if self.path != "/health":
            raise _RequestError(HTTPStatus.NOT_FOUND, "there is GET /health and POST /verify")
        return {"status": "ok"}

    def _verify(self) -> Any:
        if self.path != "/verify":
            raise _RequestError(HTTPStatus.NOT_FOUND, "there is GET /health and POST /verify")
        try:
            data = decode(self._body().decode())
        except (ValueError, RecursionError) as error:
            raise _RequestError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {str(error)[:200]}") from None
        rows = data if isinstance(data, list) else [data]
        if len(rows) > MAX_ROWS:
            raise _RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MAX_ROWS} rows")
        if not all(isinstance(row, dict) for row in rows):
            raise _RequestError(HTTPStatus.BAD_REQUEST, 'the body is neither {"trace": …} nor a list of such objects')
        read = [read_row(row) for row in rows]
        verifier = self.server.verifier
        verdicts = iter(verifier.verify([item for item, _ in read if item is not None]))
        results = [
            row_with_verdict(row, next(verdicts) if item is not None else None, problem, verifier.judge)
            for row, (item, problem) in zip(rows, read, strict=True)
        ]
        return results if isinstance(data, list) else results[0]

    def _body(self) -> bytes:
        if self.headers.get_content_type() != "application/json":
            raise _RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the Content-Type must be application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise _RequestError(HTTPStatus.LENGTH_REQUIRED, "the request needs a Content-Length")
        if int(length) > MAX_LINE:
            raise _RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {MAX_LINE // 2**20} MB")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise _RequestError(HTTPStatus.BAD_REQUEST, "the body is shorter than its Content-Length")
        return body

    def _send(self, status: HTTPStatus, value: Any) -> None:
        body = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)
