"""The process that fits one round: `python -m trainer.fit ROUND_ID`.

It reads the round and its examples from Postgres, writes its progress back, saves the adapter and ends. Nothing else
runs in it: a 4-bit model must not be evaluated where it is trained, and its memory must go when it is done.
"""

import argparse
import ctypes
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from sqlalchemy.exc import OperationalError

from db.queries import Q
from db.session import transaction
from tracemill.errors import TracemillError, UsageError
from tracemill.models import resolve
from tracemill.prompts import Prompt
from tracemill.settings import model, settings
from trainer import objectives
from trainer.spec import parse

PR_SET_PDEATHSIG = 1  # prctl(2)
#: Seconds between two reports of progress.
REPORT_SECONDS = 2.0


def fit_round(round_id: int) -> Path:
    """Fit the round, which must be in state `fitting`; the folder of its adapter.

    Raises UsageError when there is no such round to fit, TracemillError when it cannot be done.
    """
    with transaction() as connection:
        row = connection.execute(Q["round_for_work"], {"round_id": round_id}).mappings().one_or_none()
        if row is None or row["state"] != "fitting":
            raise UsageError(f"round {round_id} is {row['state'] if row else 'unknown'}: there is nothing to fit")
        examples = connection.execute(Q["examples_of_round"], {"round_id": round_id}).all()
    spec = parse(row["spec"], f"round {round_id}")
    data_dir = settings().data_dir.resolve()
    folder = round_folder(data_dir, spec.name) / "adapter"
    unfinished = folder.with_name(f".adapter.{os.getpid()}")
    for left in folder.parent.glob(".adapter.*"):  # by fits that were killed
        shutil.rmtree(left)
    unfinished.mkdir(parents=True)
    outcome = objectives.find(spec.fit.objective)(
        objectives.Lesson(
            model=resolve(model(spec.student).model, data_dir),
            prompt=Prompt(tuple(row["messages"])),
            examples=[objectives.Example(*example) for example in examples],
            fit=spec.fit,
            folder=unfinished,
            report=_reporter(round_id),
        )
    )
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    saved = {"round_id": round_id, "adapter_path": str(folder), "metrics": json.dumps(asdict(outcome))}
    with transaction() as connection:
        connection.execute(Q["round_adapter"], saved)
    return folder


def round_folder(data_dir: Path, name: str) -> Path:
    """Where a round's adapter and its log are."""
    return data_dir.resolve() / "rounds" / name


def _reporter(round_id: int) -> Callable[[objectives.Progress], None]:
    """Writes progress to the round's metrics: the first step, then every few seconds, then the last step."""
    due = 0.0

    def report(progress: objectives.Progress) -> None:
        nonlocal due
        if time.monotonic() < due and progress.step < progress.steps:
            return
        due = time.monotonic() + REPORT_SECONDS
        try:
            with transaction() as connection:
                connection.execute(Q["round_progress"], {"round_id": round_id, "metrics": json.dumps(asdict(progress))})
        except OperationalError as error:  # a restart of Postgres must not cost the fit
            print(f"progress not stored: {error}", file=sys.stderr)

    return report


def _end_with(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` dies (Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def main() -> int:
    """Run the command line; 0, or the exit code of what went wrong with one line on stderr."""
    arguments = argparse.ArgumentParser(prog="python -m trainer.fit", description="Fit the adapter of one round.")
    arguments.add_argument("round_id", type=int)
    arguments.add_argument("--parent", type=int, help="end when the process with this id ends")
    given = arguments.parse_args()
    if given.parent is not None:
        _end_with(given.parent)
    try:
        fit_round(given.round_id)
    except TracemillError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except Exception as error:  # whatever torch and its libraries raise; the last line is what the round's row keeps
        traceback.print_exc(file=sys.stdout)
        print(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
