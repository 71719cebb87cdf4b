"""No engine process outlives its worker.

vLLM starts its engine core and its workers as processes of their own, and after a kill -9 of the worker they stay
behind with all their memory (on a GPU: the card's). vLLM calls `tie_to_parent` in each of them, because the project
registers it as a vLLM plugin; in a vLLM that Tracemill did not start, it does nothing.
"""

import ctypes
import os
import signal

#: Set by the worker before it starts vLLM: its own process id.
WORKER_PID = "TRACEMILL_ENGINE_OWNER"
PR_SET_PDEATHSIG = 1  # prctl(2)


def tie_to_parent() -> None:
    """Ask the kernel to kill this process when its parent dies. Linux only, like vLLM."""
    owner = os.environ.get(WORKER_PID)
    if owner is None or int(owner) == os.getpid():
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # the parent died before we asked
        os._exit(1)
