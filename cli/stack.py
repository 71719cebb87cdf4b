"""`tracemill up | restart | down | status | flower`: the local stack."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from operator import or_
from typing import Annotated

import typer

from cli.figures import duration
from cli.output import Json, print_json, print_line, print_rows, progress_console
from cli.preflight import require_programs
from tracemill import stack as local
from tracemill.errors import StackError, TracemillError
from tracemill.settings import settings
from tracemill.stack import ProcessStatus
from tracemill.stack.programs import programs, start

#: Longest wait of `up` for the first heartbeats. A program that fails at once has failed by then.
HEARTBEAT_SECONDS = 30.0
#: Time that new processes must all work. A worker that fails at its first request ends within it.
STEADY_SECONDS = 3.0
#: States of a program that does not work.
FAILED = ("CRASHING", "FATAL", "BACKOFF", "ORPHAN")
#: The columns that a narrow terminal does not show.
OPTIONAL = ("engine", "restarts")


def register(app: typer.Typer) -> None:
    app.command(help=UP, rich_help_panel="Local stack")(up)
    app.command(help=RESTART, rich_help_panel="Local stack")(restart)
    app.command(help=DOWN, rich_help_panel="Local stack")(down)
    app.command(help=STATUS, rich_help_panel="Local stack")(status)
    app.command(help=FLOWER, rich_help_panel="Local stack")(flower)


UP = """Start the local stack: Postgres, Redis, the feeder, one worker of each kind and Flower.

Each GPU gets a generate worker of its own (`gpus` under [local]).

A second run starts the processes that are missing, and restarts those whose settings have changed.

Example: tracemill up"""


def up(
    services_only: Annotated[bool, typer.Option(help="Start only Postgres and Redis.")] = False,
    postgres_port: Annotated[int | None, typer.Option(help="Fixed port (default: a free one, kept).")] = None,
    redis_port: Annotated[int | None, typer.Option(help="Fixed port (default: a free one, kept).")] = None,
    json: Json = False,
) -> None:
    from db.migrate import prepare  # imports Alembic, which no other command needs

    if not services_only:
        require_programs()
    with progress_console.status("starting Postgres, Redis and the workers"):
        start(
            prepare,
            services_only=services_only,
            postgres_port=postgres_port,
            redis_port=redis_port,
            on_restart=_print_restarted,
        )
        reports = settled()
    _print_status(reports, json)


def _print_restarted(names: list[str]) -> None:
    if names:
        print_line(f"restarted, because the settings have changed: {', '.join(names)}", progress_console)


def settled() -> list[ProcessStatus]:
    """The programs of the stack after all have worked for some seconds, or one has failed."""
    from db.diagnosis import programs as reports
    from db.diagnosis import youngest_seconds

    deadline = time.monotonic() + HEARTBEAT_SECONDS
    while True:
        current = reports()
        has_failed = any(report.state in FAILED for report in current)
        age = youngest_seconds(current)
        if has_failed or (age is not None and age >= STEADY_SECONDS) or time.monotonic() > deadline:
            return current
        time.sleep(0.2)


RESTART = """Restart the named processes, or all besides Postgres and Redis, with the present settings.

Example: tracemill restart generate"""


def restart(
    names: Annotated[list[str] | None, typer.Argument(help="Processes, as `tracemill status` shows them.")] = None,
    json: Json = False,
) -> None:
    with progress_console.status("restarting"):
        restarted = local.restart(settings().data_dir, programs, names or ())
        reports = settled()
    print_line(f"restarted: {', '.join(restarted)}", progress_console)
    _print_status(reports, json)


DOWN = """Stop the local stack. Its data are kept. Example: tracemill down"""


def down() -> None:
    data_dir = settings().data_dir
    with progress_console.status("stopping"):
        local.down(data_dir)
    is_known = local.load(data_dir) is not None
    print_line(f"stopped. Data: {data_dir.absolute()}" if is_known else str(local.no_stack(data_dir)), progress_console)


STATUS = (
    """Show the processes of the local stack. Exit code 1 if one of them has failed. Example: tracemill status --json"""
)


def status(json: Json = False) -> None:
    from db.diagnosis import programs as reports

    _print_status(reports(), json)


def _print_status(reports: Sequence[ProcessStatus], json: bool) -> None:
    rows = [asdict(report) for report in reports]
    if json:
        print_json(rows)
    elif not rows:
        print_line(str(local.no_stack(settings().data_dir)))
    else:
        uptimes = [{"uptime": None if row["uptime"] is None else duration(row["uptime"])} for row in rows]
        print_rows(map(or_, rows, uptimes), _columns(reports), optional=OPTIONAL)
        for report in reports:
            if report.failure:
                print_line(f"{report.name}: {report.failure}")
        for sentence in _job_sentences():
            print_line(sentence)
        print_line(f"logs: {settings().data_dir.absolute() / 'logs'}")
    if any(report.state in FAILED for report in reports):
        raise typer.Exit(1)


def _columns(reports: Sequence[ProcessStatus]) -> tuple[str, ...]:
    filled = [name for name in ("gpu", "engine") if any(getattr(report, name) for report in reports)]
    return ("name", "state", "pid", "uptime", "restarts", *filled)


def _job_sentences() -> list[str]:
    """Why jobs make no progress; nothing without Postgres."""
    from sqlalchemy.exc import SQLAlchemyError

    from cli.jobs import progress
    from db.diagnosis import why_idle

    try:
        return why_idle(progress())
    except (SQLAlchemyError, TracemillError):
        return []


FLOWER = """Print Flower's address, user and password. Example: tracemill flower"""


def flower(json: Json = False) -> None:
    stack = local.load(settings().data_dir)
    if stack is None:
        raise local.no_stack(settings().data_dir)
    if not any(row.name == "flower" and row.pid for row in local.status(settings().data_dir)):
        raise StackError("Flower does not run. `tracemill up` starts it, unless [local] has flower = false")
    login = {
        "url": f"http://127.0.0.1:{stack.flower_port}",
        "user": stack.flower_user,
        "password": stack.flower_password,
    }
    if json:
        print_json(login)
    else:
        print_line(f"{login['url']}   user {login['user']}   password {login['password']}")
