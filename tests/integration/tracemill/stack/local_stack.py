"""Local stacks of tests: their folders, programs and states."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from tracemill import stack
from tracemill.stack import sweep
from tracemill.stack.state import folder_of

SLEEPER = stack.Program("sleeper", ["sleep", "1000"])


@contextmanager
def new_folder() -> Iterator[Path]:
    """A short path that everybody may pass through: pytest's own is private and nearly as long as a socket's may be."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as parent:
        os.chmod(parent, 0o711)
        path = Path(parent).resolve() / "data"
        yield path
        stack.down(path)


def start(data_dir: Path, *programs: stack.Program, **ports: int) -> stack.Stack:
    return stack.up(data_dir, lambda _: list(programs), prepare=lambda _: None, **ports)


def pids(data_dir: Path) -> dict[str, int | None]:
    return {process.name: process.pid for process in stack.status(data_dir)}


def states(data_dir: Path) -> dict[str, str]:
    return {process.name: process.state for process in stack.status(data_dir)}


def left(data_dir: Path) -> list[psutil.Process]:
    return sweep.find(folder_of(data_dir))


def owner(running: stack.Stack) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(running.database_url.replace("+psycopg", ""), autocommit=True)


def value(running: stack.Stack, *statements: str) -> object:
    """The value that the last statement returns."""
    with owner(running) as connection:
        *before, last = statements
        for statement in before:
            connection.execute(statement)
        row = connection.execute(last).fetchone()
    assert row is not None
    return row[0]
