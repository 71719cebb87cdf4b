"""Hub sources with a scripted hub: a local HTTP server with the answers of the real one."""

import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

pytestmark = pytest.mark.integration

COMMIT = "a" * 40
CARD = """---
configs:
- config_name: main
  data_files: [{split: train, path: main/train.parquet}, {split: test, path: main/test.parquet}]
- config_name: other
  data_files: [{split: train, path: other/train.parquet}]
---
"""


def parquet(*texts: str) -> bytes:
    table = pyarrow.table({"question": texts, "answer": [f"work #### {i}" for i in range(len(texts))]})
    pyarrow.parquet.write_table(table, buffer := io.BytesIO())
    return buffer.getvalue()


FILES = {
    "README.md": CARD.encode(),
    "main/train.parquet": parquet(*(f"q{i}" for i in range(2500))),
    "main/test.parquet": parquet("a test question"),
    "other/train.parquet": parquet("another question"),
}


class ScriptedHub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if re.fullmatch(r"/api/datasets/acme/sums(/revision/\w+)?", path):
            self._json(
                {"id": "acme/sums", "sha": COMMIT, "tags": [], "siblings": [{"rfilename": name} for name in FILES]}
            )
        elif folder := re.fullmatch(r"/api/datasets/acme/sums/tree/\w+/(.+)", path):
            inside = [name for name in FILES if name.startswith(f"{folder[1]}/")]
            self._json([{"type": "file", "path": name, "size": len(FILES[name]), "oid": COMMIT} for name in inside])
        elif (file := re.fullmatch(r"/datasets/acme/sums/resolve/\w+/(.+)", path)) and file[1] in FILES:
            self._file(FILES[file[1]], file[1])
        else:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound" if "acme/sums" in path else "RepoNotFound"})

    do_HEAD = do_GET

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _file(self, data: bytes, name: str) -> None:
        headers = {"ETag": f'"{name.replace("/", "-")}"', "X-Repo-Commit": COMMIT}
        byte_range = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if byte_range is None:
            self._send(200, data, headers)
        else:
            first, last = int(byte_range[1]), min(int(byte_range[2]), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            self._send(206, data[first : last + 1], headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), ScriptedHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


READER = """
import json, sys
from producer.sources import open_source
from tracemill.errors import TracemillError
for source in sys.argv[1:]:
    try:
        found = list(open_source(source, mapping={}))
        print(json.dumps([len(found), found[-1].text, found[-1].gold, found[-1].line]))
    except TracemillError as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""


def read(sources: list[str], home: Path, **environment: str) -> list[list[object]]:
    """The questions of each source, read in another process: the import of the client fixes the hub's address."""
    run = subprocess.run(
        [sys.executable, "-c", READER, *sources],
        env={**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    return [json.loads(line) for line in run.stdout.splitlines()]


STREAMED = {
    "hf:acme/sums:main:train": [2500, "q2499", "2499", 2500],
    "hf:acme/sums:main": [2500, "q2499", "2499", 2500],
    "hf:acme/sums:main:test": [1, "a test question", "0", 1],
    "hf:acme/sums:other": [1, "another question", "0", 1],
}
REFUSED = {
    "hf:acme/sums": "has several configurations, name one: main, other",
    "hf:acme/sums:mian:train": "There is main, other. Did you mean hf:acme/sums:main?",
    "hf:acme/sums:main:dev": "no split 'dev' in 'main'. There is train, test",
    "hf:acme/nothing": "the hub has no data set 'acme/nothing'",
    "hf:a b": "no name of a data set",
    "hf:": "write hf:name[:config][:split]",
    "hf:a:b:c:d": "write hf:name[:config][:split]",
}


@pytest.fixture(scope="module")
def answers(hub: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    sources = [*STREAMED, *REFUSED]
    return dict(zip(sources, read(sources, tmp_path_factory.mktemp("hub"), HF_ENDPOINT=hub), strict=True))


@pytest.mark.parametrize("source", STREAMED)
def test_a_hub_split_is_streamed_with_its_row_numbers(answers: dict[str, list[object]], source: str) -> None:
    assert answers[source] == STREAMED[source]


@pytest.mark.parametrize("source", REFUSED)
def test_an_unknown_name_on_the_hub_is_wrong_use_and_lists_known_names(
    answers: dict[str, list[object]], source: str
) -> None:
    kind, message = answers[source]
    assert kind == "UsageError"
    assert REFUSED[source] in str(message)


def test_a_partly_read_split_does_not_abort_the_process(hub: str, tmp_path: Path) -> None:
    program = (
        "from producer.sources import open_source\nprint(next(iter(open_source('hf:acme/sums:main', mapping={}))).text)"
    )
    five = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "HF_HOME": str(tmp_path / str(number)), "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(5)
    ]
    for run in five:
        assert (*run.communicate(), run.returncode) == ("q0\n", "", 0)


def test_an_unreachable_hub_is_a_quick_error_that_suggests_a_file(tmp_path: Path) -> None:
    start = time.monotonic()
    for environment in ({"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}):
        [[kind, message]] = read(["hf:acme/sums:main:train"], tmp_path, **environment)
        assert kind == "TracemillError"
        assert "cannot reach the hub for 'acme/sums'" in str(message)
        assert "give a file instead" in str(message)
    assert time.monotonic() - start < 30
