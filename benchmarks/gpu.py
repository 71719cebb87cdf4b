"""The whole factory on a card within minutes: `python -m benchmarks.gpu [--teacher HUB_OR_FOLDER] [--minutes 10]`.

Each step is a process of its own, so that a step that dies or hangs does not end the others and leaves the card free.
The table is printed and written to `gpu-check.json`. A step without enough time left is "not tried". On a machine
without a card the same steps run on the CPU with the embedded model.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.common import about, environment
from benchmarks.gpu_steps import STEPS
from tracemill.cards import cards
from tracemill.interpreter import python
from tracemill.model_settings import EMBEDDED_MODEL
from tracemill.weights import resolve
from trainer.child_process import VARIABLES

RESULT = Path("gpu-check.json")
#: Characters of an error that the table shows.
MAX_REASON = 200


@dataclass(frozen=True)
class Row:
    """The result of one step."""

    step: str
    #: `passed`, `failed` or `not tried`.
    state: str
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    reason: str = ""


def main() -> int:
    """Run the steps and print their table. Exit code 1 if a step failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument(
        "--teacher", default=EMBEDDED_MODEL, help="a folder or a hub name (default: the embedded model)"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="the time for all steps")
    parser.add_argument("--steps", default=",".join(STEPS), help="the steps to run, separated by commas")
    options = parser.parse_args()
    names = options.steps.split(",")
    if unknown := [name for name in names if name not in STEPS]:
        parser.error(f"no step {unknown[0]}. The steps: {', '.join(STEPS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the running step ends too
    run = about("gpu") | {"cards": [asdict(card) for card in cards()], "teacher": options.teacher}
    deadline = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory(prefix="tracemill-gpu-") as folder:
        model = resolve(options.teacher, Path(folder))
        rows: list[Row] = []
        for name in STEPS:
            rows.append(_step(name, model, Path(folder), deadline) if name in names else Row(name, "not tried"))
            print(_line(rows[-1]), flush=True)
    print("\n" + table(rows))
    RESULT.write_text(json.dumps(run | {"steps": [asdict(row) for row in rows]}, indent=2) + "\n")
    print(f"\nwritten: {RESULT.absolute()}")
    return int(any(row.state == "failed" for row in rows))


def _step(name: str, model: str, folder: Path, deadline: float) -> Row:
    """Run one step in a process group of its own, until the deadline."""
    left = deadline - time.monotonic()
    if left < STEPS[name].min_seconds:
        return Row(name, "not tried", reason=f"{max(0.0, left):.0f} s left, it needs {STEPS[name].min_seconds}")
    started, log = time.monotonic(), folder / f"{name}.log"
    command = python("benchmarks.gpu_steps", name, model, str(folder))
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            env=VARIABLES | os.environ | environment(),
        )
        try:
            output, _ = process.communicate(timeout=left)
        except subprocess.TimeoutExpired:
            return Row(name, "failed", time.monotonic() - started, reason=f"not finished within {left:.0f} s")
        finally:
            _end(process)
    seconds = time.monotonic() - started
    lines = output.strip().splitlines()
    if process.returncode == 0:
        return Row(name, "passed", seconds, json.loads(lines[-1]))
    reason = next(reversed(log.read_text(errors="replace").strip().splitlines()), f"exit code {process.returncode}")
    return Row(name, "failed", seconds, reason=reason[:MAX_REASON])


def _end(process: "subprocess.Popen[str]") -> None:
    """End the group of a step. Its stack, if it has one, ends at SIGTERM."""
    for number, seconds in ((signal.SIGTERM, 30), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def table(rows: Sequence[Row]) -> str:
    """One line a step: name, state, seconds, figures or the reason."""
    return "\n".join(map(_line, rows))


def _line(row: Row) -> str:
    seconds = f"{row.seconds:.0f} s" if row.seconds else ""
    return f"{row.step:12} {row.state:9} {seconds:>6}  {row.reason or _figures(row.figures.items())}"


def _figures(items: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in items)


if __name__ == "__main__":
    sys.exit(main())
