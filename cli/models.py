"""`tracemill models`: the models that have a name, where they are, and how to get them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cli.doctor_models import CONFIG, JINJA, TOKENIZER_CONFIG, chat_template
from cli.output import Json, libraries_in_log, log_of, print_facts, print_json, print_line, print_rows, progress_bar
from tracemill import thinking
from tracemill.errors import UsageError, unknown_name
from tracemill.known_models import KNOWN, KnownModel
from tracemill.model_sources import Report
from tracemill.settings import settings
from tracemill.weights import converted_folder, is_model_folder, max_length, model_file, resolve

models = typer.Typer(help="Models that have a name: list, get, show.", invoke_without_command=True)

GET = """Fetch models and convert them, so that they need no network afterwards.

Sources, in this order: the data folder, --from, the hub, and packages of pip's index that carry the same bytes. A file
counts only if its SHA-256 is right. An interrupted command continues when it is repeated.

Example: tracemill models get Qwen2.5-Coder-0.5B-Instruct

Example: tracemill models get Qwen2.5-Coder-1.5B-Instruct --from /media/usb"""

SHOW = """Show one model: its sources, and its context and chat template once it is here.

Example: tracemill models show Qwen2.5-Coder-0.5B-Instruct"""

COLUMNS = ("name", "parameters", "licence", "size", "here")


def register(app: typer.Typer) -> None:
    app.add_typer(models, name="models", rich_help_panel="Local stack")


@models.callback()
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@models.command("list", help="List the models that have a name. Example: tracemill models list --json")
def list_(json: Json = False) -> None:
    rows = [_row(model) for model in KNOWN.values()]
    if json:
        print_json(rows)
    else:
        print_rows(map(_cells, rows), COLUMNS)


@models.command(help=SHOW)
def show(name: Annotated[str, typer.Argument(help="A name of `tracemill models`.")], json: Json = False) -> None:
    row = _row(_known(name)) | _content(name)
    if json:
        print_json(row)
        return
    template = row.pop("template")
    print_facts(row | _cells(row) | {"thinks": row["thinks"]})
    if template:
        print_line(f"\nchat template:\n{template}")


@models.command(help=GET)
def get(
    names: Annotated[list[str], typer.Argument(help="Names of `tracemill models`, or gguf:PATH.")],
    local: Annotated[
        Path | None, typer.Option("--from", help="A local file, or a folder with it, to try first.", exists=True)
    ] = None,
    json: Json = False,
) -> None:
    for name in names:
        if not name.startswith("gguf:"):
            _known(name)
    rows = []
    for name in names:
        with libraries_in_log(log_of("models")), fetch_bar(name) as report:
            folder = resolve(name, settings().data_dir, local, report)
        rows.append(_row(KNOWN[name]) if name in KNOWN else {"name": name, "here": folder})
        if not json:
            print_line(f'{name} is in {folder}. In tracemill.toml: model = "{name}"')
    if json:
        print_json(rows)


def _known(name: str) -> KnownModel:
    if name not in KNOWN:
        if "/" in name:
            raise UsageError(f"{name} is a hub name: it is downloaded at its first use")
        raise unknown_name("model", name, list(KNOWN))
    return KNOWN[name]


def _row(model: KnownModel) -> dict[str, Any]:
    folder = converted_folder(model.name, settings().data_dir)
    return {
        "name": model.name,
        "parameters": model.parameters,
        "licence": model.licence,
        "size": model.size,
        "here": str(folder) if folder and is_model_folder(folder) else None,
        "sha256": model.sha256,
        "hub": model.hub,
        "file": f"{model.repository}/{model.file}",
        "wheels": [f"{wheel.package}=={wheel.version}" for wheel in model.wheels],
    }


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """A row with figures for people."""
    figures = {"parameters": f"{row['parameters'] / 1e6:,.0f} M", "size": f"{row['size'] / 1e6:,.0f} MB"}
    return row | figures | {"here": row["here"] or "no"}


def _content(name: str) -> dict[str, Any]:
    """Facts from the files of a model; all are None before it is here."""
    data_dir = settings().data_dir
    if model_file(name, CONFIG, data_dir) is None:
        return {"context": None, "thinks": None, "template": None}
    paths = (model_file(name, each, data_dir) for each in (JINJA, TOKENIZER_CONFIG))
    template = chat_template(*(path.read_text(encoding="utf-8") if path else None for path in paths))
    is_thinking = template is not None and thinking.names_marks(template)
    return {"context": max_length(name, data_dir), "thinks": is_thinking, "template": template}


@contextmanager
def fetch_bar(name: str) -> Iterator[Report]:
    """Show a progress bar on stderr while a model is fetched and converted."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with progress_bar(*columns) as bar:
        task = bar.add_task(name, total=None)
        yield lambda step, done, total: bar.update(task, description=f"{name}: {step}", completed=done, total=total)
