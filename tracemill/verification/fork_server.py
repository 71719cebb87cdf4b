"""A fork server for the children that check traces; the children never outlive the parent.

It changes multiprocessing's fork server in five ways:

- Each process starts a server of its own at first use. A process that was itself forked (a Celery prefork child) starts
  another one, because it cannot wait for the server of its parent.
- A child does not import the main module of the parent. `check` is in an importable module; a second run of a user's
  script would be a trap, and one of Celery's costs 0.3 s a child. A child gets no authentication key either: in a
  Celery child the key is billiard's and cannot be pickled.
- Neither the server nor the resource tracker has the current folder on its import path.
- The server leaves the process group of the parent. Ctrl-C and signals to the group reach only the parent, which then
  ends the children.
- A child dies with the server (PR_SET_PDEATHSIG). The server dies with the parent, because the children close the pipe
  that keeps the server alive. The kernel kills, so a child inside one long integer power dies too.
"""

import io
import multiprocessing
import os
import resource
import signal
import sys
from multiprocessing import context, forkserver, popen_forkserver, process, reduction, resource_tracker, util
from typing import Any
from weakref import WeakSet

from tracemill.interpreter import protected_children
from tracemill.processes import die_with_parent


def _new_server() -> forkserver.ForkServer:
    server = forkserver.ForkServer()
    server.set_forkserver_preload(["tracemill.verification.preload"])
    return server


_server = _new_server()


def _forget_server() -> None:
    """In a forked process: drop the parent's server, and close our end of the pipe that keeps it alive."""
    global _server
    if _server._forkserver_alive_fd is not None:  # type: ignore[attr-defined]
        os.close(_server._forkserver_alive_fd)  # type: ignore[attr-defined]
    _server = _new_server()
    # A child of billiard would wait for the parent's children at its end; multiprocessing's own children forget them.
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
        # The child keeps the reading end. The parent keeps a copy of the writing end as long as it has the child.
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


class CheckContext(context.ForkServerContext):
    """A multiprocessing context for one `pebble.ProcessPool`, whose children are forked from the server above."""

    def __init__(self) -> None:
        super().__init__()
        self._children: WeakSet[_Child] = WeakSet()
        with protected_children():
            resource_tracker.ensure_running()  # otherwise a lock of pebble starts it later

    def Process(self, *args: Any, **kwargs: Any) -> _Child:  # type: ignore[override]
        child = _Child(*args, **kwargs)
        self._children.add(child)
        return child

    def kill_children(self) -> None:
        """Kill the children that still run."""
        for child in multiprocessing.active_children():
            if child in self._children:
                child.kill()


def allow_children() -> None:
    """Allow this process to have children although Celery marks it as a daemon.

    Daemons may have none, because a killed daemon cannot end its children. Ours die with it.
    """
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


def settle_child(memory_bytes: int) -> None:
    """Prepare a new child: it dies with the server and at SIGTERM, and takes at most `memory_bytes`."""
    die_with_parent()
    os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
