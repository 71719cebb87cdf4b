"""`tracemill report`: one round as a page to read, to send, and to keep."""

from pathlib import Path
from typing import Annotated

import typer

from cli.output import Json, console, print_json, progress_console
from db.session import transaction
from tracemill.settings import settings


def register(app: typer.Typer) -> None:
    app.command(help=REPORT, rich_help_panel="Training")(report)


REPORT = """Write what a round learnt, and whether that is more than chance, as one HTML page with pictures.

The page needs no network and no other file. Example: tracemill report round-1 -o round-1.html"""


def report(
    name: Annotated[str, typer.Argument(help="The round's name.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page (default: in the round's folder).")
    ] = None,
    json: Json = False,
) -> None:
    from trainer.fit import round_folder
    from trainer.report import facts, page

    with progress_console.status("reading what was measured"), transaction() as connection:
        found = facts(connection, name)
    path = output or round_folder(settings().data_dir, name) / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(found), encoding="utf-8")
    if json:
        print_json(found.as_json() | {"page": path})
    else:
        console.print(f"report of round {name}: {path.absolute()}", markup=False, soft_wrap=True)
