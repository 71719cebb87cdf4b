# ruff: noqa: E501 (programs read best one to a line)
"""Hostile programs in the real sandbox: none escapes, no process remains.

Without a sandbox, code is refused, and this file warns that it tested nothing.
"""

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import ROOT
from tests.sandboxed_programs import (
    ATTEMPT,
    DAEMON,
    HUNGRY,
    ORDINARY,
    OUTSIDE,
    READ,
    RIGHTS,
    SLEEP,
    SOCKETS,
    WRITES,
    other_calls,
)
from tracemill.verification.code import seccomp
from tracemill.verification.code.check import check_code
from tracemill.verification.code.monitor import MAX_OUTPUT_MB
from tracemill.verification.code.sandbox import INTERPRETER, Sandbox

REFUSAL = Sandbox().refusal


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    if REFUSAL:
        pytest.skip(f"not tried, because there is no sandbox here: {REFUSAL}")
    box = Sandbox(memory_mb=256)
    box.require()
    return box


@pytest.fixture(autouse=True)
def _no_process_remains() -> Iterator[None]:
    """After each program, no process of it remains, and our memory is the same."""
    start, max_rss = time.time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    descriptors = len(os.listdir("/proc/self/fd"))
    yield
    sandboxed = [
        process
        for process in psutil.process_iter(["cmdline", "create_time"])
        if INTERPRETER in (process.info["cmdline"] or [])
    ]
    # Programs of another test run end within their time limit. A process that remains never ends.
    _, remaining = psutil.wait_procs(
        [process for process in sandboxed if process.info["create_time"] >= start - 1], timeout=15
    )
    assert remaining == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - max_rss < 64 * 1024
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def _assert_runs(sandbox: Sandbox) -> None:
    run = sandbox.run("print(6 * int(input()))", "7\n")
    assert (run.exit_code, run.out, run.err, run.killed) == (0, "42\n", "", None)


def _assert_held(sandbox: Sandbox, action: str) -> None:
    run = sandbox.run(f"{ATTEMPT}\n{action}")
    assert (run.exit_code, run.err) == (0, "")
    assert re.fullmatch(r"(held: \w+\n)+", run.out), run.out


def test_without_a_sandbox_code_is_refused_with_the_reason() -> None:
    """Without bubblewrap, this is the only test of this file that can run."""
    if REFUSAL:
        warnings.warn(f"THE SANDBOX WAS NOT TESTED, and code is refused: {REFUSAL}", stacklevel=1)
    refused = Sandbox(bwrap="/nowhere/bwrap") if REFUSAL is None else Sandbox()
    assert refused.refusal
    correct, proof = check_code(refused, "```python\nprint(1)\n```", '[{"input": "", "output": "1"}]')
    assert correct is None
    assert proof.startswith("no sandbox: ")


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_outside_can_be_read(sandbox: Sandbox, path: str) -> None:
    _assert_held(sandbox, READ.format(path))


def test_a_world_readable_file_cannot_be_read(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    _assert_held(sandbox, f"{READ.format(str(tmp_path / 'secret'))}\n{READ.format(str(tmp_path))}")


@pytest.mark.parametrize("name", WRITES)
def test_nothing_outside_can_be_written(sandbox: Sandbox, name: str) -> None:
    _assert_held(sandbox, f"attempt(lambda: {WRITES[name]})")


@pytest.mark.parametrize("name", RIGHTS)
def test_a_program_has_no_rights_and_gets_none(sandbox: Sandbox, name: str) -> None:
    _assert_held(sandbox, f"attempt(lambda: {RIGHTS[name]})")


def test_a_program_has_its_own_user_and_no_environment_of_ours(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "hunter2")
    run = sandbox.run(
        "import os, sys\nprint(os.getuid(), os.geteuid(), os.getgroups())\nprint(dict(os.environ), sys.argv, os.getcwd())"
    )
    user = int(run.out.split()[0])
    assert user not in (0, os.getuid())
    for word in ("hunter2", "SECRET", str(Path.home()), str(ROOT)):
        assert word not in run.out
    ids = sandbox.run("import os; print(os.getpid() < 10, max(os.listdir('/')), os.uname().nodename)").out
    assert ids == "True usr sandbox\n"


def test_a_program_and_its_children_have_no_capability(sandbox: Sandbox) -> None:
    program = (
        "import ctypes\nlibc = ctypes.CDLL(None)\nasked, found = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()\n"
        "libc.capget(asked, found)\n"  # effective, permitted, inheritable, and the same for the higher ones
        "print(found[0], found[1], found[3], found[4], libc.prctl(39, 0, 0, 0, 0))"  # 39: PR_GET_NO_NEW_PRIVS
    )
    run = sandbox.run(
        f"{program}\nimport subprocess, sys\nsys.stdout.flush()\nsubprocess.run([{INTERPRETER!r}, '-S', '-c', {program!r}])"
    )
    assert (run.out, run.err) == ("0 0 0 0 1\n" * 2, "")


def test_every_other_system_call_is_refused(sandbox: Sandbox) -> None:
    run = sandbox.run(other_calls())
    assert (run.out, run.err) == ("end\n", "")


HEADERS = ("x86_64-linux-gnu/asm/unistd_64.h", "asm-generic/unistd.h")


@pytest.mark.parametrize(("column", "header"), [*enumerate(HEADERS)])
def test_the_numbers_of_the_allowed_calls_are_the_kernels(column: int, header: str) -> None:
    file = Path("/usr/include", header)
    if not file.is_file():
        pytest.skip(f"not compared with the kernel's headers: there is no {file}")
    lines = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", file.read_text())
    numbers = {("newfstatat" if name == "fstatat" else name): int(number) for name, number in lines}
    for name, number in seccomp.named(column):
        assert numbers.get(name) == number, name


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_program_runs(sandbox: Sandbox, name: str) -> None:
    run = sandbox.run(ORDINARY[name])
    assert (run.exit_code, run.err, run.killed) == (0, "", None)


@pytest.mark.parametrize("name", SOCKETS)
def test_the_network_cannot_be_reached(sandbox: Sandbox, name: str) -> None:
    _assert_held(sandbox, f"attempt(lambda: {SOCKETS[name]})")


def test_a_server_on_this_machine_cannot_be_reached(sandbox: Sandbox, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as path,
        socket.socket(socket.AF_UNIX) as name,
    ):
        abstract = f"\0tracemill-test-{os.getpid()}"
        for server, address in ((path, str(tmp_path / "s")), (name, abstract)):
            server.bind(address)
            server.listen()
        for server in (tcp, path, name):  # the servers do listen
            with socket.socket(server.family) as client:
                client.connect(server.getsockname())
                server.accept()[0].close()
        _assert_held(
            sandbox,
            f"attempt(lambda: socket.create_connection(('127.0.0.1', {tcp.getsockname()[1]}), 2))\n"
            f"for address in ({str(tmp_path / 's')!r}, {abstract!r}):\n"
            "    attempt(lambda: socket.socket(socket.AF_UNIX).connect(address))",
        )


@pytest.mark.parametrize("name", HUNGRY)
def test_a_program_is_held_to_its_limits_and_the_next_one_runs(sandbox: Sandbox, name: str) -> None:
    program, killed = HUNGRY[name]
    box = Sandbox(seconds=2.0, memory_mb=256) if killed.startswith("timeout") else sandbox
    start = time.monotonic()
    run = box.run(program)
    assert time.monotonic() - start < 5
    assert (run.killed or "").startswith(killed)
    assert bool(run.killed) == bool(killed)
    assert len(run.out) + len(run.err) < 2 * (MAX_OUTPUT_MB + 1) * 2**20
    if not killed and not name.startswith(("daemon", "signals")):
        assert run.exit_code != 0
    _assert_runs(sandbox)


def test_programs_that_run_at_once_do_not_disturb_each_other(sandbox: Sandbox) -> None:
    answers: list[str] = []
    bombs = [threading.Thread(target=sandbox.run, args=(HUNGRY[name][0],)) for name in ("fork bomb", "memory of many")]
    honest = [
        threading.Thread(
            target=lambda n=n: answers.append(
                sandbox.run(f"import os\nif os.fork() == 0: os._exit(0)\nos.wait(); print({n})").out
            )
        )
        for n in range(6)
    ]
    for thread in bombs + honest:
        thread.start()
    for thread in bombs + honest:
        thread.join()
    assert sorted(answers) == [f"{n}\n" for n in range(6)]


def test_a_program_ends_when_its_parent_is_killed(sandbox: Sandbox) -> None:
    code = f"from tracemill.verification.code.sandbox import Sandbox\nbox = Sandbox(seconds=600)\nbox.require()\nprint(1, flush=True)\nbox.run({DAEMON + SLEEP!r})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        time.sleep(1)
        assert len(psutil.Process(parent.pid).children(recursive=True)) >= 3
        parent.send_signal(signal.SIGKILL)


#: Runs the programs of its standard input, in the sandbox of its own user.
RUN_EACH = """
import json, sys
from tracemill.verification.code.sandbox import Sandbox
box = Sandbox(memory_mb=256)
box.require()
for program in json.load(sys.stdin):
    run = box.run(program)
    print(json.dumps([run.exit_code, run.out, run.err, run.killed]), flush=True)
"""


def test_the_sandbox_of_an_ordinary_user_holds_as_well(sandbox: Sandbox) -> None:
    """As root, the other tests try only the sandbox of root."""
    if os.geteuid() != 0:
        pytest.skip("the other tests have run as an ordinary user")
    candidates = [sys.executable, *filter(None, [shutil.which("python3", path="/usr/local/bin:/usr/bin")])]
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # the folders of this project may be root's alone
        shutil.copytree(ROOT / "tracemill", Path(folder, "tracemill"), ignore=shutil.ignore_patterns("__pycache__"))

        def as_nobody(*words: str, text: str = "") -> "subprocess.CompletedProcess[str]":
            variables = {"PATH": os.environ["PATH"], "PYTHONPATH": folder}
            return subprocess.run(
                words, input=text, capture_output=True, text=True, cwd="/", env=variables,
                user=65534, group=65534, extra_groups=[], timeout=120, check=False,
            )  # fmt: skip

        def runs(python: str) -> bool:
            try:
                return as_nobody(python, "-c", "").returncode == 0
            except PermissionError:
                return False

        python = next(filter(runs, candidates), None)
        if python is None:
            pytest.skip("THE SANDBOX OF AN ORDINARY USER WAS NOT TESTED: it can run no Python of this machine")
        attempts = [f"attempt(lambda: {action})" for action in (*WRITES.values(), *RIGHTS.values(), *SOCKETS.values())]
        held = "\n".join([ATTEMPT, *map(READ.format, OUTSIDE), *attempts])
        programs = [held, other_calls(), HUNGRY["memory in sockets"][0], *ORDINARY.values()]
        ended = as_nobody(python, "-c", RUN_EACH, text=json.dumps(programs))
    assert (ended.returncode, ended.stderr) == (0, "")
    (code, out, err, _), calls, memory, *ordinary = map(json.loads, ended.stdout.splitlines())
    assert (code, err) == (0, "")
    assert re.fullmatch(r"(held: \w+\n)+", out), out
    assert calls == [0, "end\n", "", None]
    assert memory[3] == "memory over 256 MB"
    assert dict(zip(ORDINARY, ordinary, strict=True)) == {name: [0, "", "", None] for name in ORDINARY}
