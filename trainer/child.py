"""The fitting process seen from the trainer: started in a group of its own, watched, and never left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tracemill.errors import TracemillError

#: Seconds between two looks at the process.
LOOK_SECONDS = 0.5
#: Characters of the log's last line that a round keeps as its error.
ERROR_LENGTH = 1000


def fit_in_child(round_id: int, log: Path, wanted: Callable[[], bool]) -> bool:
    """Run `python -m trainer.fit` until it ends; False when it was killed, because it was no longer `wanted`.

    The process writes to `log`. Raises TracemillError with the last line it wrote when it failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "trainer.fit", str(round_id), "--parent", str(os.getpid())]
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, env=_environment()
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


def _environment() -> dict[str, str]:
    # One fit is one process on one GPU; with more in sight the Transformers trainer would wrap the model for all.
    first_gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    # Threads that spin without end while they wait slow a fit down manyfold when other processes want the same cores;
    # threads that sleep at once slow it down by a quarter when nobody does.
    quiet = {"GOMP_SPINCOUNT": "10000", "TOKENIZERS_PARALLELISM": "false"}
    return quiet | os.environ | {"CUDA_VISIBLE_DEVICES": first_gpu}


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
        return f"the fitting process was ended by {name} (SIGKILL: most often out of memory). Its log: {log}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return (
        lines[-1][:ERROR_LENGTH] if lines else f"the fitting process ended with exit code {code}"
    ) + f" (log: {log})"
