"""What our processes share: a name that no other process has, and an end together with their parent."""

import ctypes
import os
import signal
import socket
import uuid

_PR_SET_PDEATHSIG = 1  # prctl(2)


def unique_name() -> str:
    """A new name for this process, `host:pid:random`. A restarted process never has the name of an earlier one."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (Linux only).

    The kernel watches the thread that started this process, so that thread must live as long as the parent. A parent
    that ended before this call is not noticed: the caller checks that.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
