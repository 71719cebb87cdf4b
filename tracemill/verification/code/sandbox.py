"""A Python program nobody trusts, run by bubblewrap where it can harm nothing, or not at all.

Three walls, each of which holds by itself most of what a program may try:

- *Namespaces*: no network but its own loopback, no processes but its own, no /proc, no file but the interpreter, its
  libraries (read only) and a small scratch folder; no privilege, and a user that owns nothing.
- *System calls*: a filter refuses those that reach other processes, kernel objects nobody counts, or a new namespace.
- *Limits*: the kernel's for each process; for all of them together this process watches the clock, memory, files and
  output, and kills the namespace, which leaves no process behind.

A probe tries each wall before the first program runs. Where one does not hold, every run is refused (fail closed).
"""

import inspect
import json
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import BinaryIO

from tracemill.errors import TracemillError, UsageError
from tracemill.verification.code import seccomp
from tracemill.verification.code.monitor import MB, TIMEOUT, Watch, processes

TASKS = 32  # processes and threads of one program; python and its helpers take three
OPEN_FILES = 64
SCRATCH_MB = 64
PROBE_SECONDS = 20.0

# Four processes, none of which has too much, all of which have.
HOARD_MB = 96
HOARDERS = f"import os, time\nos.fork(), os.fork()\nhoard = bytes(1) * {HOARD_MB // 2 << 20}\ntime.sleep(60)"

INTERPRETER = "/python/bin/python3"  # inside
PYTHON = [INTERPRETER, "-P", "-s", "-S", "-B", "-X", "utf8", "-c"]

# Kernel settings that forbid the namespaces of ordinary users, with the value that does.
FORBIDDING = {
    "kernel.unprivileged_userns_clone": ("0", "1"),
    "kernel.apparmor_restrict_unprivileged_userns": ("1", "0"),
    "user.max_user_namespaces": ("0", "10000"),
}
INSTALL = "Install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf install bubblewrap)"


@dataclass(frozen=True)
class Run:
    """How one program went."""

    #: 128 + n: ended by signal n; None: killed by us
    exit_code: int | None
    #: what it wrote, at most `OUTPUT_MB` of each
    out: str
    err: str
    #: why it was killed: "timeout after 10 s", "memory over 512 MB", …
    killed: str | None
    #: wall time, with the making of the sandbox
    seconds: float
    #: what the program wrote to descriptor 4, if it was given a job
    report: str = ""


class Sandbox:
    """Runs programs with this Python's interpreter and standard library, and nothing else. Thread-safe.

    `bwrap`: path of bubblewrap; None: the one on PATH. `seconds`: wall time of one program. `memory_mb`: address space
    of each of its processes, and resident memory of all of them together.
    """

    def __init__(self, bwrap: str | None = None, seconds: float = 10.0, memory_mb: int = 512) -> None:
        if seconds <= 0 or memory_mb < 64:
            raise UsageError(f"Sandbox(seconds={seconds}, memory_mb={memory_mb}): needs some time, and 64 MB.")
        self.seconds = seconds
        self.memory_mb = memory_mb
        self._bwrap = bwrap or shutil.which("bwrap")

    @cached_property
    def refusal(self) -> str | None:
        """Why no program can be run on this machine, and what to do; None: the sandbox holds. Probed once, 0.1 s."""
        if platform.machine() not in seccomp.ARCHITECTURES or sys.platform != "linux":
            return f"The sandbox knows Linux on {', '.join(seccomp.ARCHITECTURES)} only, and this is another machine."
        if self._bwrap is None:
            return f"There is no bwrap on PATH. {INSTALL}."
        if not os.access(self._bwrap, os.X_OK):
            return f"{self._bwrap} cannot be executed. {INSTALL}, or correct its path."
        return self._probe(self._bwrap)

    def require(self) -> None:
        """Raise TracemillError if no program can be run here."""
        if self.refusal:
            raise TracemillError(f"No sandbox, so no program is run. {self.refusal}")

    def run(self, program: str, stdin: str = "", job: str | None = None, seconds: float | None = None) -> Run:
        """Run `program` as `__main__`, with `stdin`. Raises TracemillError if the sandbox is refused or breaks.

        With a `job` the program finds two descriptors: 3, from which to read it, and 4, to write its report to.
        `seconds`: less time than the sandbox allows anyway.
        """
        self.require()
        assert self._bwrap is not None
        return self._run(self._bwrap, program, stdin, job, min(self.seconds, seconds or self.seconds))

    def _run(self, bwrap: str, program: str, stdin: str, job: str | None, seconds: float) -> Run:
        start = monotonic()
        root = _is_root()
        with ExitStack() as opened:
            status, status_in = _pipe(opened)
            report, report_in = _pipe(opened)
            walls, source, given, asked = (
                _memory(opened, content) for content in (seccomp.filter_program(), program, stdin, job or "")
            )
            numbers = (
                *(source, *((asked, report_in.fileno()) if job is not None else (-1, -1))),
                50_000 + secrets.randbelow(10_000) if root else -1,
                *(int(seconds) + 2, self.memory_mb * MB, SCRATCH_MB * MB, OPEN_FILES, TASKS),
            )
            command = [bwrap, "--seccomp", str(walls), "--json-status-fd", str(status_in.fileno()), *_walls(root)]
            strangers = processes()
            try:
                child = subprocess.Popen(
                    [*command, "--", *PYTHON, f"{inspect.getsource(_enter)}\n_enter()", *map(str, numbers)],
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=[walls, source, asked, status_in.fileno(), report_in.fileno()],
                    env={},
                    start_new_session=True,
                )
            except OSError as error:
                raise TracemillError(f"bubblewrap cannot be started: {error}.") from error
            opened.enter_context(child)
            status_in.close()
            report_in.close()
            assert child.stdout is not None
            assert child.stderr is not None
            streams = tuple(stream.fileno() for stream in (status, report, child.stdout, child.stderr))
            watch = Watch(child, streams, self.memory_mb, strangers)
            try:
                killed = watch.wait(start + seconds)
            finally:
                watch.end()
            said, told, out, err = (watch.read[fd].decode("utf-8", "replace") for fd in streams)
        exit_code = next((json.loads(line)["exit-code"] for line in said.splitlines() if "exit-code" in line), None)
        if killed == TIMEOUT:
            killed = f"timeout after {seconds:g} s"
        elif killed is None and exit_code is None:
            raise TracemillError(f"bubblewrap failed: {err.strip()[-300:] or 'it said nothing'}.")
        return Run(None if killed else exit_code, out, err, killed, monotonic() - start, told)

    def _probe(self, bwrap: str) -> str | None:
        with tempfile.NamedTemporaryFile(prefix="tracemill-probe-") as outside, socket.socket() as listener:
            os.chmod(outside.name, 0o644)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            known = (outside.name, listener.getsockname()[1], self.memory_mb * MB)
            program = f"{inspect.getsource(_attempts)}\n_attempts{known!r}"
            try:
                run = self._run(bwrap, program, "", None, PROBE_SECONDS)
                hoard = Sandbox(bwrap, PROBE_SECONDS, HOARD_MB)._run(bwrap, HOARDERS, "", None, PROBE_SECONDS)
            except TracemillError as error:
                return f"{error} {_remedy()}"
        if run.out != "it holds\n" or run.exit_code != 0:
            found = run.out.strip() or run.killed or run.err.strip().rpartition("\n")[2] or f"exit code {run.exit_code}"
        elif hoard.killed != f"memory over {HOARD_MB} MB":
            found = "the memory of several processes cannot be watched"
        else:
            return None
        return f"The sandbox was tried and does not hold on this machine: {found}."


def _enter() -> None:
    """Inside, before the program: give up the user and every descriptor, take the limits, and become the program."""
    import os
    import resource
    import sys

    source, job, report, user, cpu, memory, size, files, tasks = map(int, sys.argv[1:])
    with open(source, "rb") as file:
        program = file.read()
    if job >= 0:
        os.dup2(job, 3)
        os.dup2(report, 4)
    os.closerange(5 if job >= 0 else 3, 1 << 16)
    if user >= 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    limits = {"CPU": cpu, "AS": memory, "FSIZE": size, "NOFILE": files, "NPROC": tasks, "CORE": 0, "MEMLOCK": 0}
    for name, limit in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))
    main = type(sys)("__main__")
    main.__dict__.update(exit=sys.exit, quit=sys.exit)
    sys.modules["__main__"] = main
    sys.argv = ["program"]
    exec(compile(program, "program", "exec"), main.__dict__)


def _attempts(outside: str, port: int, memory: int) -> None:
    """The probe, inside: try what must not succeed, and say what did."""
    import os
    import socket
    import sys

    def child() -> None:
        if os.fork() == 0:
            os._exit(0)
        os.wait()

    def write(path: str) -> None:
        with open(path, "w") as file:
            file.write("x")

    def succeeds(attempt: object) -> bool:
        try:
            attempt()  # type: ignore[operator]
        except (OSError, MemoryError):
            return False
        return True

    must_fail = {
        "a file outside can be read": lambda: open(outside).close(),
        "processes can be seen": lambda: os.listdir("/proc/self"),
        "the network can be reached": lambda: socket.create_connection(("127.0.0.1", port), 1),
        "the libraries can be written to": lambda: write(f"{sys.prefix}/tracemill-probe"),
        "the root folder can be written to": lambda: write("/tracemill-probe"),
        "the program can be root": lambda: os.setuid(0),
        "memory has no limit": lambda: bytearray(2 * memory),
        "system calls are not filtered": lambda: os.memfd_create("probe"),
        "any device can be reached": lambda: os.listdir("/sys"),
    }
    must_succeed = {
        "no process can be started": child,
        "the scratch folder cannot be written to": lambda: write("/tmp/probe"),
    }
    found = [name for name, attempt in must_fail.items() if succeeds(attempt)]
    found += [name for name, attempt in must_succeed.items() if not succeeds(attempt)]
    print(", ".join(found) or "it holds")


def _walls(root: bool) -> list[str]:
    """bubblewrap's arguments. Root keeps only what it takes to become somebody else, which `_enter` does at once."""
    user = (
        ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        if root
        else ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    )
    spaces = [f"--unshare-{name}" for name in ("pid", "ipc", "net", "uts", "cgroup-try")]
    folders = ["--perms", "1777", "--size", str(SCRATCH_MB * MB), "--tmpfs", "/tmp"]
    for path in ("/usr", "/dev", "/python", "/python/bin"):
        folders += ["--perms", "0755", "--dir", path]
    for path in ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo"):
        target = os.readlink(path) if os.path.islink(path) else None
        folders += ["--symlink", target, path] if target else ["--ro-bind-try", path, path]
    # At a place of its own: the interpreter may live in a home folder, whose name and mode are nobody's business.
    interpreter = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    library = Path(os.__file__).resolve().parent.parent
    inside = f"/python/{library.name}"
    folders += ["--ro-bind", str(interpreter), INTERPRETER, "--ro-bind", str(library), inside]
    for name in ("null", "zero", "full", "random", "urandom"):
        folders += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    folders += ["--symlink", "/tmp", "/dev/shm", "--remount-ro", "/", "--chdir", "/tmp"]
    # One hash seed, so that a verdict does not depend on the order of a set; two heaps, not one for each thread.
    settings = {"HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "2"}
    settings["LD_LIBRARY_PATH"] = inside
    values = [word for name, value in settings.items() for word in ("--setenv", name, value)]
    return ["--cap-drop", "ALL", *user, *spaces, "--hostname", "sandbox", "--die-with-parent", *folders, *values]


def _is_root() -> bool:
    """Root of the machine. Root of a user namespace is an ordinary user to the kernel, limits of processes included."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split()[:2] == ["0", "0"]


def _remedy() -> str:
    """What forbids namespaces here, as far as the kernel says."""
    for name, (forbidden, allowed) in FORBIDDING.items():
        path = Path("/proc/sys", name.replace(".", "/", 1))
        if path.exists() and path.read_text().strip() == forbidden:
            return f"This machine forbids namespaces to its users: sysctl {name}={allowed} allows them."
    return "In a container it needs the right to make namespaces: CAP_SYS_ADMIN, or a profile that allows unshare."


def _pipe(opened: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    reading, writing = os.pipe()
    return opened.enter_context(open(reading, "rb", 0)), opened.enter_context(open(writing, "wb", 0))


def _memory(opened: ExitStack, content: str | bytes) -> int:
    """A descriptor from which `content` can be read."""
    file = opened.enter_context(os.fdopen(os.memfd_create("tracemill"), "w+b", 0))
    file.write(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    file.seek(0)
    return file.fileno()
