"""`tracemill config`: the settings in force and the origin of each."""

import typer

from cli.figures import leaves
from cli.output import Json, print_json, print_rows
from tracemill.settings import origins, settings, shown


def register(app: typer.Typer) -> None:
    app.command(help=CONFIG, rich_help_panel="Settings")(config)


CONFIG = "Print the settings in force and the origin of each. Secrets are masked. Example: tracemill config --json"


def config(json: Json = False) -> None:
    values, origin = shown(settings()), origins()
    rows = [{"setting": name, "value": value, "from": origin[name]} for name, value in values.items()]
    if json:
        print_json(rows)
    else:
        print_rows(
            ({"setting": name, "value": value, "from": origin[name.split(".")[0]]} for name, value in leaves(values)),
            ("setting", "value", "from"),
        )
