"""What the processes that a trainer starts have in common: they end with it, and say in one line what went wrong."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable

from tracemill.errors import TracemillError
from tracemill.interpreter import protect_children
from tracemill.processes import die_with_parent
from trainer.child import SAYS


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
    """End this process when `parent` ends."""
    die_with_parent()
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)
