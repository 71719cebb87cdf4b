"""Fixtures of all tests: one real local stack, started on first use and stopped at the end."""

import fcntl
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from db import session
from db.heartbeat import background
from db.session import engine
from tests import ROOT
from tracemill import stack as local
from tracemill.concurrency import once
from tracemill.interpreter import SAFE_PATH
from tracemill.methods import all_methods
from tracemill.settings import settings

#: Files whose tests need 5 GB of memory each, and the group that runs them one after the other.
HEAVY = {
    "tests/integration/tracemill/engines/test_vllm.py": "engines",
    "tests/integration/tracemill/engines/test_vllm_processes.py": "engines",
    "tests/integration/tracemill/engines/test_openai_vllm.py": "engines",
    "tests/integration/trainer/test_round.py": "fits",
    "tests/integration/test_resume.py": "fits",
}
assert all((ROOT / file).is_file() for file in HEAVY)
#: Tables of processes and models, which tests keep.
OF_PROCESSES = {"processes", "leader", "model_pauses", "models"}
#: Truncation writes new files for all tables and their indexes. Deletion of few rows takes a fifteenth of its time.
MAX_DELETED_BYTES = 4 * 2**20


class ByFile(LoadFileScheduling):
    """Gives whole files to the workers, and each group of heavy files to one worker.

    The marks of xdist's `loadgroup` would do that too, but xdist 3.8 loses them under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return HEAVY.get(file, file)


@pytest.hookimpl(optionalhook=True)  # the hook is unknown under -p no:xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the heavy files: together they take longest."""
    items.sort(key=lambda item: item.nodeid.split("::")[0] not in HEAVY)


@pytest.fixture(autouse=True, scope="session")
def _no_settings_of_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests use the default settings, without the TRACEMILL_* variables and the tracemill.toml of this machine.

    Their child processes import from this checkout alone, in any folder. Commands that run in this process would set
    `PYTHONSAFEPATH` too, and so change what the tests after them import.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv(SAFE_PATH, "1")
        for name in [name for name in os.environ if name.startswith("TRACEMILL_")]:
            patch.delenv(name)
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("TRACEMILL_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        empty = tmp_path_factory.mktemp("config") / "tracemill.toml"
        empty.touch()
        patch.setenv("TRACEMILL_CONFIG", str(empty))
        patch.setattr(session, "MAX_CONNECTIONS", 16)  # a test plays several processes at once
        forget()
        yield
    forget()
    assert _threads_left() == []


def stop_threads() -> None:
    """Stop the threads that tasks in this process have started."""
    made: list[once[Any]] = [background]
    made += [sys.modules[name].watcher for name in ("workers.claims", "workers.cancellation") if name in sys.modules]
    for thread in made:
        if (running := thread.pop()) is not None:
            running.stop()


def forget() -> None:
    """Clear the cached settings and methods, and close the connections. Threads that use them end first."""
    stop_threads()
    settings.cache_clear()
    all_methods.cache_clear()
    if (connections := engine.pop()) is not None:
        connections.dispose()


def _threads_left() -> list[str]:
    """List threads of the factory that outlive the tests and may use Postgres; the event loop does not."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("tracemill-") and name != "tracemill-loop"]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Stack]:
    """A migrated Postgres and a Redis; the settings and this process's Celery app use them."""
    from db.migrate import prepare
    from tests.integration.factory import broker

    folder = tmp_path_factory.mktemp("stack")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACEMILL_DATA_DIR", str(folder))
        forget()
        try:
            running = local.up(folder, lambda _: [], prepare=prepare)
            with broker(running.redis_url):
                yield running
        finally:
            stop_threads()
            local.down(folder)
    forget()


@pytest.fixture
def clean(stack: local.Stack) -> local.Stack:
    """The stack with empty tables and queues."""
    forget()
    empty(stack)
    return stack


def empty(stack: local.Stack) -> None:
    """Delete all rows of the factory's work, start its ids at 1, let no feeder lead, and empty Redis."""
    import redis
    from sqlalchemy import text

    from db.session import transaction
    from db.tables import Base

    tables = [table for table in reversed(Base.metadata.sorted_tables) if table.name not in OF_PROCESSES]
    names = ", ".join(table.name for table in tables)
    sizes = " + ".join(f"pg_table_size('{table.name}')" for table in tables)
    ids = ", ".join(
        f"setval(pg_get_serial_sequence('{table.name}', 'id'), 1, false)" for table in tables if "id" in table.c
    )
    with transaction() as connection:
        connection.execute(text(f"lock table {names} in access exclusive mode"))
        if connection.execute(text(f"select {sizes}")).scalar_one() > MAX_DELETED_BYTES:
            connection.execute(text(f"truncate {names}"))
        else:
            connection.execute(text("; ".join(f"delete from {table.name}" for table in tables)))
        connection.execute(text(f"select {ids}"))
        connection.execute(text("update leader set lease_until = now()"))  # a killed feeder still has its lease
    redis.Redis.from_url(stack.redis_url).flushall()


@pytest.fixture(autouse=True)
def _signal_handlers_of_this_process() -> Iterator[None]:
    """A command that runs in this process may install handlers for good, as `tracemill producer` does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def heeded_signals() -> None:
    """Commands heed SIGHUP and SIGINT, although this run of the tests may ignore them, as under `nohup`."""
    for number, handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the embedded model, unpacked once for all test workers."""
    from tracemill.model_settings import EMBEDDED_MODEL
    from tracemill.weights import resolve

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "models"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        resolve(EMBEDDED_MODEL, folder)
    return folder
