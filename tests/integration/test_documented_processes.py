"""The documented processes start with a running stack, work, and end with exit code 0 at SIGTERM."""

import json
import re
import shlex
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.documented import commands
from tests.in_process import here
from tests.installed import TRACEMILL, environment, succeed
from tests.integration.factory import wait_until
from tracemill import stack
from tracemill.stack.state import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SETTINGS = """
[models.teacher]
engine = "openai"
openai.base_url = "http://127.0.0.1:1/v1"
model = "nobody asks it"
[models.student]
model = "./none"
"""
FLOWER = "tracemill celery flower --address=127.0.0.1"
PROCESSES = (
    "tracemill producer",
    "tracemill worker generate --model teacher",
    "tracemill worker verify",
    "tracemill worker train",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stack with only Postgres and Redis."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "tracemill.toml").write_text(SETTINGS)
    try:
        succeed(folder, "up", "--services-only", seconds=180)
        yield folder
    finally:
        succeed(folder, "down")


def test_services_alone_need_no_model(folder: Path) -> None:
    refused = here(folder, "up")
    assert "model alias 'student': ./none is not a model folder" in refused.stderr
    states = json.loads(here(folder, "status", "--json").stdout)
    assert {row["name"]: row["state"] for row in states} == {"postgres": "RUNNING", "redis": "RUNNING"}


def ended(folder: Path, line: str, is_there: Callable[[int], bool], **variables: str) -> int:
    """Start the process, wait for its id, send SIGTERM, and return its exit code."""
    log = folder / "process.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [TRACEMILL, *shlex.split(line)[1:]],
            cwd=folder,
            env=environment() | variables,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: process.poll() is not None or is_there(process.pid), 180, log.read_text)
        process.send_signal(signal.SIGTERM)
        return process.wait(60)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("line", PROCESSES)
def test_a_documented_process_runs_until_its_shutdown(folder: Path, line: str) -> None:
    def is_there(pid: int) -> bool:
        return any(f".{pid}." in name for name in (workers(folder) if "worker" in line else present(folder)))

    assert ended(folder, line, is_there) == 0, (folder / "process.log").read_text()
    assert present(folder) == []


def test_the_documented_server_of_verdicts_answers_until_its_shutdown(folder: Path) -> None:
    line = "tracemill verify --serve"
    assert line in commands()
    port = free_port()

    def is_there(pid: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
                return bool(response.read() == b'{"status": "ok"}')
        except OSError:
            return False

    assert ended(folder, f"{line} --port {port} --workers 1", is_there) == 0, (folder / "process.log").read_text()


def test_the_documented_page_is_served_until_its_shutdown(folder: Path) -> None:
    line = "tracemill view"
    assert line in commands()
    pages: list[str] = []

    def is_there(pid: int) -> bool:
        if address := re.search(r"http://\S+", (folder / "process.log").read_text()):
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            pages.append(browser.open(address[0], timeout=30).read().decode())
        return bool(pages)

    assert ended(folder, line, is_there) == 0, (folder / "process.log").read_text()
    assert "There is no job yet." in pages[0]


def workers(folder: Path) -> list[str]:
    """Wait for the Celery workers that take commands: an earlier SIGTERM would end them at once."""
    running = stack.load(folder / ".tracemill")
    assert running is not None
    with redis.Redis.from_url(running.redis_url, decode_responses=True) as client:
        return [str(binding) for binding in client.smembers("_kombu.binding.celery.pidbox")]


def present(folder: Path) -> list[str]:
    """The processes that are registered in Postgres."""
    running = stack.load(folder / ".tracemill")
    assert running is not None
    engine = create_engine(running.database_url, poolclass=NullPool)
    with engine.connect() as connection:
        return list(connection.execute(text("select name from processes")).scalars())


def test_the_documented_flower_asks_for_a_password_on_loopback(folder: Path) -> None:
    port = free_port()
    answers: set[int] = set()
    addresses: set[str] = set()

    def is_there(pid: int) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/workers", timeout=5)
        except urllib.error.HTTPError as error:
            answers.add(error.code)
            addresses.update(c.laddr.ip for c in psutil.Process(pid).net_connections() if c.status == "LISTEN")
            return True
        except OSError:
            return False
        raise AssertionError("Flower asked for no password")

    assert FLOWER in set(commands())
    (folder / "flowerconfig.py").write_text("open('trap', 'w')")  # Flower runs it as its configuration
    ended(folder, f"{FLOWER} --port={port}", is_there, FLOWER_BASIC_AUTH="name:password")
    assert (answers, addresses) == ({401}, {"127.0.0.1"})
    assert not (folder / "trap").exists()
