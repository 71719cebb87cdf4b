"""The state of a stack: its folder, programs, addresses and passwords.

All of it is plain data. Passwords and ports are in one private file, `<data folder>/stack.json`, so that a URL stays
valid between runs. The folder may have come with files of others, for example in a clone. So the file must be private,
its values are checked, and nothing outside of the folder is deleted without a mark.
"""

import json
import os
import random
import re
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tracemill.errors import StackError, UsageError
from tracemill.roles import READER

HOST = "127.0.0.1"
USER = DATABASE = "tracemill"

#: Ports below the range of Linux' outgoing connections, so that a kept port stays free.
PORT_RANGE = range(20_000, 32_000)
#: Longest path of the run folder. A Unix socket's path has at most 107 bytes; `supervisor.sock.<pid>` needs 24.
LONGEST_RUN_DIR = 80
#: Free disk space that a start needs. An empty database with its write-ahead log takes about 60 MB.
MIN_FREE_BYTES = 200 * 2**20
#: File in a run folder outside of the data folder. It names the data folder.
RUN_MARK = "tracemill-stack"


@dataclass(frozen=True)
class Program:
    """One supervised program. It starts in the folder in which `up` was called."""

    #: Name in `status` and of the log: letters, digits, `_`, `.` and `-`.
    name: str
    command: list[str]
    #: May hold secrets. It is kept in a private file and never appears on a command line.
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    #: Seconds from SIGTERM to the program until SIGKILL to its whole process group.
    stop_seconds: int = 20
    #: Whether to start it again when it ends.
    restart: bool = True
    #: A digest of the settings that it reads. `up` restarts the program when it changes.
    settings_digest: str = ""
    #: The engine of its models, for `status`.
    engine: str = ""


@dataclass(frozen=True)
class ProcessStatus:
    """The current state of one supervised program."""

    name: str
    #: RUNNING, STARTING, BACKOFF (died at once, starts again), FATAL (no further start), EXITED, STOPPING or STOPPED.
    #: ORPHAN if the program runs without its supervisor.
    state: str
    pid: int | None
    #: Seconds since its start; None unless it runs.
    uptime: float | None
    #: Number of restarts since `up` started it.
    restarts: int
    log: Path
    #: Why it counts as failed, with the last error line of its log; None if it works.
    failure: str | None = None
    #: Its GPUs, if it has GPUs of its own, and its engine.
    gpu: str = ""
    engine: str = ""


@dataclass(frozen=True)
class Stack:
    """Addresses and passwords of one local stack."""

    postgres_port: int
    postgres_password: str = field(repr=False)
    reader_password: str = field(repr=False)
    redis_port: int
    redis_password: str = field(repr=False)
    flower_port: int
    flower_password: str = field(repr=False)
    #: Folder of the supervisor's socket: in the data folder, or a temporary folder if that path is too long.
    run_dir: str
    postgres_host: str = HOST
    postgres_user: str = USER
    postgres_database: str = DATABASE
    reader_user: str = READER
    flower_user: str = USER

    @property
    def database_url(self) -> str:
        """The address of Postgres for SQLAlchemy, as the owner of the database."""
        return (
            f"postgresql+psycopg://{self.postgres_user}:{self.postgres_password}"
            f"@{self.postgres_host}:{self.postgres_port}/{self.postgres_database}"
        )

    @property
    def reader_url(self) -> str:
        """The address of Postgres for SQL clients, as the role that may only read the views."""
        return (
            f"postgresql://{self.reader_user}:{self.reader_password}"
            f"@{self.postgres_host}:{self.postgres_port}/{self.postgres_database}"
        )

    @property
    def redis_url(self) -> str:
        return f"redis://:{self.redis_password}@{HOST}:{self.redis_port}/0"


@dataclass(frozen=True)
class Folder:
    """The data folder and the paths inside it. `root` is absolute and has no symbolic links."""

    root: Path

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def redis(self) -> Path:
        return self.root / "redis"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def units(self) -> Path:
        return self.root / "units"

    @property
    def state(self) -> Path:
        return self.root / "stack.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def log_tail(self, name: str, lines: int = 15) -> str:
        """The last lines of a program's log with its path, for error messages."""
        log = self.log(name)
        text = log.read_text(errors="replace") if log.exists() else ""
        return "\n".join([f"Last lines of {log}:", *(text.splitlines()[-lines:] or ["(empty)"])])

    def create(self) -> None:
        """Create the folder and its parts, and make it private.

        Raises StackError if that fails, if the folder is another user's or the disk is full.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.root.stat().st_uid != os.geteuid():
                raise StackError(f"the data folder {self.root} belongs to another user: choose another folder.")
            # Without user namespaces, root lets Postgres pass through the folder.
            self.root.chmod(stat.S_IMODE(self.root.stat().st_mode) & 0o711)
            for part in (self.postgres, self.redis, self.logs, self.units, self.root / "run"):
                if part.is_symlink():
                    raise StackError(
                        f"{part} is a symbolic link, which `tracemill up` never made. "
                        "Remove it, or set data_dir to a folder on the disk that it leads to."
                    )
            for part in (self.redis, self.logs, self.units):
                part.mkdir(mode=0o700, exist_ok=True)
            # It holds passwords.
            write_private(self.root / ".gitignore", "*\n")
            free = shutil.disk_usage(self.root).free
        except OSError as error:
            raise StackError(
                f"the data folder {self.root} cannot be used: {error.strerror}. Choose a writable folder."
            ) from error
        if free < MIN_FREE_BYTES:
            raise StackError(
                f"only {free // 2**20} MB are free on the disk of the data folder {self.root}; "
                f"free at least {MIN_FREE_BYTES // 2**20} MB or choose another folder."
            )


def folder_of(data_dir: Path) -> Folder:
    return Folder(Path(os.path.realpath(Path(data_dir).expanduser())))


def load(data_dir: Path) -> Stack | None:
    """The stack stored in `data_dir`, running or not; None if there never was one.

    Raises StackError if it cannot be read, or if this user's `up` cannot have written it.
    """
    folder = folder_of(data_dir)
    path = folder.state
    try:
        _require_private(path)
        stack = Stack(**json.loads(path.read_text()))
        _check_values(stack)
        return stack if _is_ours(Path(stack.run_dir), folder) else replace(stack, run_dir=str(folder.root / "run"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StackError(f"{path} cannot be read: {error.strerror}. Run as the user who ran `tracemill up`.") from error
    except (ValueError, TypeError) as error:
        raise StackError(
            f"{path} is damaged ({error}). Remove it and run `tracemill up` again. "
            "The data stays; ports and passwords will be new."
        ) from error


def _require_private(path: Path) -> None:
    """Raise StackError if others can read or write a file of passwords, or if it is not this user's own."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode) or status.st_uid != os.geteuid():
        raise StackError(
            f"{path} is a link or belongs to another user. "
            "Run as the user who ran `tracemill up`, or use your own folder."
        )
    if status.st_mode & 0o077:
        raise StackError(
            f"others can read {path}, so `tracemill up` did not write it here. If the folder {path.parent} came with "
            f"files of others, remove it. If it is a copy of your own, run `chmod 600 {path}`."
        )


def _check_values(stack: Stack) -> None:
    """Raise ValueError for values that `up` never writes: they become SQL and lines of configuration files."""
    values = asdict(stack)
    if stack.postgres_host != HOST:
        raise ValueError(f"postgres_host is not {HOST}")
    for name, value in values.items():
        if name.endswith("_port") and (type(value) is not int or not 0 < value < 2**16):
            raise ValueError(f"{name} is no port")
        if name.endswith(("_password", "_user", "_database")) and not re.fullmatch(r"[A-Za-z0-9_-]+", value):
            raise ValueError(f"{name} has other characters than letters, digits, _ and -")


def save(folder: Folder, stack: Stack) -> None:
    write_private(folder.state, json.dumps(asdict(stack), indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write `path` with mode 0600, completely or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def new_stack(folder: Folder) -> Stack:
    """A stack with new passwords and ports."""
    ports: list[int] = []
    for _ in range(3):
        ports.append(free_port(besides=ports))
    return Stack(
        postgres_port=ports[0],
        postgres_password=secrets.token_urlsafe(24),
        reader_password=secrets.token_urlsafe(24),
        redis_port=ports[1],
        redis_password=secrets.token_urlsafe(24),
        flower_port=ports[2],
        flower_password=secrets.token_urlsafe(24),
        run_dir=str(folder.root / "run"),
    )


def usable_run_dir(folder: Folder, kept: str) -> str:
    """A private folder with a path short enough for sockets.

    It is in the data folder if possible, otherwise `kept` if that is still ours, otherwise a new one.
    """
    inside = folder.root / "run"
    if len(os.fsencode(inside)) <= LONGEST_RUN_DIR:
        inside.mkdir(mode=0o700, exist_ok=True)
        return str(inside)
    if _is_ours(Path(kept), folder):
        return kept
    parent = tempfile.gettempdir()
    made = tempfile.mkdtemp(
        prefix="tracemill-", dir=parent if len(os.fsencode(parent)) < LONGEST_RUN_DIR - 20 else "/tmp"
    )
    write_private(Path(made, RUN_MARK), str(folder.root))
    return made


def _is_ours(run_dir: Path, folder: Folder) -> bool:
    """Whether a run folder outside of the data folder is private and bears this stack's mark."""
    if run_dir.is_symlink() or not run_dir.is_dir():
        return False
    status = run_dir.stat()
    mark = run_dir / RUN_MARK
    is_private = status.st_uid == os.geteuid() and status.st_mode & 0o077 == 0
    return is_private and mark.is_file() and mark.read_text(errors="replace") == str(folder.root)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # The servers use this option too: a port with only closing connections counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(besides: Collection[int] = ()) -> int:
    for port in random.sample(PORT_RANGE, 1_000):
        if port not in besides and is_free(port):
            return port
    raise StackError(f"no free port on {HOST} between {PORT_RANGE.start} and {PORT_RANGE.stop}.")


def choose_port(service: str, fixed: int | None, kept: int, besides: Collection[int]) -> int:
    """The port for a stopped service: the fixed one, otherwise the kept one, otherwise a new one.

    Raises UsageError if the fixed port is taken.
    """
    if fixed is not None:
        if fixed in besides or not is_free(fixed):
            raise UsageError(
                f"port {fixed} is taken by another program; choose another port for {service}, or remove this setting."
            )
        return fixed
    return kept if kept not in besides and is_free(kept) else free_port(besides)
