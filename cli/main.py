"""`tracemill`: its commands. The only module that turns an error into a message and an exit code."""

import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_group

from tracemill import __version__
from tracemill.errors import TracemillError, reason_of, unreachable, without_error_numbers
from tracemill.interpreter import protect_children
from tracemill.text import PrintableRecord, printable

#: The modules of this package with their commands, in the order of `tracemill --help`.
MODULES = {
    "stack": ("up", "restart", "down", "status", "flower"),
    "doctor": ("doctor",),
    "models": ("models",),
    "pilot": ("pilot",),
    "enqueue": ("enqueue",),
    "methods": ("methods",),
    "jobs": ("jobs",),
    "verify": ("verify",),
    "import_traces": ("import",),
    "view": ("view",),
    "calibrate": ("calibrate",),
    "workers": ("producer", "worker", "celery"),
    "health": ("health",),
    "sql": ("sql",),
    "export": ("export",),
    "archive": ("archive",),
    "train": ("train",),
    "loop": ("loop",),
    "loops": ("loops",),
    "rounds": ("rounds",),
    "report": ("report",),
    "settings": ("config",),
    "database": ("db",),
    "demo": ("demo",),
}
MODULE_OF = {command: module for module, commands in MODULES.items() for command in commands}


class Commands(Mapping[str, Any]):
    """All commands. Only the module of a command that is used is imported, because imports take most of a second."""

    def __getitem__(self, name: str) -> Any:
        return _commands_in(MODULE_OF[name])[name]

    def __iter__(self) -> Iterator[str]:
        return iter(MODULE_OF)

    def __len__(self) -> int:
        return len(MODULE_OF)


@cache
def _commands_in(module: str) -> Mapping[str, Any]:
    group = typer.Typer(rich_markup_mode="rich", callback=lambda: None)
    import_module(f"cli.{module}").register(group)
    commands = get_group(group).commands
    for command in commands.values():
        _tidy_help(command)
    return commands


def _tidy_help(command: Any) -> None:
    """Join the lines of each paragraph, because the terminal wraps them, and show no value after a flag.

    A paragraph after \\b keeps its lines.
    """
    for option in command.params:
        if getattr(option, "is_flag", False):
            option.metavar = ""  # otherwise <bool>
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(text if text.startswith("\b") else text.replace("\n", " ") for text in paragraphs)
    for subcommand in getattr(command, "commands", {}).values():
        _tidy_help(subcommand)


class Tracemill(TyperGroup):
    """The command `tracemill` with its commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = cast(Any, Commands())


HELP = """Tracemill: a distributed factory for reasoning traces.

Start with [b]tracemill demo[/b], or with your own questions:

    tracemill up
    tracemill enqueue questions.jsonl --model teacher --samples 4
    tracemill jobs watch
    tracemill sql "select * from job_progress"
"""

app = typer.Typer(
    cls=Tracemill,
    help=HELP,
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(is_requested: bool) -> None:
    if is_requested:
        typer.echo(f"tracemill {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    config: Annotated[Path | None, typer.Option(help="Settings file (default: tracemill.toml here).")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="The local stack's folder (default: .tracemill here).")] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    # Flags become environment variables: each process that is started from here gets the same settings.
    if config is not None:
        os.environ["TRACEMILL_CONFIG"] = str(config.absolute())
    if data_dir is not None:
        os.environ["TRACEMILL_DATA_DIR"] = str(data_dir.absolute())
    from cli.first_use import announce  # imports the settings

    announce()


def main() -> None:
    """Run a command and exit: 0 success, 1 failure, 2 wrong use, 130 interrupted."""
    protect_children()
    logging.setLogRecordFactory(PrintableRecord)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has fewer characters than a trace
    try:
        result: Any = app(standalone_mode=False)
    except TracemillError as error:
        sys.exit(_failed(str(error), error.exit_code))
    except typer.Abort:
        sys.exit(_failed("not confirmed, so nothing is changed. --yes confirms it", 130))
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as ended:
        is_closed_pipe = isinstance(ended.__context__, BrokenPipeError)  # `tracemill sql … | head`
        sys.exit(0 if is_closed_pipe else ended.code)
    except Exception as error:
        sys.exit(_known(error))
    sys.exit(result if isinstance(result, int) else 0)


def _known(error: Exception) -> int:
    """Print the error of a library in a sentence and return its exit code. Raises it again if it is a bug."""
    from typer._click.exceptions import ClickException as UsageException

    if isinstance(error, UsageException):
        error.show()
        return error.exit_code

    from kombu.exceptions import OperationalError as BrokerGone
    from redis.exceptions import RedisError
    from sqlalchemy.exc import ProgrammingError

    from db.retry import is_away, reason, sqlstate

    if is_away(error):
        return _failed(str(unreachable("Postgres", reason(error))), 1)
    if isinstance(error, ProgrammingError) and sqlstate(error) == "42P01":
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
    print(f"error: {printable(without_error_numbers(message))}", file=sys.stderr)
    return code
