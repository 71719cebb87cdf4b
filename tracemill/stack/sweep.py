"""Find and end the remaining processes of a stack: all processes with its mark, whatever their parent.

The mark is the environment variable TRACEMILL_STACK. It identifies a process even if its supervisor was killed or if it
detached itself. The servers overwrite their environment with a title, so their working folder identifies them too.
"""

import os
import signal
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tracemill.errors import StackError
from tracemill.processes import is_alive
from tracemill.stack.state import Folder

if TYPE_CHECKING:
    import psutil

STACK_MARK = "TRACEMILL_STACK"
PROGRAM_MARK = "TRACEMILL_PROGRAM"
#: Seconds until a killed process has certainly ended.
KILL_SECONDS = 2.0

DATA_SERVICES = ("postgres", "redis")
_SERVER_NAMES = ("postgres", "redis-server", "valkey-server")


def find(folder: Folder, program: str | None = None) -> "list[psutil.Process]":
    """The stack's processes (or one program's) with all their descendants; never this process or its ancestors."""
    import psutil

    processes = {process.pid: process for process in psutil.process_iter(["ppid"])}
    spared = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    owners = {pid: program_of(process, folder) for pid, process in processes.items() if pid not in spared}
    pids = {pid for pid, owner in owners.items() if owner is not None and program in (None, owner)}
    has_grown = True
    while has_grown:
        children = {pid for pid, process in processes.items() if process.info["ppid"] in pids} - pids - spared
        pids |= children
        has_grown = bool(children)
    return [processes[pid] for pid in pids if is_alive(processes[pid])]


def program_of(process: "psutil.Process", folder: Folder) -> str | None:
    """The stack's program that a process belongs to; empty for the supervisor, None for other processes."""
    import psutil

    program: str | None = None
    try:
        environment = process.environ()
        if environment.get(STACK_MARK) == str(folder.root):
            program = environment.get(PROGRAM_MARK, "")
        elif process.name() in _SERVER_NAMES:
            program = {str(folder.postgres): "postgres", str(folder.redis): "redis"}.get(process.cwd())
    except (psutil.Error, OSError):
        return None
    return program


def sweep(folder: Folder, seconds: float) -> None:
    """End every process of the stack within about `seconds`. Data services end last, with a clean shutdown.

    Raises StackError if a process remains even after SIGKILL.
    """
    left = find(folder)
    if not left:
        return
    services = {process: program_of(process, folder) for process in left}
    services = {process: program for process, program in services.items() if program in DATA_SERVICES}
    supervisors = [process for process in left if _is_supervisor(process)]
    # The supervisor ends first and at once, because it would restart the other programs.
    end(supervisors, signal.SIGKILL, 0)
    end([process for process in left if process not in services], signal.SIGTERM, seconds / 2)
    pids = {process.pid for process in services}
    for process, program in services.items():
        # A server ends its child processes itself.
        if process.info["ppid"] not in pids:
            _send(process, signal.SIGINT if program == "postgres" else signal.SIGTERM)
    _wait(services, seconds / 2)
    end(find(folder), signal.SIGKILL, KILL_SECONDS)
    if rest := find(folder):
        names = ", ".join(str(process.pid) for process in rest)
        raise StackError(f"these processes of the stack in {folder.root} cannot be ended: {names}.")


def end(processes: "Iterable[psutil.Process]", how: signal.Signals, seconds: float) -> None:
    """Send a signal, wait up to `seconds`, and kill the remaining processes."""
    waiting = list(processes)
    for process in waiting:
        _send(process, how)
    for process in _wait(waiting, seconds):
        _send(process, signal.SIGKILL)


def _send(process: "psutil.Process", how: signal.Signals) -> None:
    import psutil

    try:
        process.send_signal(how)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise StackError(f"process {process.pid} of the stack belongs to another user: end it as that user.") from error


def _wait(processes: "Iterable[psutil.Process]", seconds: float) -> "list[psutil.Process]":
    """Wait up to `seconds` for the processes to end. Returns those still alive."""
    deadline = time.monotonic() + seconds
    left = [process for process in processes if is_alive(process)]
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [process for process in left if is_alive(process)]
    return left


def _is_supervisor(process: "psutil.Process") -> bool:
    import psutil

    try:
        return "supervisor.supervisord" in process.cmdline()
    except psutil.Error:
        return False
