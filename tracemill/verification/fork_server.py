"""Where the check children come from: a fork server of our own, and how its children are tied to the parent's life.

multiprocessing's fork server does almost what is needed. What is changed here, and why:

- It is a server of our own, started on first use. A process that was itself forked (a Celery prefork child) starts
  another: the one of its parent is not its to wait for.
- A child does not import the parent's main module again: `check` lives in an importable module, and running somebody's
  script twice (or Celery's, 0.3 s a child) is a trap. Nor does it get the parent's authentication key, which in a
  Celery child is billiard's and refuses to be pickled.
- Neither the server nor the resource tracker has the current folder on its import path.
- The server leaves the parent's process group, so Ctrl-C and group signals reach the parent alone, which decides.
- A child dies with the server (PR_SET_PDEATHSIG) and the server dies with the parent, because the children let go of
  the pipe that keeps it alive. The kernel does the killing: a child stuck inside a big-integer power dies too.
"""

import ctypes
import io
import multiprocessing
import os
import resource
import signal
import sys
from multiprocessing import context, forkserver, popen_forkserver, process, reduction, resource_tracker, util
from typing import Any

from tracemill.interpreter import protected_children

_PR_SET_PDEATHSIG = 1


def _new_server() -> forkserver.ForkServer:
    server = forkserver.ForkServer()
    server.set_forkserver_preload(["tracemill.verification.preload"])
    return server


_server = _new_server()


def _forget_server() -> None:
    """In a process just forked: the server is the parent's, and must not stay alive for our sake."""
    global _server
    if _server._forkserver_alive_fd is not None:  # type: ignore[attr-defined]
        os.close(_server._forkserver_alive_fd)  # type: ignore[attr-defined]
    _server = _new_server()
    # Billiard's children would wait for these at their end; multiprocessing's own forget them.
    process._children.clear()  # type: ignore[attr-defined]


os.register_at_fork(after_in_child=_forget_server)


class _Popen(popen_forkserver.Popen):
    _fds: list[int]

    def _launch(self, process_obj: process.BaseProcess) -> None:
        message = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            reduction.dump({"name": process_obj.name, "sys_path": sys.path}, message)
            reduction.dump(process_obj, message)
        finally:
            context.set_spawning_popen(None)
        with protected_children():
            self.sentinel, writer = _server.connect_to_new_process(self._fds)
        # The child keeps the reading end and the parent a copy of the writing one for as long as it has the child.
        self.finalizer = util.Finalize(self, util.close_fds, (os.dup(writer), self.sentinel))  # type: ignore[attr-defined]
        with open(writer, "wb") as pipe:
            pipe.write(message.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


class _Child(context.ForkServerProcess):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._config.pop("authkey", None)  # type: ignore[attr-defined]

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> _Popen:
        return _Popen(process_obj)


class Nursery(context.ForkServerContext):
    """A multiprocessing context for `pebble.ProcessPool`: its children are forked from one warm, quiet server."""

    Process = _Child

    def __init__(self) -> None:
        super().__init__()
        with protected_children():
            resource_tracker.ensure_running()  # else a lock of pebble's starts it later


def allow_children() -> None:
    """Let this process have children although Celery marked it as a daemon.

    Daemons may have none because they are killed without being able to end them. Ours end themselves.
    """
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


def settle_child(memory_bytes: int) -> None:
    """First thing in a child: die with the server, die of SIGTERM at once, and take no more than `memory_bytes`."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
