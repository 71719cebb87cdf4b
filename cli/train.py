"""`tracemill train ROUND.toml`: distil accepted traces into the student."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.dry_run import dry_run as show_dry_run
from cli.dry_run import show_plan
from cli.enqueue import reading_bar
from cli.interruption import explained_interrupt, this_command
from cli.jobs import follow as follow_jobs
from cli.output import Json, console, print_json, print_line, progress_bar, progress_console
from cli.preflight import require_local_student
from cli.rounds import compare, round_named, show
from tracemill.errors import TracemillError, UsageError


def register(app: typer.Typer) -> None:
    app.command(help=TRAIN, rich_help_panel="Training")(train)


Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change the file: KEY=VALUE, like fit.epochs=1. Repeatable."),
]

TRAIN = """Queue a training round for the trainer worker and follow it to its evaluation.

Running it again follows the same round. --dry-run only shows the training set: counts, tokens, three examples and the
expected time. --control trains a second round, NAME-control, by the same recipe. It learns from unverified traces with
the same difficulty and number of tokens, so the difference measures the filter. --push uploads the adapter, its card
and a merged model to a model hub at the end. It needs a token in HF_TOKEN.

Example: tracemill train round.toml --control"""


def train(
    file: Annotated[Path, typer.Argument(help="The round's ROUND.toml.")],
    control: Annotated[bool, typer.Option("--control", help="Train the control arm too.")] = False,
    wait: Annotated[bool, typer.Option(help="Follow the round to its end.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the training set; store nothing.")] = False,
    push: Annotated[str | None, typer.Option("--push", help="Upload the result to OWNER/NAME on the hub.")] = None,
    public: Annotated[bool, typer.Option("--public", help="With --push: create a public repository.")] = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    from trainer.benchmarks import open_benchmarks, with_benchmarks
    from trainer.hub import publish, token_for
    from trainer.spec import load
    from trainer.submit import check_evaluation, check_student, control_of, queue_round
    from trainer.teaching import open_teaching, planned, require_sources

    requested = load(file, changes or ())
    check_student(requested)  # raises before any paid request
    require_local_student(requested.student)
    if public and not push:
        raise UsageError("--public needs --push OWNER/NAME")
    if push and not wait:
        raise UsageError("--push uploads the finished round, so the command must wait for it: remove --no-wait")
    if push:
        token_for(push)  # raises now, not after hours
    twin = control_of(requested) if control else None  # raises before anything is stored
    plan = planned(requested.teach, file.parent)  # raises for any wrong job before the first one is opened
    if dry_run:
        if plan:
            show_plan(plan, requested.evaluate, json, requested.dev)
        else:
            show_dry_run(with_benchmarks(requested), json)
        return
    with explained_interrupt(
        f"round {requested.name} is not queued yet, and jobs that are open continue.",
        f"Queue it when they are done: {this_command()}",
    ):
        require_sources(requested.teach, file.parent)  # raises before the first job is opened
        spec = open_benchmarks(requested, reading_bar)
        check_evaluation(spec)  # raises before anything is taught
        open_teaching(requested.teach, file.parent, follow_jobs, reading_bar)
    rounds = [spec, *([twin.model_copy(update={"evaluate": spec.evaluate, "dev": spec.dev})] if twin else [])]
    for arm in rounds:
        queue_round(arm)
    names = " and ".join(arm.name for arm in rounds)
    with explained_interrupt(
        f"training of {names} continues without this terminal. Follow it again: {this_command()}.",
        f"End it: {' and '.join(f'tracemill rounds cancel {arm.name}' for arm in rounds)}",
    ):
        for arm in rounds if wait else ():
            follow(arm.name)
    address = publish(spec.name, push, private=not public) if push else None
    if json:
        control_arm = {"control": round_named(twin.name)} if twin else {}
        print_json(round_named(spec.name) | control_arm | ({"hub": address} if address else {}))
    elif wait:
        show(spec.name)
        if twin is not None:
            compare(twin.name, spec.name)
        if address:
            console.print(f"pushed to {address}", markup=False, soft_wrap=True)
    else:
        print_line(f"queued: {names}. Follow: {this_command(without='--no-wait')}")


def follow(name: str) -> None:
    """Show a progress bar on stderr until the round is done. Raises TracemillError if it failed."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with progress_bar(*columns, TimeRemainingColumn()) as bar:
        task = bar.add_task("queued", total=None)
        last_line = ""
        while True:
            row = round_named(name)
            metrics = row["metrics"]
            line = f"{name}: {row['state']} {10 * metrics.get('step', 0) // max(1, metrics.get('steps', 1)) * 10} %"
            if not progress_console.is_terminal and line != last_line:
                last_line = line
                progress_console.print(line, markup=False)
            bar.update(
                task,
                description=f"{name}: {row['state']}",
                total=metrics.get("steps"),
                completed=metrics.get("step", 0),
            )
            if row["state"] == "failed":
                raise TracemillError(f"round {name} failed: {row['error']}")
            if row["state"] == "done":
                return
            time.sleep(0.5)
