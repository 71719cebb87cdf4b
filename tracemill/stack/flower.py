"""The start of Flower, Celery's monitor, with safe defaults.

Flower can shut down workers, change their pools and send, abort and revoke tasks. It shows `/metrics` to everybody, and
runs a `flowerconfig.py` of the current folder. Covered: each Flower that `tracemill up` or `tracemill celery flower`
starts. Not covered: `celery -A tracemill flower`. Options of the command line and variables (`--read-only`, `--conf`)
still override these defaults.
"""

import os
from importlib.util import find_spec

from tracemill.interpreter import python
from tracemill.settings import settings
from tracemill.stack.state import Stack


def flower_command(port: int) -> list[str]:
    """The command of Flower on loopback."""
    options = ("--address=127.0.0.1", f"--port={port}", "--inspect-timeout=3000")
    return python("cli", "celery", "flower", *options)


def flower_login(stack: Stack) -> dict[str, str]:
    """Flower's credentials as environment variables, because every user can read a command line."""
    return {"FLOWER_BASIC_AUTH": f"{stack.flower_user}:{stack.flower_password}", "PATH": os.environ.get("PATH", "")}


def restrict() -> None:
    """Make Flower of this process read-only unless `local.flower_writable` is set, and ask for a login at `/metrics`.

    Without a login, `/metrics` is closed like Flower's API. Does nothing where Flower is not installed.
    """
    if find_spec("flower") is None:
        return
    from flower.api import BaseApiHandler
    from flower.options import options
    from flower.views.monitor import Metrics
    from tornado.web import authenticated

    options.read_only = not settings().local.flower_writable
    options.conf = os.devnull
    Metrics.prepare = BaseApiHandler.prepare
    Metrics.get = authenticated(Metrics.get)
