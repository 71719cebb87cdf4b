"""Run the installed `tracemill` command in a subprocess as a user does, in any folder and without our variables."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRACEMILL = str(Path(sys.executable).with_name("tracemill"))


@cache
def environment() -> dict[str, str]:
    """The variables of a user's shell. PYTHONPATH is set only if another checkout is installed."""
    ours = ("TRACEMILL_", "PYTHONPATH", "PYTHONSAFEPATH")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    code = "import cli, pathlib; print(pathlib.Path(cli.__file__).parents[1])"
    command = [sys.executable, "-P", "-c", code]
    installed = subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=60)
    return variables if installed.stdout.strip() == str(ROOT) else variables | {"PYTHONPATH": str(ROOT)}


def tracemill(folder: Path, *words: str, seconds: float = 60, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run `tracemill WORDS` in the folder to its end, with any exit code."""
    return subprocess.run(
        [TRACEMILL, *words],
        cwd=folder,
        env=environment() | variables,
        capture_output=True,
        encoding=variables.get("PYTHONIOENCODING", "utf-8"),
        timeout=seconds,
        check=False,
    )


def succeed(folder: Path, *words: str, seconds: float = 60) -> str:
    """Run `tracemill WORDS` and return its output. Fails with the whole output if the exit code is not 0."""
    ended = tracemill(folder, *words, seconds=seconds)
    assert ended.returncode == 0, f"tracemill {' '.join(words)}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout
