"""`tracemill config`: what is in force, and where each value came from."""

import typer

from cli.output import Json, print_json, print_rows
from tracemill.settings import origins, settings, shown


def register(app: typer.Typer) -> None:
    app.command(help=CONFIG, rich_help_panel="Settings")(config)


CONFIG = (
    """Print the settings in force and where each came from; secrets are masked. Example: tracemill config --json"""
)


def config(json: Json = False) -> None:
    values, where = shown(settings()), origins()
    rows = [{"setting": name, "value": value, "from": where[name]} for name, value in values.items()]
    if json:
        print_json(rows)
    else:
        print_rows(rows, ("setting", "value", "from"))
