"""Run untrusted Python programs by bubblewrap, isolated from this machine.

Three layers protect the machine; each alone stops most attacks:

- *Namespaces*: the program has no network and only its own processes. It has no /proc, and no files but
  the interpreter, its libraries (read only) and a small scratch folder. It has no privilege, and its user owns nothing.
- *System calls*: a filter allows those that Python's standard library needs. It refuses calls that reach other
  processes, kernel objects without a limit, or a new namespace.
- *Limits*: the kernel limits each process. This process monitors time, memory, files and output of all of them
  together. It kills the whole namespace, so that no process remains.

A probe tests each layer before the first program runs. If one fails, every run is refused (fail closed).
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

from tracemill.errors import TracemillError, UsageError, reason_of
from tracemill.verification.code import seccomp
from tracemill.verification.code.monitor import MB, TIMEOUT, Monitor, processes

MAX_TASKS = 32  # processes and threads of one program; Python and its helpers take three
MAX_OPEN_FILES = 64
SCRATCH_MB = 64  # size of the scratch folder
PROBE_SECONDS = 20.0  # for each program of the probe

# Four processes that exceed the memory limit only together.
PROBE_MEMORY_MB = 96
MEMORY_PROBE = f"import os, time\nos.fork(), os.fork()\ndata = bytes(1) * {PROBE_MEMORY_MB // 2 << 20}\ntime.sleep(60)"

INTERPRETER = "/python/bin/python3"  # inside the sandbox
PYTHON = [INTERPRETER, "-P", "-s", "-S", "-B", "-X", "utf8", "-c"]

# Kernel settings that can forbid namespaces to ordinary users: the forbidding value, and an allowing one.
FORBIDDING = {
    "kernel.unprivileged_userns_clone": ("0", "1"),
    "kernel.apparmor_restrict_unprivileged_userns": ("1", "0"),
    "user.max_user_namespaces": ("0", "10000"),
}
INSTALL = "Install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf install bubblewrap)"


@dataclass(frozen=True)
class Run:
    """The result of one program."""

    #: 128 + n after signal n; None if the sandbox killed it
    exit_code: int | None
    #: stdout and stderr, at most `MAX_OUTPUT_MB` of each
    out: str
    err: str
    #: why it was killed: "timeout after 10 s", "memory over 512 MB", …
    killed: str | None
    #: wall time, with the start of the sandbox
    seconds: float
    #: text that the program wrote to descriptor 4, if it got a job
    report: str = ""


class Sandbox:
    """Runs programs with this Python's interpreter and standard library only.

    `bwrap` is the path of bubblewrap; None takes it from PATH. `seconds` limits the wall time of one program.
    `memory_mb` limits the address space of each process, and the resident memory of all processes together.
    Thread-safe.
    """

    def __init__(self, bwrap: str | None = None, seconds: float = 10.0, memory_mb: int = 512) -> None:
        if seconds <= 0 or memory_mb < 64:
            raise UsageError(
                f"Sandbox(seconds={seconds}, memory_mb={memory_mb}): seconds must be above 0, memory_mb at least 64."
            )
        self.seconds = seconds
        self.memory_mb = memory_mb
        self._bwrap = bwrap or shutil.which("bwrap")

    @cached_property
    def refusal(self) -> str | None:
        """Why no program can run here, and the remedy; None if the sandbox works.

        The probe runs once, in 0.1 s.
        """
        if platform.machine() not in seccomp.ARCHITECTURES or sys.platform != "linux":
            return f"The sandbox knows Linux on {', '.join(seccomp.ARCHITECTURES)} only, and this is another machine."
        if self._bwrap is None:
            return f"There is no bwrap on PATH. {INSTALL}."
        if not os.access(self._bwrap, os.X_OK):
            return f"{self._bwrap} cannot be executed. {INSTALL}, or correct its path."
        return self._probe(self._bwrap)

    def require(self) -> None:
        """Raise TracemillError if no program can run here."""
        if self.refusal:
            raise TracemillError(f"No sandbox, so no program is run. {self.refusal}")

    def run(self, program: str, stdin: str = "", job: str | None = None, seconds: float | None = None) -> Run:
        """Run `program` as `__main__`, with `stdin`.

        With a `job` the program has two more descriptors: it reads the job from 3 and writes its report to 4.
        `seconds` can only shorten the time that the sandbox allows. Raises TracemillError if the sandbox is refused or
        fails.
        """
        self.require()
        assert self._bwrap is not None
        return self._run(self._bwrap, program, stdin, job, min(self.seconds, seconds or self.seconds))

    def _run(self, bwrap: str, program: str, stdin: str, job: str | None, seconds: float) -> Run:
        start = monotonic()
        root = _is_root()
        with ExitStack() as opened:
            status, status_writer = _pipe(opened)
            report, report_writer = _pipe(opened)
            filter_fd, program_fd, stdin_fd, job_fd = (
                _memory(opened, content) for content in (seccomp.filter_program(), program, stdin, job or "")
            )
            arguments = (
                *(program_fd, *((job_fd, report_writer.fileno()) if job is not None else (-1, -1))),
                50_000 + secrets.randbelow(10_000) if root else -1,
                *(int(seconds) + 2, self.memory_mb * MB, SCRATCH_MB * MB, MAX_OPEN_FILES, MAX_TASKS),
            )
            command = [
                bwrap,
                "--seccomp",
                str(filter_fd),
                "--json-status-fd",
                str(status_writer.fileno()),
                *_bwrap_arguments(root),
            ]
            outside_pids = processes()
            try:
                child = subprocess.Popen(
                    [*command, "--", *PYTHON, f"{inspect.getsource(_enter)}\n_enter()", *map(str, arguments)],
                    stdin=stdin_fd,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=[filter_fd, program_fd, job_fd, status_writer.fileno(), report_writer.fileno()],
                    env={},
                    start_new_session=True,
                )
            except OSError as error:
                raise TracemillError(f"bubblewrap cannot be started: {reason_of(error)}.") from error
            opened.enter_context(child)
            status_writer.close()
            report_writer.close()
            assert child.stdout is not None
            assert child.stderr is not None
            streams = tuple(stream.fileno() for stream in (status, report, child.stdout, child.stderr))
            monitor = Monitor(child, streams, self.memory_mb, outside_pids)
            try:
                killed = monitor.wait(start + seconds)
            finally:
                monitor.end()
            status_text, report_text, out, err = (monitor.output[fd].decode("utf-8", "replace") for fd in streams)
        exit_code = next(
            (json.loads(line)["exit-code"] for line in status_text.splitlines() if "exit-code" in line), None
        )
        if killed == TIMEOUT:
            killed = f"timeout after {seconds:g} s"
        elif killed is None and exit_code is None:
            raise TracemillError(f"bubblewrap failed: {err.strip()[-300:] or 'it gave no error message'}.")
        return Run(None if killed else exit_code, out, err, killed, monotonic() - start, report_text)

    def _probe(self, bwrap: str) -> str | None:
        with tempfile.NamedTemporaryFile(prefix="tracemill-probe-") as outside, socket.socket() as listener:
            os.chmod(outside.name, 0o644)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            arguments = (outside.name, listener.getsockname()[1], self.memory_mb * MB)
            program = f"{inspect.getsource(_attempts)}\n_attempts{arguments!r}"
            try:
                run = self._run(bwrap, program, "", None, PROBE_SECONDS)
                memory_run = Sandbox(bwrap, PROBE_SECONDS, PROBE_MEMORY_MB)._run(
                    bwrap, MEMORY_PROBE, "", None, PROBE_SECONDS
                )
            except TracemillError as error:
                return f"{error} {_remedy()}"
        if run.out != "it holds\n" or run.exit_code != 0:
            failure = (
                run.out.strip() or run.killed or run.err.strip().rpartition("\n")[2] or f"exit code {run.exit_code}"
            )
        elif memory_run.killed != f"memory over {PROBE_MEMORY_MB} MB":
            failure = "the memory of several processes cannot be monitored"
        else:
            return None
        return f"The sandbox was tried and does not hold on this machine: {failure}."


def _enter() -> None:
    """Drop the user and all descriptors, set the limits, run the program.

    This runs inside the sandbox.
    """
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
    """Try forbidden actions and print those that succeed.

    This is the probe; it runs inside the sandbox.
    """
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
    failures = [name for name, attempt in must_fail.items() if succeeds(attempt)]
    failures += [name for name, attempt in must_succeed.items() if not succeeds(attempt)]
    print(", ".join(failures) or "it holds")


def _bwrap_arguments(root: bool) -> list[str]:
    """Return the arguments of bubblewrap.

    Root keeps only the right to change its user; `_enter` does that at once.
    """
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
    # At its own path: the interpreter may be in a home folder, whose name and mode must not be visible.
    interpreter = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    library = Path(os.__file__).resolve().parent.parent
    inside = f"/python/{library.name}"
    folders += ["--ro-bind", str(interpreter), INTERPRETER, "--ro-bind", str(library), inside]
    for name in ("null", "zero", "full", "random", "urandom"):
        folders += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    folders += ["--symlink", "/tmp", "/dev/shm", "--remount-ro", "/", "--chdir", "/tmp"]
    # One hash seed, so that a verdict does not depend on the order of a set. At most two heaps, not one a thread.
    settings = {"HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "MALLOC_ARENA_MAX": "2"}
    settings["LD_LIBRARY_PATH"] = inside
    values = [word for name, value in settings.items() for word in ("--setenv", name, value)]
    return ["--cap-drop", "ALL", *user, *spaces, "--hostname", "sandbox", "--die-with-parent", *folders, *values]


def _is_root() -> bool:
    """Is this process root of the machine?

    For the kernel, root of a user namespace is an ordinary user, with an ordinary limit of processes.
    """
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split()[:2] == ["0", "0"]


def _remedy() -> str:
    """Return how to allow namespaces on this machine, from the kernel's settings."""
    for name, (forbidding, allowing) in FORBIDDING.items():
        path = Path("/proc/sys", name.replace(".", "/", 1))
        if path.exists() and path.read_text().strip() == forbidding:
            return f"This machine forbids namespaces to its users: sysctl {name}={allowing} allows them."
    return "In a container it needs the right to make namespaces: CAP_SYS_ADMIN, or a profile that allows unshare."


def _pipe(opened: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    read_fd, write_fd = os.pipe()
    return opened.enter_context(open(read_fd, "rb", 0)), opened.enter_context(open(write_fd, "wb", 0))


def _memory(opened: ExitStack, content: str | bytes) -> int:
    """Return a descriptor from which `content` can be read."""
    file = opened.enter_context(os.fdopen(os.memfd_create("tracemill"), "w+b", 0))
    file.write(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    file.seek(0)
    return file.fileno()
