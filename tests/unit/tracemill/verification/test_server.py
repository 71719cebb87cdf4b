"""`tracemill verify --serve`: verdicts over HTTP on loopback, under many clients and hostile requests."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.unit.tracemill.verification.verify_command import sums
from tracemill.errors import UsageError
from tracemill.verification import Verifier, server
from tracemill.verification.rows import FIELDS
from tracemill.verification.server import VerifyServer

HEADERS = {"Content-Type": "application/json"}
ENDLESS = {"trace": r"The answer is \boxed{9^{9^{9^{9^{9}}}} + 1}.", "gold": r"\sum_{k=1}^{10^{12}} \sin(k!)"}


@pytest.fixture(scope="module")
def served() -> Iterator[VerifyServer]:
    verifier = Verifier(2)
    with VerifyServer(verifier, 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()
    verifier.close()


def request(
    served: VerifyServer, body: Any, path: str = "/verify", headers: dict[str, str] = HEADERS, method: str = "POST"
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(*served.server_address[:2], timeout=120)
    try:
        connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_one_object_or_a_list_gets_the_rows_of_a_file(served: VerifyServer) -> None:
    rows = [*sums(3), {"id": 7}]
    status, verdicts = request(served, rows)
    assert (status, [verdict["correct"] for verdict in verdicts]) == (200, [True, True, False, None])
    assert verdicts[3]["error"].startswith('no "trace"')
    assert all(verdict.keys() == row.keys() | FIELDS for verdict, row in zip(verdicts, rows, strict=True))
    status, verdict = request(served, rows[0])
    assert (status, verdict | {"seconds": 0}) == (200, verdicts[0] | {"seconds": 0})
    assert request(served, b"", "/health", {}, "GET") == (200, {"status": "ok"})


def test_sixty_four_clients_at_once_all_get_their_own_verdicts(served: VerifyServer) -> None:
    def client(number: int) -> list[bool]:
        connection = http.client.HTTPConnection(*served.server_address[:2], timeout=120)
        right = []
        for n in range(5):
            row = {"trace": f"The answer is {number * n}.", "gold": str(number * n + n % 2), "id": number}
            connection.request("POST", "/verify", json.dumps(row), HEADERS)
            verdict = json.loads(connection.getresponse().read())
            right.append(verdict["id"] == number and verdict["correct"] is (n % 2 == 0))
        connection.close()
        return right

    with ThreadPoolExecutor(64) as clients:
        assert list(clients.map(client, range(64))) == [[True] * 5] * 64


def test_a_trace_that_hangs_loses_its_verdict_and_delays_no_other_for_long(served: VerifyServer) -> None:
    with ThreadPoolExecutor(9) as clients:
        start = time.monotonic()
        hanging = clients.submit(request, served, ENDLESS)
        others = list(clients.map(lambda n: request(served, sums(1)), range(8)))
        assert all(status == 200 and verdicts[0]["correct"] for status, verdicts in others)
        status, verdict = hanging.result()
    assert (status, verdict["correct"]) == (200, None)
    assert time.monotonic() - start < 60


@pytest.mark.parametrize(
    ("body", "path", "headers", "status", "error"),
    [
        (b"{", "/verify", {}, 400, "the body is not JSON: Expecting property name"),
        (b"\xff", "/verify", {}, 400, "the body is not JSON"),
        (b"[" * 100_000, "/verify", {}, 400, "the body is not JSON"),
        (b"7", "/verify", {}, 400, "neither"),
        (b"[7]", "/verify", {}, 400, "neither"),
        (b"[" + b"{}," * 10_000 + b"{}]", "/verify", {}, 413, "more than 10000 rows"),
        (b"{}", "/verify", {"Content-Type": "text/plain"}, 415, "must be application/json"),
        (b"{}", "/verify", {"Content-Length": "99999999999"}, 413, "longer than 64 MB"),
        (b"{}", "/verify", {"Content-Length": "-1"}, 411, "needs a Content-Length"),
        (b"{}", "/verify", {"Host": "evil.example:80"}, 403, "the Host must be 127.0.0.1 or localhost"),
        (b"{}", "/", {}, 404, "there is GET /health and POST /verify"),
    ],
)  # fmt: skip
def test_a_wrong_request_gets_a_sentence(
    served: VerifyServer, body: bytes, path: str, headers: dict[str, str], status: int, error: str
) -> None:
    answered, answer = request(served, body, path, {**HEADERS, **headers})
    assert answered == status
    assert error in answer["error"]


def test_silent_clients_do_not_block_others(served: VerifyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server._Handler, "timeout", 0.5)
    silent = [socket.create_connection(served.server_address[:2]) for _ in range(100)]
    for connection in silent[:50]:
        connection.sendall(b"POST /verify HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Length: 50\r\n")
    assert request(served, sums(1))[0] == 200
    for connection in silent:
        connection.settimeout(30)
        assert connection.recv(100) == b""  # the server has closed it
        connection.close()


def test_a_port_that_is_taken_is_wrong_use(served: VerifyServer) -> None:
    with pytest.raises(UsageError, match="Choose another --port"):
        VerifyServer(served.verifier, served.server_address[1])
