"""Why pyproject.toml says `celery<5.7`: workers of 5.7.0 die when Redis restarts. When this fails, the pin may go."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tracemill.stack.binaries import find_redis

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WORKER = """
import time
from celery import Celery
app = Celery("pin", broker="redis://127.0.0.1:{port}/0")
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)

@app.task(name="slow")
def slow(seconds):
    print("a task has begun", flush=True)
    time.sleep(seconds)

if __name__ == "__main__":
    app.worker_main(["worker", "--pool=threads", "--concurrency=4", "--loglevel=INFO"])
"""
SEND = "import worker; [worker.app.send_task('slow', args=[{seconds}]) for _ in range({tasks})]"


def test_a_worker_of_our_celery_outlives_a_restart_of_redis(tmp_path: Path) -> None:
    assert outlives_a_restart(tmp_path, packages=None), (tmp_path / "worker.log").read_text()


def test_a_worker_of_the_newest_celery_still_dies_of_it(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages), "celery>=5.7"]
    subprocess.run(install, check=True, timeout=120)
    [installed] = packages.glob("celery-*.dist-info")
    assert not outlives_a_restart(tmp_path, packages), f"{installed.stem} works: let pyproject.toml have it"
    assert "'NoneType' object has no attribute 'hostname'" in (tmp_path / "worker.log").read_text()


def outlives_a_restart(folder: Path, packages: Path | None) -> bool:
    """Whether a worker that holds two late-acknowledged tasks, with two places idle, takes another one afterwards."""
    port, log = free_port(), folder / "worker.log"
    (folder / "worker.py").write_text(WORKER.format(port=port))
    paths = [str(path) for path in (packages, folder) if path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    redis = [str(find_redis()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]

    def send(seconds: float, tasks: int) -> None:
        code = SEND.format(seconds=seconds, tasks=tasks)
        subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=folder, timeout=60)

    def has_logged(what: str, times: int) -> bool:
        return wait_until(lambda: log.read_text().count(what) >= times or worker.poll() is not None)

    with running([sys.executable, str(folder / "worker.py")], log, environment) as worker:
        with running(redis, folder / "redis.log"):
            assert wait_until(lambda: answers(port))
            send(15, tasks=2)
            has_logged("a task has begun", 2)
        with running(redis, folder / "redis.log"):
            assert wait_until(lambda: answers(port))
            send(0, tasks=1)
            return has_logged("a task has begun", 3) and worker.poll() is None


def answers(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(
    command: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The command, until the block ends: then it is killed, as a machine that fails would kill it."""
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(true: Callable[[], bool], seconds: float = 40) -> bool:
    """Whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not (result := true()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return result
