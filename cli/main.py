"""`tracemill`: its commands. The only module that turns an error into a message and an exit code."""

import io
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import (
    calibrate,
    database,
    deletion,
    demo,
    doctor,
    enqueue,
    export,
    health,
    jobs,
    loop,
    loops,
    methods,
    report,
    rounds,
    settings,
    sql,
    stack,
    train,
    verify,
    workers,
)
from tracemill import __version__
from tracemill.errors import TracemillError, reason_of, unreachable, without_error_numbers
from tracemill.interpreter import protect_children

HELP = """Tracemill: a distributed factory for reasoning traces.

Start with [b]tracemill demo[/b], or with your own questions:

    tracemill up
    tracemill enqueue questions.jsonl --model teacher --samples 4
    tracemill jobs watch
    tracemill sql "select * from job_progress"
"""

app = typer.Typer(
    help=HELP, rich_markup_mode="rich", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
#: In the order of `tracemill --help`.
GROUPS = (
    stack,
    doctor,
    enqueue,
    methods,
    jobs,
    deletion,
    verify,
    calibrate,
    workers,
    health,
    sql,
    export,
    train,
    loop,
    loops,
    rounds,
    report,
    settings,
    database,
    demo,
)
for group in GROUPS:
    group.register(app)


def _version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(f"tracemill {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    config: Annotated[Path | None, typer.Option(help="Settings file (default: tracemill.toml here).")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="The local stack's folder (default: .tracemill here).")] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    # Flags become environment variables: each process that is started from here gets the same settings.
    if config is not None:
        os.environ["TRACEMILL_CONFIG"] = str(config.absolute())
    if data_dir is not None:
        os.environ["TRACEMILL_DATA_DIR"] = str(data_dir.absolute())


def main() -> None:
    """Run a command and exit: 0 success, 1 failure, 2 wrong use, 130 interrupted."""
    protect_children()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has fewer characters than a trace
    try:
        result: Any = app(standalone_mode=False)
    except TracemillError as error:
        sys.exit(_failed(str(error), error.exit_code))
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        sys.exit(_known(error))
    sys.exit(result if isinstance(result, int) else 0)


def _known(error: Exception) -> int:
    """Print the error of a library in a sentence and return its exit code. Raises it again if it is a bug."""
    from kombu.exceptions import OperationalError as BrokerGone
    from redis.exceptions import RedisError
    from sqlalchemy.exc import OperationalError as DatabaseGone
    from sqlalchemy.exc import ProgrammingError
    from typer._click.exceptions import ClickException as UsageException

    if isinstance(error, UsageException):
        error.show()
        return error.exit_code
    if isinstance(error, BrokenPipeError):  # `tracemill sql … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, DatabaseGone):
        return _failed(str(unreachable("Postgres", error.orig)), 1)
    if isinstance(error, ProgrammingError) and getattr(error.orig, "sqlstate", None) == "42P01":
        return _failed(f"the database has no tables yet ({_line(error.orig)}): run `tracemill db upgrade`", 1)
    if isinstance(error, BrokerGone | RedisError):
        return _failed(str(unreachable("Redis", error)), 1)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return _failed(where + reason_of(error), 1)
    raise error


def _line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _failed(message: str, code: int) -> int:
    print(f"error: {without_error_numbers(message)}", file=sys.stderr)
    return code
