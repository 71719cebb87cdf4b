"""The command line of every benchmark, and its last line of output."""

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path

from tracemill.interpreter import SAFE_PATH

#: The checkout. `benchmarks` runs from it and is not installed.
ROOT = Path(__file__).parents[1]


def main(name: str, measure: Callable[[bool], dict[str, float]]) -> None:
    """Run `measure(quick)` and print its figures; with --json the last line is one object for machines."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--quick", action="store_true", help="smaller, in seconds; noisier")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    run = about(name)
    figures = {key: round(value, 4) for key, value in measure(options.quick).items()}
    for key, value in figures.items():
        print(f"{key:40} {value:>14,.4g}")
    if options.json:
        print(json.dumps(run | {"figures": figures}))


def about(name: str) -> dict[str, object]:
    """The facts about a run. Call it at the start: a run can take hours, and it writes files that git tracks."""
    return {"name": name, "machine": machine(), "commit": commit()}


def environment() -> dict[str, str]:
    """The variables that a child needs to import `benchmarks`: the current folder is not on its import path."""
    folders = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(folders), SAFE_PATH: "1"}


def peak_rss_mb(pid: int) -> float:
    """Peak memory of a process. `getrusage` would include the process that started it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def machine() -> str:
    """Cores, processor and Python, in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
    return f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}"


def commit() -> str:
    """The commit that is checked out, with + when files differ from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"
