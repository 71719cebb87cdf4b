"""Python processes of ours, none of which has the current folder on its import path.

Python puts the current folder first on the path of a process that starts with `-m` or `-c`: a `cli.py`, a `db/` or a
`selectors.py` there would be imported instead of ours or of the standard library's.

Covered: every Python process that Tracemill starts, and those that multiprocessing, vLLM and torch start for it.
Not covered: folders in `PYTHONPATH`, which is the user's own choice; `celery -A tracemill`, because Celery itself
imports the app from the current folder first. `tracemill celery` does not.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: The variable that does for every interpreter what `-P` does for one.
SAFE_PATH = "PYTHONSAFEPATH"


def python(module: str, *words: str) -> list[str]:
    """The command line of `python -m MODULE WORDS` without the current folder on its import path."""
    return [sys.executable, "-P", "-m", module, *words]


def protect_children() -> None:
    """Keep the current folder off the import path of all children of this process, and of theirs."""
    os.environ[SAFE_PATH] = "1"


@contextmanager
def protected_children() -> Iterator[None]:
    """The same for the children that start in this block: in a process that is not ours alone."""
    before = os.environ.get(SAFE_PATH)
    protect_children()
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before
