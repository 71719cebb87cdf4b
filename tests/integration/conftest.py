"""Fixtures for tests of the factory's real processes with a scripted model.

The tests of one file share the processes. A test may change the server and kill processes; all processes run again at
the start of the next test.
"""

from collections.abc import Iterator

import pytest

from db.session import transaction
from tests.conftest import empty, forget
from tests.integration import scenario
from tests.integration.factory import Processes
from tests.integration.scripted import SETTINGS, Teacher, start_all
from tracemill.stack import Stack
from tracemill.stack.state import free_port


@pytest.fixture(scope="module")
def teacher() -> Iterator[Teacher]:
    with Teacher() as server:
        yield server


@pytest.fixture(scope="module")
def away() -> int:
    """A port without a server."""
    return free_port()


@pytest.fixture(scope="module")
def processes(
    stack: Stack, teacher: Teacher, away: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Processes]:
    forget()
    empty(stack)  # once for all tests of this file: workers cache jobs by their ids
    folder = tmp_path_factory.mktemp("path")
    config = folder / "tracemill.toml"
    config.write_text(SETTINGS.format(teacher=teacher.base_url, away=f"http://127.0.0.1:{away}/v1"))
    started = Processes(folder, {"TRACEMILL_CONFIG": str(config)})
    yield started
    started.stop_all()


@pytest.fixture(scope="module")
def filled(stack: Stack) -> None:
    """Fill the database with `tests.integration.scenario`, once for all tests of a file."""
    forget()
    empty(stack)
    with transaction() as connection:
        scenario.build(connection)


@pytest.fixture
def factory(processes: Processes, teacher: Teacher) -> Processes:
    """All processes run, and the teacher has no faults."""
    teacher.latency, teacher.broken_question, teacher.one_at_a_time, teacher.faults = 0.0, "", False, iter(())
    start_all(processes)
    return processes
