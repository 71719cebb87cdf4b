"""`tracemill config`: the settings in force and the origin of each."""

import typer

from cli.figures import leaves
from cli.output import Json, print_json, print_rows
from tracemill.generation_config import own_sampling
from tracemill.settings import origins, settings, shown


def register(app: typer.Typer) -> None:
    app.command(help=CONFIG, rich_help_panel="Settings")(config)


#: The origin of a model's own sampling settings.
OWN = "the model's generation_config"

CONFIG = "Print the settings in force and the origin of each. Secrets are masked. Example: tracemill config --json"


def config(json: Json = False) -> None:
    current = settings()
    values, origin = shown(current), origins()
    own = {
        f"models.{alias}.sampling": own_sampling(model, current.data_dir.resolve()).model_dump(exclude_defaults=True)
        for alias, model in current.models.items()
    }
    if json:
        rows = [{"setting": name, "value": value, "from": origin[name]} for name, value in values.items()]
        print_json(rows + [{"setting": name, "value": value, "from": OWN} for name, value in own.items() if value])
        return
    of_models = dict(leaves(own))
    rows = []
    for name, value in leaves(values):
        is_own = value is None and name in of_models
        value, source = (of_models[name], OWN) if is_own else (value, origin[name.split(".")[0]])
        rows.append({"setting": name, "value": value, "from": source})
    print_rows(rows, ("setting", "value", "from"))
