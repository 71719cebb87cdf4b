"""Monitor a running sandbox: its output, its memory and its end."""

import json
import os
import select
import selectors
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic

MB = 2**20
MAX_OUTPUT_MB = 4  # of each stream; more output ends the program
MAX_FILES = 10_000  # in the scratch folder: empty files take kernel memory, which no size limit counts
CHECK_SECONDS = 0.02  # between two checks of memory: in this time a program writes about 50 MB
CLOSE_SECONDS = 5.0  # until the pipes of a killed sandbox must be closed
TIMEOUT = "timeout"


class Monitor:
    """Reads the output of one bubblewrap, checks its limits, ends its processes."""

    def __init__(
        self, child: "subprocess.Popen[bytes]", streams: tuple[int, ...], memory_mb: int, outside: set[int]
    ) -> None:
        self.output = {fd: bytearray() for fd in streams}
        self._child = child
        self._memory_mb = memory_mb
        self._status = streams[0]
        self._selector = selectors.DefaultSelector()
        self._exit_descriptor = os.pidfd_open(child.pid)
        for fd in (*streams, self._exit_descriptor):
            self._selector.register(fd, selectors.EVENT_READ)
        for fd in streams:
            os.set_blocking(fd, False)
        #: the first process of the namespace, as id and descriptor; the kernel ends all others with it
        self._first: tuple[int, int] | None = None
        #: ids of processes outside the sandbox
        self._outside = outside

    def wait(self, deadline: float) -> str | None:
        """Wait until the program ends. Return None, or why it must be killed."""
        next_check = monotonic() + CHECK_SECONDS
        while (now := monotonic()) < deadline:
            ready = [key.fd for key, _ in self._selector.select(max(0.0, min(next_check, deadline) - now))]
            if not self._read_ready(ready):
                return f"output over {MAX_OUTPUT_MB} MB"
            if self._exit_descriptor in ready:
                return None
            if (now := monotonic()) >= next_check:
                if exceeded := self._exceeded_limit():
                    return exceeded
                next_check = monotonic() + max(CHECK_SECONDS, 10 * (monotonic() - now))
        return TIMEOUT

    def end(self) -> None:
        """Kill all processes, wait for their end, and read the rest of the output."""
        self._read_ready([self._status])
        if self._first is None:
            self._child.kill()  # bubblewrap has not started the program; its child ends with it
        else:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first[1], signal.SIGKILL)
            poll = select.poll()
            poll.register(self._first[1], select.POLLIN)
            poll.poll()
            os.close(self._first[1])
        self._child.wait()
        self._selector.unregister(self._exit_descriptor)
        os.close(self._exit_descriptor)
        while self._selector.get_map() and (ready := self._selector.select(CLOSE_SECONDS)):
            if not self._read_ready([key.fd for key, _ in ready]):
                break
        self._selector.close()

    def _read_ready(self, ready: Iterable[int]) -> bool:
        """Read available output. Return False if a stream exceeds `MAX_OUTPUT_MB`."""
        for fd in ready:
            if fd not in self.output:
                continue
            with suppress(BlockingIOError):
                data = os.read(fd, 1 << 16)
                self.output[fd] += data
                if not data and fd in self._selector.get_map():
                    self._selector.unregister(fd)
        if self._first is None and b"}" in self.output[self._status]:
            pid = int(json.loads(self.output[self._status].split(b"\n")[0])["child-pid"])
            with suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                # If the first process has ended, its id may belong to another process.
                if (_process_fields(pid) or {}).get("PPid") == self._child.pid:
                    self._first = (pid, descriptor)
                else:
                    os.close(descriptor)
        return all(len(data) <= MAX_OUTPUT_MB * MB for data in self.output.values())

    def _exceeded_limit(self) -> str | None:
        """Return the limit that the namespace exceeds; None if it exceeds none.

        The kernel limits only single processes.
        """
        if self._first is None:
            return None
        first = self._first[0]
        alive = processes()
        fields_by_pid = {pid: fields for pid in alive - self._outside if (fields := _process_fields(pid))}
        members = {first}
        while added := {pid for pid, fields in fields_by_pid.items() if fields["PPid"] in members} - members:
            members |= added
        # A process in neither set has a parent that has just ended: the next check decides about it.
        outside = self._outside & alive
        while added := {pid for pid, fields in fields_by_pid.items() if fields["PPid"] in outside} - members - outside:
            outside |= added
        self._outside = outside
        used_kb = _sockets_kb(first) + sum(
            fields_by_pid.get(pid, {}).get(name, 0) for pid in members for name in ("RssAnon", "RssShmem", "VmSwap")
        )
        if used_kb > self._memory_mb * 1024:
            return f"memory over {self._memory_mb} MB"
        for pid in members - {first}:
            with suppress(OSError):  # it has just ended
                scratch = os.statvfs(f"/proc/{pid}/root/tmp")
                return f"more than {MAX_FILES} files" if scratch.f_files - scratch.f_ffree > MAX_FILES else None
        return None


def _sockets_kb(pid: int) -> int:
    """Return the memory that the Unix sockets of a process's network namespace can hold, in kB.

    The kernel counts it to no process. A buffer exceeds its size by at most one message, of half of it.
    """
    try:
        lines = Path(f"/proc/{pid}/net/unix").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    size = int(Path("/proc/sys/net/core/wmem_default").read_text())
    return (len(lines) - 1) * size * 3 // 2 // 1024


def processes() -> set[int]:
    """Return the ids of all processes."""
    return {int(name) for name in os.listdir("/proc") if name.isdecimal()}


def _process_fields(pid: int) -> dict[str, int] | None:
    """Return the numeric fields of /proc/PID/status; None without such a process.

    Memory is in kB.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    words = [line.split() for line in lines]
    return {name[:-1]: int(value) for name, value, *_ in (line for line in words if len(line) > 1) if value.isdecimal()}
