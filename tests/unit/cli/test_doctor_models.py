"""How `tracemill doctor` asks servers."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from cli import doctor_models


def test_a_redirect_does_not_carry_the_key_to_another_server() -> None:
    keys: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append((self.path, self.headers["Authorization"]))
            self.send_response(302 if self.path == "/here" else 200)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        status, _ = doctor_models._get(f"http://127.0.0.1:{server.server_port}/here", "secret")
        server.shutdown()
    assert status == 200
    assert keys == [("/here", "Bearer secret"), ("/elsewhere", None)]
