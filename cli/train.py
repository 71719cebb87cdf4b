"""`tracemill train ROUND.toml`: distil accepted traces into the student."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.dry_run import dry_run as show_dry_run
from cli.dry_run import show_plan
from cli.enqueue import reading_bar
from cli.jobs import follow as follow_jobs
from cli.output import Json, console, print_json, progress_console
from cli.rounds import compare, round_named, show
from tracemill.errors import TracemillError, UsageError


def register(app: typer.Typer) -> None:
    app.command(help=TRAIN, rich_help_panel="Training")(train)


Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change the file: KEY=VALUE, like fit.epochs=1. Repeatable."),
]

TRAIN = """Queue a training round for the trainer worker and follow it to its evaluation.

Running it again follows the same round. With --dry-run it is only shown what it would train on: counts, tokens, three
examples, the expected time. With --control a second round, NAME-control, learns by the same recipe from as many tokens
of the same difficulty that nobody verified: the difference is what the filter is worth. With --push the adapter, its
card and a merged model go to a model hub in the end, by the token in HF_TOKEN.

Example: tracemill train round.toml --control"""


def train(
    file: Annotated[Path, typer.Argument(help="The round's ROUND.toml.")],
    control: Annotated[bool, typer.Option("--control", help="Train the control arm as well.")] = False,
    wait: Annotated[bool, typer.Option(help="Follow it to the end.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would train on, and do nothing.")] = False,
    push: Annotated[str | None, typer.Option("--push", help="Upload what it made to OWNER/NAME on the hub.")] = None,
    public: Annotated[bool, typer.Option("--public", help="With --push: for everybody to see.")] = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    from trainer.benchmarks import open_benchmarks, with_benchmarks
    from trainer.hub import publish, token_for
    from trainer.spec import load
    from trainer.submit import check_student, control_of, queue_round
    from trainer.teaching import open_teaching, planned

    asked = load(file, changes or ())
    check_student(asked)  # before anything is paid for
    if public and not push:
        raise UsageError("--public is for --push OWNER/NAME")
    if push and not wait:
        raise UsageError("--push comes after the round, so it has to wait for it: leave --no-wait out")
    if push:
        token_for(push)  # raises now, not after hours
    twin = control_of(asked) if control else None  # raises before anything is stored
    if dry_run:
        plan = planned(asked.teach, file.parent)
        if plan:
            show_plan(plan, asked.evaluate, json)
        else:
            show_dry_run(with_benchmarks(asked), json)
        return
    open_teaching(asked.teach, file.parent, follow_jobs, reading_bar)
    spec = open_benchmarks(asked, reading_bar)
    rounds = [spec, *([twin.model_copy(update={"evaluate": spec.evaluate})] if twin else [])]
    for arm in rounds:
        queue_round(arm)
    for arm in rounds if wait else ():
        follow(arm.name)
    address = publish(spec.name, push, private=not public) if push else None
    if json:
        more = {"control": round_named(twin.name)} if twin else {}
        print_json(round_named(spec.name) | more | ({"hub": address} if address else {}))
    elif wait:
        show(spec.name)
        if twin is not None:
            compare(twin.name, spec.name)
        if address:
            console.print(f"pushed to {address}", markup=False, soft_wrap=True)
    else:
        names = " and ".join(arm.name for arm in rounds)
        console.print(
            f"queued: {names}. Follow: tracemill train {file}{' --control' * control}", markup=False, soft_wrap=True
        )


def follow(name: str) -> None:
    """A progress bar on stderr until the round is done. Raises TracemillError if it failed."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=progress_console, transient=True) as bar:
        task = bar.add_task("queued", total=None)
        spoken = ""
        while True:
            found = round_named(name)
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
