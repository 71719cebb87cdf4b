"""What our processes share: a name that no other process has, and an end together with their parent."""

import ctypes
import os
import signal
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import spawn
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

_PR_SET_PDEATHSIG = 1  # prctl(2)


def unique_name() -> str:
    """A new name for this process, `host:pid:random`. A restarted process never has the name of an earlier one."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def is_alive(process: "psutil.Process | int") -> bool:
    """Whether a process, or the process with a pid, runs.

    A zombie has ended: it only waits for its parent to read its exit status, and some containers have no parent that
    ever does.
    """
    import psutil

    try:
        known = psutil.Process(process) if isinstance(process, int) else process
        return known.is_running() and bool(known.status() != psutil.STATUS_ZOMBIE)
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (Linux only).

    The kernel watches the thread that started this process, so that thread must live as long as the parent. A parent
    that ended before this call is not noticed: the caller checks that.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def die_with_owner(owner: int) -> None:
    """`die_with_parent`, and end this process at once if the process that owns it has already ended."""
    die_with_parent()
    if not os.path.exists(f"/proc/{owner}"):
        os._exit(1)


class _Tie:
    """An object whose unpickling ties the process that unpickles it to the one that pickled it."""

    def __reduce__(self) -> Any:
        return die_with_owner, (os.getpid(),)


@contextmanager
def tied_children() -> Iterator[None]:
    """Have the children that multiprocessing spawns in this block die with their parent (`die_with_parent`).

    They are tied before they import the module of their work, which takes many seconds for vLLM. Children that start in
    other threads meanwhile are tied as well.
    """
    prepare = spawn.get_preparation_data
    spawn.get_preparation_data = lambda name: prepare(name) | {"tie": _Tie()}
    try:
        yield
    finally:
        spawn.get_preparation_data = prepare
