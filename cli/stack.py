"""`tracemill up | down | status | flower`: the local stack."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.output import Json, print_json, print_line, print_rows, progress_console
from cli.preflight import require_programs
from tracemill import stack as local
from tracemill.errors import StackError
from tracemill.settings import settings
from tracemill.stack.programs import start


def register(app: typer.Typer) -> None:
    app.command(help=UP, rich_help_panel="Local stack")(up)
    app.command(help=DOWN, rich_help_panel="Local stack")(down)
    app.command(help=STATUS, rich_help_panel="Local stack")(status)
    app.command(help=FLOWER, rich_help_panel="Local stack")(flower)


UP = """Start the local stack: Postgres, Redis, the feeder, one worker of each kind, and Flower.

A second run starts the processes that are missing. Example: tracemill up"""


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
        start(prepare, services_only=services_only, postgres_port=postgres_port, redis_port=redis_port)
    status(json)


DOWN = """Stop the local stack. Its data are kept. Example: tracemill down"""


def down() -> None:
    with progress_console.status("stopping"):
        local.down(settings().data_dir)


STATUS = (
    """Show the processes of the local stack. Exit code 1 if one of them has failed. Example: tracemill status --json"""
)


def status(json: Json = False) -> None:
    rows = [asdict(row) for row in local.status(settings().data_dir)]
    if json:
        print_json(rows)
    elif not rows:
        print_line("no stack runs here: start it with `tracemill up`")
    else:
        print_rows(rows, ("name", "state", "pid", "uptime", "restarts"))
        print_line(f"logs: {settings().data_dir.absolute() / 'logs'}")
    if any(row["state"] in ("FATAL", "BACKOFF", "ORPHAN") for row in rows):
        raise typer.Exit(1)


FLOWER = """Print Flower's address, user and password. Example: tracemill flower"""


def flower(json: Json = False) -> None:
    stack = local.load(settings().data_dir)
    if stack is None:
        raise StackError("no local stack here: start it with `tracemill up`")
    login = {
        "url": f"http://127.0.0.1:{stack.flower_port}",
        "user": stack.flower_user,
        "password": stack.flower_password,
    }
    if json:
        print_json(login)
    else:
        print_line(f"{login['url']}   user {login['user']}   password {login['password']}")
