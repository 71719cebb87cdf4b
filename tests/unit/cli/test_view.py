"""`tracemill view`: one address with a token, on loopback, until it is interrupted."""

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from tests.documented import commands
from tests.in_process import here
from tests.installed import TRACEMILL, environment


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "traces.jsonl"
    path.write_text('{"question": "What is 1 + 1?", "trace": "1 + 1 = 2"}\n')
    return path


def opened(address: str) -> str:
    """The page at the address, as a browser sees it."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    page: str = browser.open(address, timeout=30).read().decode()
    return page


def test_the_printed_address_shows_the_file_until_ctrl_c(file: Path) -> None:
    line = "tracemill view traces.jsonl"
    assert line in commands()
    command = [TRACEMILL, *line.split()[1:], "--json"]
    with subprocess.Popen(command, cwd=file.parent, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = json.loads(process.stdout.readline())["address"]
            assert address.startswith("http://127.0.0.1:")
            assert "What is 1 + 1?" in opened(address)
            with pytest.raises(urllib.error.HTTPError, match="403"):
                opened(address.partition("?")[0])
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("none.jsonl",), "there is no file none.jsonl"),
        (("--token", "short", "traces.jsonl"), "--token: use 16 to 128 letters"),
        (("some-job",), "no Postgres: no stack runs here"),
        ((), "or name a file of traces"),
    ],
)
def test_wrong_use_is_a_sentence(file: Path, words: tuple[str, ...], sentence: str) -> None:
    ended = here(file.parent, "view", *words)
    assert ended.returncode in (1, 2)
    assert sentence in ended.stderr
    assert ended.stdout == ""


def test_a_port_in_use_is_an_error_of_use(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = here(file.parent, "view", "traces.jsonl", "--port", str(taken.getsockname()[1]))
    assert ended.returncode == 2
    assert "Choose another --port" in ended.stderr
