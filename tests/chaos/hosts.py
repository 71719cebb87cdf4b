"""Hosts as network namespaces of this machine: each has an address on a bridge and can be disconnected.

The bridge and the data services are in another namespace, the hub, so the machine's network stays unchanged. It needs
root and iproute2.

    with network("a", "b") as hosts, inside(hosts.hub): start(hosts.command("a", ["sleep", "9"])); hosts.cut("a")
"""

import ctypes
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tracemill.processes import is_alive

#: The names of our namespaces: the prefix, the pid of the creator, and the host.
OURS = re.compile(r"tracemill-(\d+)-\S+")
NETWORK = "10.83.0.0/24"
HUB = "10.83.0.1"


@dataclass(frozen=True)
class Network:
    """The hosts, by name, and the hub's namespace."""

    addresses: dict[str, str]
    hub: str

    def command(self, host: str, words: Sequence[str]) -> list[str]:
        """Build the command that runs `words` on a host with the same pid."""
        return ["ip", "netns", "exec", namespace(host), *words]

    def cut(self, host: str) -> None:
        """Disconnect the host without closing its connections."""
        _ip("-n", self.hub, "link", "set", "dev", host, "down")

    def join(self, host: str) -> None:
        """Reconnect the host."""
        _ip("-n", self.hub, "link", "set", "dev", host, "up")


@contextmanager
def network(*hosts: str) -> Iterator[Network]:
    """Create the network; at the end remove it and its processes. Raises OSError if it cannot be created."""
    _clean_up()
    made = Network({host: f"10.83.0.{number}" for number, host in enumerate(hosts, 2)}, namespace("hub"))
    try:
        _ip("netns", "add", made.hub)
        _ip("-n", made.hub, "link", "set", "lo", "up")
        _ip("-n", made.hub, "link", "add", "bridge", "type", "bridge")
        _ip("-n", made.hub, "address", "add", f"{HUB}/24", "dev", "bridge")
        _ip("-n", made.hub, "link", "set", "bridge", "up")
        for host, address in made.addresses.items():
            host_namespace = namespace(host)
            _ip("netns", "add", host_namespace)
            _ip("-n", host_namespace, "link", "set", "lo", "up")
            _ip(
                "-n",
                made.hub,
                "link",
                "add",
                "name",
                host,
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                host_namespace,
            )
            _ip("-n", made.hub, "link", "set", "dev", host, "master", "bridge", "up")
            _ip("-n", host_namespace, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", host_namespace, "link", "set", "eth0", "up")
        yield made
    finally:
        _clean_up()


def namespace(host: str) -> str:
    return f"tracemill-{os.getpid()}-{host}"


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Put this thread's new connections and child processes into the namespace."""
    with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{name}") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12
    if libc.setns(descriptor, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter the network namespace")


def refusal() -> str | None:
    """The reason why this machine cannot create hosts; None if it can."""
    try:
        with network("probe") as hosts, inside(hosts.hub):
            return None
    except FileNotFoundError:
        return "there is no `ip` command (iproute2)"
    except OSError as error:
        return f"network namespaces cannot be made: {error}"


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _clean_up() -> None:
    """Remove the namespaces of this process and of dead processes."""
    for path in Path("/run/netns").glob("tracemill-*"):
        if (match := OURS.fullmatch(path.name)) is None:
            continue
        maker = int(match[1])
        if maker == os.getpid() or not is_alive(maker):
            for pid in _ip("netns", "pids", path.name).split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            _ip("netns", "delete", path.name)
