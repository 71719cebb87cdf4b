"""The processes that fit and merge: how a trainer runs them, and what they have in common.

Each runs in a process group of its own, ends with its trainer, and names the cause of its failure in one line.
"""

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from tracemill.errors import TracemillError
from tracemill.interpreter import protect_children, python

#: Seconds between two looks at the process.
LOOK_SECONDS = 0.5
#: How the line begins that says why the process failed: libraries may write more after it.
SAYS = "tracemill: "
#: Characters of the log's last line that a round keeps as its error.
ERROR_LENGTH = 1000
PR_SET_PDEATHSIG = 1  # prctl(2)


def run_in_child(module: str, round_id: int, log: Path, wanted: Callable[[], bool], gpus: int = 1) -> bool:
    """Run `python -m MODULE ROUND_ID` until it ends; False when it was killed, because it was no longer `wanted`.

    The process writes to `log` and sees at most so many GPUs. Raises TracemillError with what it said when it failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = python(module, str(round_id), "--parent", str(os.getpid()))
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, env=_environment(gpus)
        )
    try:
        while process.poll() is None:
            if not wanted():
                return False
            try:
                process.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    finally:
        _kill(process)
    if process.returncode != 0:
        raise TracemillError(_reason(process.returncode, log))
    return True


def _environment(gpus: int) -> dict[str, str]:
    # With more in sight than it has processes the Transformers trainer would wrap the model for all of them.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")[:gpus]
    # Threads that spin without end while they wait slow a fit down manyfold when other processes want the same cores;
    # threads that sleep at once slow it down by a quarter when nobody does.
    quiet = {"GOMP_SPINCOUNT": "10000", "TOKENIZERS_PARALLELISM": "false"}
    return quiet | os.environ | {"CUDA_VISIBLE_DEVICES": ",".join(visible)}


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # the whole group has ended
    finally:
        process.wait()


def _reason(code: int, log: Path) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"the process was ended by {name} (SIGKILL: most often out of memory). Its log: {log}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = [line.removeprefix(SAYS) for line in lines if line.startswith(SAYS)]
    reason = said[-1] if said else lines[-1] if lines else f"the process ended with exit code {code}"
    return f"{reason[:ERROR_LENGTH]} (log: {log})"


def main(module: str, what: str, do: Callable[[int], object]) -> int:
    """Run the command line `python -m MODULE ROUND_ID [--parent PID]`; the exit code."""
    protect_children()
    arguments = argparse.ArgumentParser(prog=f"python -m {module}", description=what)
    arguments.add_argument("round_id", type=int)
    arguments.add_argument("--parent", type=int, help="end when the process with this id ends")
    given = arguments.parse_args()
    if given.parent is not None:
        _end_with(given.parent)
    try:
        do(given.round_id)
    except TracemillError as error:
        print(f"{SAYS}{error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:  # whatever torch and its libraries raise; the line is what the round's row keeps
        traceback.print_exc(file=sys.stdout)
        print(f"{SAYS}{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}", file=sys.stderr)
        return 1
    return 0


def _end_with(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` dies (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
