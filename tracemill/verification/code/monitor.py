"""A running sandbox: what it writes, what all its processes use together, and how it is ended with everything in it."""

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
OUTPUT_MB = 4  # kept of each stream; more kills
FILES = 10_000  # in the scratch folder: an empty file takes kernel memory that no size limit counts
TICK = 0.02  # seconds between two looks at memory: in this time a program writes some 50 MB
LAST_WORDS = 5.0  # seconds until the pipes of a killed sandbox must be closed
TIMEOUT = "timeout"


class Watch:
    """A running bubblewrap: what it writes, what it uses, and how it is ended with everything in it."""

    def __init__(
        self, child: "subprocess.Popen[bytes]", streams: tuple[int, ...], memory_mb: int, strangers: set[int]
    ) -> None:
        self.read = {fd: bytearray() for fd in streams}
        self._child = child
        self._memory_mb = memory_mb
        self._status = streams[0]
        self._selector = selectors.DefaultSelector()
        self._monitor = os.pidfd_open(child.pid)
        for fd in (*streams, self._monitor):
            self._selector.register(fd, selectors.EVENT_READ)
        for fd in streams:
            os.set_blocking(fd, False)
        #: the namespace's first process, with which all others die: its id and a descriptor
        self._first: tuple[int, int] | None = None
        #: processes that are none of ours
        self._strangers = strangers

    def wait(self, deadline: float) -> str | None:
        """Until the program has ended by itself (None), or why it must not go on."""
        look = monotonic() + TICK
        while (now := monotonic()) < deadline:
            ready = [key.fd for key, _ in self._selector.select(max(0.0, min(look, deadline) - now))]
            if not self._take(ready):
                return f"output over {OUTPUT_MB} MB"
            if self._monitor in ready:
                return None
            if (now := monotonic()) >= look:
                if trouble := self._trouble():
                    return trouble
                look = monotonic() + max(TICK, 10 * (monotonic() - now))
        return TIMEOUT

    def end(self) -> None:
        """Kill what is left, wait until it is gone, and read the last that it wrote."""
        self._take([self._status])
        if self._first is None:
            self._child.kill()  # bubblewrap has not got further than its own work: its child dies with it
        else:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first[1], signal.SIGKILL)
            gone = select.poll()
            gone.register(self._first[1], select.POLLIN)
            gone.poll()
            os.close(self._first[1])
        self._child.wait()
        self._selector.unregister(self._monitor)
        os.close(self._monitor)
        while self._selector.get_map() and (ready := self._selector.select(LAST_WORDS)):
            if not self._take([key.fd for key, _ in ready]):
                break
        self._selector.close()

    def _take(self, ready: Iterable[int]) -> bool:
        """Read what is there; False: it is more than anybody will read."""
        for fd in ready:
            if fd not in self.read:
                continue
            with suppress(BlockingIOError):
                data = os.read(fd, 1 << 16)
                self.read[fd] += data
                if not data and fd in self._selector.get_map():
                    self._selector.unregister(fd)
        if self._first is None and b"}" in self.read[self._status]:
            pid = int(json.loads(self.read[self._status].split(b"\n")[0])["child-pid"])
            with suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                # A first process that has ended already may have left its number to another.
                if (_facts(pid) or {}).get("PPid") == self._child.pid:
                    self._first = (pid, descriptor)
                else:
                    os.close(descriptor)
        return all(len(data) <= OUTPUT_MB * MB for data in self.read.values())

    def _trouble(self) -> str | None:
        """Does the whole namespace use more than it may? The kernel limits each process only."""
        if self._first is None:
            return None
        first = self._first[0]
        alive = processes()
        found = {pid: facts for pid in alive - self._strangers if (facts := _facts(pid))}
        members = {first}
        while more := {pid for pid, facts in found.items() if facts["PPid"] in members} - members:
            members |= more
        # Whoever is neither a child of ours nor of a stranger has a parent that has just ended: the next look tells.
        strangers = self._strangers & alive
        while more := {pid for pid, facts in found.items() if facts["PPid"] in strangers} - members - strangers:
            strangers |= more
        self._strangers = strangers
        used = sum(found.get(pid, {}).get(name, 0) for pid in members for name in ("RssAnon", "RssShmem", "VmSwap"))
        if used > self._memory_mb * 1024:
            return f"memory over {self._memory_mb} MB"
        for pid in members - {first}:
            with suppress(OSError):  # it has just ended
                scratch = os.statvfs(f"/proc/{pid}/root/tmp")
                return f"more than {FILES} files" if scratch.f_files - scratch.f_ffree > FILES else None
        return None


def processes() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdecimal()}


def _facts(pid: int) -> dict[str, int] | None:
    """The lines of /proc/PID/status that are a number, in its units (memory: kB); None: there is no such process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    words = [line.split() for line in lines]
    return {name[:-1]: int(value) for name, value, *_ in (line for line in words if len(line) > 1) if value.isdecimal()}
