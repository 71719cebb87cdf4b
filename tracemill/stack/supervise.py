"""Supervision by supervisord: a unit file for each program, a generated configuration, a private socket."""

import hashlib
import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tracemill.errors import StackError, UsageError
from tracemill.interpreter import python
from tracemill.stack import sweep
from tracemill.stack.state import Folder, Program, write_private

#: The supervisor starts low priorities first and stops them last.
DATA_SERVICES_FIRST = 100
PROGRAMS_LATER = 500

#: Seconds after which a started program counts as RUNNING, and restarts (after 1, 2 and 3 seconds) before it is FATAL.
START_SECONDS = 1
START_RETRIES = 3

#: Longest wait for programs to stop. The supervisor kills each after its `stop_seconds`.
CHANGE_SECONDS = 600.0

_LAUNCHER = Path(__file__).with_name("launch.py")
_STOPPED = ("STOPPED", "EXITED", "FATAL", "UNKNOWN")


@dataclass(frozen=True)
class Unit:
    """All values that the launcher and the supervisor need to run one program."""

    name: str
    command: list[str]
    environment: dict[str, str]
    directory: str
    stop_signal: str = "TERM"
    stop_seconds: int = 20
    restart: bool = True
    priority: int = PROGRAMS_LATER
    settings_digest: str = ""
    engine: str = ""
    #: The account to change to before it starts.
    uid: int | None = None
    gid: int | None = None

    def is_same_program(self, other: "Unit") -> bool:
        """Whether they differ at most in the folder of `up`, which is no reason to restart a worker."""
        return {**asdict(self), "directory": ""} == {**asdict(other), "directory": ""}


def program_unit(program: Program) -> Unit:
    """A user's program as a unit. Raises UsageError for a name or command that cannot be supervised."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", program.name) or program.name in (*sweep.DATA_SERVICES, "supervisord"):
        raise UsageError(
            f"{program.name!r} cannot be the name of a program: use letters, digits, '_', '.' and '-', "
            f"and not {', '.join(sweep.DATA_SERVICES)} or supervisord."
        )
    if not program.command:
        raise UsageError(f"program {program.name} has no command.")
    return Unit(
        name=program.name,
        command=program.command,
        environment=program.environment,
        directory=os.getcwd(),
        stop_seconds=program.stop_seconds,
        restart=program.restart,
        settings_digest=program.settings_digest,
        engine=program.engine,
    )


def write_unit(folder: Folder, unit: Unit) -> None:
    path = folder.units / f"{unit.name}.json"
    if path.exists() and _read_unit(path).is_same_program(unit):
        return
    write_private(path, json.dumps(asdict(unit), indent=2) + "\n")


def keep_only(folder: Folder, names: Collection[str]) -> None:
    """Delete all other unit files. The supervisor stops their programs at the next `apply`."""
    for path in folder.units.iterdir():
        if path.stem not in names:
            path.unlink()


def units(folder: Folder) -> list[Unit]:
    return [_read_unit(path) for path in sorted(folder.units.glob("*.json"))]


def _read_unit(path: Path) -> Unit:
    return Unit(**json.loads(path.read_text()))


def configuration(run_dir: Path, root: Path, units: Iterable[Unit]) -> str:
    """The text of supervisord.conf.

    Paths are relative to the data folder, the working folder of supervisord, because the format cannot quote them.
    """
    run = run_dir.relative_to(root) if run_dir.is_relative_to(root) else run_dir
    launcher = shlex.join([sys.executable, "-P", "-S", str(_LAUNCHER)])  # -S: it imports no installed package
    sections = [
        f"[unix_http_server]\nfile={run}/supervisor.sock\nchmod=0700\n",
        "[supervisord]\n"
        f"pidfile={run}/supervisord.pid\nlogfile=logs/supervisord.log\nlogfile_maxbytes=10MB\nlogfile_backups=2\n"
        # Without a user, supervisord warns that it runs as root.
        + (f"user={os.geteuid()}\n" if os.geteuid() == 0 else ""),
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
    ]
    for unit in units:
        # The digest changes with the unit file, so that the supervisor notices the change.
        digest = hashlib.sha256(json.dumps(asdict(unit), sort_keys=True).encode()).hexdigest()
        settings = {
            "command": f"{launcher} units/{unit.name}.json".replace("%", "%%"),
            "environment": f'TRACEMILL_UNIT="{digest}"',
            "priority": unit.priority,
            "autorestart": str(unit.restart).lower(),
            # A program that runs once may end within the first second.
            "startsecs": START_SECONDS if unit.restart else 0,
            "startretries": START_RETRIES,
            "stopsignal": unit.stop_signal,
            "stopwaitsecs": unit.stop_seconds,
            # Only the program itself gets SIGTERM: a Celery worker needs its children to finish its tasks, and an
            # engine is shut down by its owner. SIGKILL goes to all of them.
            "stopasgroup": "false",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": f"logs/{unit.name}.log",
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": 2,
        }
        sections.append(
            "\n".join([f"[program:{unit.name}]", *(f"{key}={value}" for key, value in settings.items())]) + "\n"
        )
    return "\n".join(sections)


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        # A hanging supervisor must not block this process.
        self.sock.settimeout(5)
        self.sock.connect(self.path)


class _SocketTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _SocketConnection(self.path)


class Supervisor:
    """The supervisord of one data folder, running or not."""

    def __init__(self, folder: Folder, run_dir: Path) -> None:
        self.folder = folder
        self.run_dir = run_dir

    def _call(self, method: str, *arguments: Any) -> Any:
        path = str(self.run_dir / "supervisor.sock")
        with xmlrpc.client.ServerProxy("http://localhost", transport=_SocketTransport(path)) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def is_alive(self) -> bool:
        try:
            self._call("getPID")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False
        return True

    def states(self) -> dict[str, dict[str, Any]]:
        """The supervisor's report on each of its programs, by name."""
        return {info["name"]: info for info in self._call("getAllProcessInfo")}

    def apply(self) -> list[str]:
        """Start, restart and stop programs as the unit files require. Unchanged programs keep running.

        Returns the names of the restarted programs.
        """
        current = units(self.folder)
        text = configuration(self.run_dir, self.folder.root, current)
        write_private(self.run_dir / "supervisord.conf", text)
        if not self.is_alive():
            for unit in current:
                self._forget_starts(unit.name)
            self._start()
            return []
        ((added, changed, removed),) = self._call("reloadConfig")
        gone = [*changed, *removed]
        self.stop(gone, CHANGE_SECONDS)
        for name in gone:
            self._call("removeProcessGroup", name)
        for name in (*added, *changed):
            self._forget_starts(name)
            self._call("addProcessGroup", name)
        for name, info in self.states().items():
            if info["statename"] in _STOPPED and name not in added and name not in changed:
                self._begin(name)
        return list(changed)

    def restart(self, names: Collection[str]) -> None:
        """Stop programs and start them again, whether they have changed or not."""
        self.stop(names, CHANGE_SECONDS)
        for name in names:
            self._begin(name)

    def _begin(self, name: str) -> None:
        self._forget_starts(name)
        self._call("startProcess", name, False)

    def _forget_starts(self, name: str) -> None:
        (self.folder.units / f"{name}.starts").unlink(missing_ok=True)

    def _start(self) -> None:
        environment = {
            **os.environ,
            sweep.STACK_MARK: str(self.folder.root),
            # Otherwise programs that set their title overwrite the mark.
            "SPT_NOENV": "1",
        }
        done = subprocess.run(
            python("supervisor.supervisord", "-c", str(self.run_dir / "supervisord.conf")),
            cwd=self.folder.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        deadline = time.monotonic() + 10
        while done.returncode == 0 and time.monotonic() < deadline:
            if self.is_alive():
                return
            time.sleep(0.05)
        raise StackError(f"supervisord did not start: {done.stdout.strip()}\n{self.folder.log_tail('supervisord')}")

    def settle(self, names: Collection[str], seconds: float) -> None:
        """Wait until every named program runs, or has ended if it runs only once.

        Raises StackError with the end of the log if a program cannot be started. The others stay up.
        """
        deadline = time.monotonic() + seconds
        while True:
            states = {name: info["statename"] for name, info in self.states().items() if name in names}
            for name, state in states.items():
                if state == "FATAL":
                    raise StackError(f"{name} does not start. {self.folder.log_tail(name)}")
            waiting = [name for name, state in states.items() if state not in ("RUNNING", "EXITED")]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise StackError(f"{waiting[0]} did not start in time. {self.folder.log_tail(waiting[0])}")
            time.sleep(0.1)

    def stop(self, names: Collection[str], seconds: float) -> None:
        """Stop programs at the same time. After `seconds`, kill the remaining ones and their child processes."""
        for name in names:
            with suppress(xmlrpc.client.Fault):  # it is not running
                self._call("stopProcess", name, False)
        deadline = time.monotonic() + seconds
        while self._running(names) and time.monotonic() < deadline:
            time.sleep(0.05)
        for name in names:
            sweep.end(sweep.find(self.folder, name), signal.SIGKILL, 0)
        deadline = time.monotonic() + sweep.KILL_SECONDS
        while self._running(names) and time.monotonic() < deadline:
            time.sleep(0.05)

    def _running(self, names: Collection[str]) -> bool:
        return any(info["statename"] not in _STOPPED for name, info in self.states().items() if name in names)

    def shut_down(self, seconds: float) -> None:
        """End the supervisor itself, after its programs."""
        self._call("shutdown")
        deadline = time.monotonic() + seconds
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
