"""Child processes of a trainer, which fit and merge: how the trainer runs them, and their common main function.

Each has its own process group, ends with its trainer, and names the cause of a failure in one line.
"""

import argparse
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from tracemill.cards import cards
from tracemill.errors import TracemillError, without_error_numbers
from tracemill.interpreter import protect_children, python
from tracemill.processes import die_with_parent

#: Variables of every process that fits, unless they are set. Threads that always spin while they wait slow a fit down
#: several times if other processes use the same cores; threads that sleep at once slow it down by a quarter if none do.
#: trl would report each fit.
VARIABLES = {"GOMP_SPINCOUNT": "10000", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
#: Seconds between two looks at the process.
LOOK_SECONDS = 0.5
#: Prefix of the line with the cause of a failure; libraries may write more after it.
ERROR_PREFIX = "tracemill: "
#: The longest error that a round keeps, in characters.
MAX_ERROR = 1000


def run_in_child(module: str, round_id: int, log: Path, may_run: Callable[[], bool], gpus: int = 1) -> bool:
    """Run `python -m MODULE ROUND_ID` to its end; returns False when it was killed because `may_run` turned False.

    The process writes to `log` and sees at most `gpus` GPUs. Raises TracemillError with its error when it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = python(module, str(round_id), "--parent", str(os.getpid()))
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, env=_environment(gpus)
        )
    try:
        while process.poll() is None:
            if not may_run():
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


def fit_cards(gpus: int) -> list[str]:
    """The GPUs that a child process with at most `gpus` of them sees, by id."""
    return [card.id for card in cards()[:gpus]]


def _environment(gpus: int) -> dict[str, str]:
    # If it saw more GPUs than it has processes, the Transformers trainer would wrap the model for all of them.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus)))).split(",")[:gpus]
    return VARIABLES | os.environ | {"CUDA_VISIBLE_DEVICES": ",".join(visible)}


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # the whole group has ended already
    finally:
        process.wait()


def _reason(code: int, log: Path) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"the process was ended by {name} (SIGKILL: most often out of memory). Its log: {log}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix(ERROR_PREFIX) for line in lines if line.startswith(ERROR_PREFIX)]
    reason = (errors or lines or [f"the process ended with exit code {code}"])[-1]
    return f"{reason[:MAX_ERROR]} (log: {log})"


def main(module: str, description: str, work: Callable[[int], object]) -> int:
    """Run the command line `python -m MODULE ROUND_ID [--parent PID]`; returns the exit code."""
    protect_children()
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("round_id", type=int)
    parser.add_argument("--parent", type=int, help="end when the process with this id ends")
    arguments = parser.parse_args()
    if arguments.parent is not None:
        _end_with(arguments.parent)
    try:
        work(arguments.round_id)
    except TracemillError as error:
        print(f"{ERROR_PREFIX}{error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:  # torch and its libraries raise anything; the round keeps this line
        traceback.print_exc(file=sys.stdout)
        first = without_error_numbers(str(error)).strip().partition(chr(10))[0]
        print(f"{ERROR_PREFIX}{type(error).__name__}: {first}", file=sys.stderr)
        return 1
    return 0


def _end_with(parent: int) -> None:
    """End this process when `parent` ends."""
    die_with_parent()
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)
