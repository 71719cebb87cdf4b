"""`tracemill train ROUND.toml` and `tracemill rounds`: distil accepted traces into the student."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from sqlalchemy import text

from cli.dry_run import dry_run as show_dry_run
from cli.output import Json, console, print_json, print_rows, progress_console
from db.queries import Q
from db.session import transaction
from tracemill.errors import TracemillError, UsageError

rounds = typer.Typer(help="Rounds: list, show.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    app.command(help=TRAIN, rich_help_panel="Training")(train)
    app.add_typer(rounds, name="rounds", rich_help_panel="Training")


TRAIN = """Queue a training round for the trainer worker and follow it to its evaluation.

Running it again follows the same round. With --dry-run it is only shown what it would train on: counts, tokens, three
examples, the expected time. Example: tracemill train round.toml"""


def train(
    file: Annotated[Path, typer.Argument(help="The round's ROUND.toml.")],
    wait: Annotated[bool, typer.Option(help="Follow it to the end.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would train on, and do nothing.")] = False,
    json: Json = False,
) -> None:
    from trainer.queue import queue_round
    from trainer.spec import load

    spec = load(file)
    if dry_run:
        show_dry_run(spec, json)
        return
    queue_round(spec)
    if wait:
        follow(spec.name)
    if json:
        print_json(one(spec.name))
    elif wait:
        show(spec.name)
    else:
        console.print(f"round {spec.name} is queued. Follow it: tracemill train {file}", markup=False)


def follow(name: str) -> None:
    """A progress bar on stderr until the round is done. Raises TracemillError if it failed."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=progress_console, transient=True) as bar:
        task = bar.add_task("queued", total=None)
        spoken = ""
        while True:
            found = one(name)
            metrics = found["metrics"]
            line = f"{name}: {found['state']} {10 * metrics.get('step', 0) // max(1, metrics.get('steps', 1)) * 10} %"
            if not progress_console.is_terminal and line != spoken:
                spoken = line
                progress_console.print(line, markup=False)
            bar.update(
                task,
                description=f"{name}: {found['state']}",
                total=metrics.get("steps"),
                completed=metrics.get("step", 0),
            )
            if found["state"] == "failed":
                raise TracemillError(f"round {name} failed: {found['error']}")
            if found["state"] == "done":
                return
            time.sleep(0.5)


@rounds.callback()
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@rounds.command("list", help="All rounds with what they measured. Example: tracemill rounds list --json")
def list_(json: Json = False) -> None:
    with transaction() as connection:
        rows = [dict(row) for row in connection.execute(text("select * from rounds order by id")).mappings()]
    if json:
        print_json(rows)
    else:
        print_rows(rows, ("name", "state", "created_at", "finished_at", "adapter_path", "error"))


@rounds.command(
    "show", help="One round: what it trained on and what it measured. Example: tracemill rounds show round-1"
)
def show(name: Annotated[str, typer.Argument(help="The round's name.")], json: Json = False) -> None:
    found = one(name)
    if json:
        print_json(found)
        return
    shown = {key: value for key, value in found.items() if key not in ("evaluations", "spec")}
    shown["metrics"] = {key: value for key, value in found["metrics"].items() if key != "loss"}
    print_rows([{"": key, "value": value} for key, value in shown.items()], ("", "value"))
    print_rows(found["evaluations"], ("stage", "job", "questions", "correct", "accuracy", "low", "high"))


def one(name: str) -> dict[str, Any]:
    """The round of that name with its evaluations. Raises UsageError listing the rounds there are."""
    with transaction() as connection:
        found = connection.execute(Q["round_by_name"], {"name": name}).mappings().one_or_none()
        if found is None:
            known = connection.execute(text("select string_agg(name, ', ' order by id) from rounds")).scalar()
            raise UsageError(f"no round '{name}'. Rounds: {known or 'none yet'}")
        evaluations = connection.execute(
            text(
                "select e.*, j.name as job from evaluations e join jobs j on j.id = e.job_id "
                "where e.round_id = :id order by j.round_id nulls first, j.id"
            ),
            {"id": found["id"]},
        ).mappings()
        return dict(found) | {"evaluations": [dict(row) for row in evaluations]}
