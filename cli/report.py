"""`tracemill report`: the results of one round as an HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from cli.output import Json, print_json, print_line, progress_console
from db.session import reader, statement
from tracemill.errors import TracemillError, reason_of
from tracemill.settings import settings


def register(app: typer.Typer) -> None:
    app.command(help=REPORT, rich_help_panel="Training")(report)


REPORT = """Write the results of a round and their significance as one HTML page with pictures.

The page needs no network and no other file. Example: tracemill report round-1 -o round-1.html"""


def report(
    name: Annotated[str, typer.Argument(help="The round's name.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write (default: report.html in the round's folder).")
    ] = None,
    json: Json = False,
) -> None:
    from trainer.fit import round_folder
    from trainer.report import facts, page

    with progress_console.status("reading the measurements"), statement() as connection, reader() as views:
        round_facts = facts(connection, views, name)
    path = output or round_folder(settings().data_dir, name) / "report.html"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(round_facts), encoding="utf-8")
    except OSError as error:
        raise TracemillError(f"cannot write {path}: {reason_of(error)}") from None
    if json:
        print_json(round_facts.as_json() | {"page": path})
    else:
        print_line(f"report of round {name}: {path.absolute()}")
