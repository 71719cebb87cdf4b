"""Start Python processes without the current folder on their import path.

Python puts the current folder first on the path of a process that starts with `-m` or `-c`. So a `cli.py`, a `db/` or a
`selectors.py` there would be imported instead of our module or the standard library's.

Covered: every Python process that Tracemill starts, and those that multiprocessing, vLLM and torch start for it. Not
covered: folders in `PYTHONPATH`, which the user chooses; `celery -A tracemill`, because Celery imports the app from the
current folder first. `tracemill celery` does not.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Environment variable with the effect of `-P` for every interpreter.
SAFE_PATH = "PYTHONSAFEPATH"


def python(module: str, *words: str) -> list[str]:
    """The command line of `python -m MODULE WORDS` without the current folder on its import path."""
    return [sys.executable, "-P", "-m", module, *words]


def protect_children() -> None:
    """Keep the current folder off the import path of all descendants of this process."""
    os.environ[SAFE_PATH] = "1"


@contextmanager
def protected_children() -> Iterator[None]:
    """Protect only the children that start in this block, for processes that users' code shares."""
    before = os.environ.get(SAFE_PATH)
    protect_children()
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before
