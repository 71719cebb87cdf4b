"""`tracemill doctor` warns of what others could read or control."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.doctor_safety import safety
from cli.findings import Finding
from tracemill.settings import Settings

#: A program that listens like a Flower with its command line.
LISTEN = "import socket, sys, time; s = socket.create_server((sys.argv[1], 0)); print(1, flush=True); time.sleep(600)"


def finding(check: str, **values: object) -> Finding:
    return next(finding for finding in safety(Settings(**values)) if finding.check == check)


@contextmanager
def flower(address: str, *words: str) -> Iterator[None]:
    command = [sys.executable, "-S", "-c", LISTEN, address, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def test_a_data_folder_that_every_user_can_read_is_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert finding("data folder", data_dir=folder).state == "ok"
    folder.mkdir()
    for mode, state in ((0o700, "ok"), (0o711, "ok"), (0o755, "warning"), (0o702, "warning")):
        folder.chmod(mode)
        assert finding("data folder", data_dir=folder).state == state
    folder.chmod(0o755)
    row = finding("data folder", data_dir=folder)
    assert row.result == f"every user of this machine can read or write {folder} (mode 755)"
    assert row.advice == f"chmod o-rw {folder}"


@pytest.mark.parametrize(
    ("server", "allowed", "state"),
    [
        ("http://gpu-box:8000/v1", "MY_KEY@http://gpu-box", "warning"),
        ("http://gpu-box:8000/v1", "", "ok"),  # the key is not sent
        ("http://127.0.0.1:8000/v1", "", "ok"),
        ("https://gpu-box/v1", "MY_KEY@gpu-box", "ok"),
    ],
)
def test_a_key_that_goes_over_plain_http_is_a_warning(
    server: str, allowed: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    monkeypatch.setenv("TRACEMILL_KEYS", allowed)
    model = {"engine": "openai", "model": "m", "openai": {"base_url": server, "api_key_env": "MY_KEY"}}
    row = finding("keys", models={"teacher": model})
    assert row.state == state
    assert ("MY_KEY to gpu-box" in row.result) == (state == "warning")
    assert "secret" not in row.result + row.advice


def test_a_hub_token_that_goes_over_plain_http_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    for address, state in (
        ("http://mirror.example", "warning"),
        ("http://localhost:1", "ok"),
        ("https://m.example", "ok"),
    ):
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert finding("keys").state == state


@pytest.mark.parametrize(
    ("address", "words", "writable", "state"),
    [
        ("0.0.0.0", ("celery", "flower"), True, "warning"),
        ("0.0.0.0", ("celery", "flower"), False, "ok"),
        ("0.0.0.0", ("celery", "flower", "--read-only=false"), False, "warning"),
        ("0.0.0.0", ("celery", "flower", "--read_only"), True, "ok"),
        ("0.0.0.0", ("celery", "-A", "tracemill", "flower"), False, "warning"),
        ("127.0.0.1", ("celery", "flower"), True, "ok"),
    ],
)
def test_a_writable_flower_off_loopback_is_a_warning(
    address: str, words: tuple[str, ...], writable: bool, state: str
) -> None:
    with flower(address, *words):
        row = finding("Flower", local={"flower_writable": writable})
    assert row.state == state
    assert (address in row.result) == (state == "warning")
