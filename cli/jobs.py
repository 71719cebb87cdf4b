"""`tracemill jobs`: what is asked for, how far it is, and pause, resume, cancel, retry."""

import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from sqlalchemy import text

from cli.output import Json, console, print_json, print_rows
from cli.policies import in_words
from db.queries import Q
from db.session import transaction
from tracemill.errors import UsageError
from tracemill.policy import Policy

jobs = typer.Typer(help="Jobs: list, show, watch, pause, resume, cancel, retry.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(help="The job's name.")]
#: Seconds between two lines of progress where there is no terminal.
QUIET_SECONDS = 15
COLUMNS = ("job", "purpose", "state", "model", "questions", "done", "failed", "traces", "accepted", "tokens_out")


def register(app: typer.Typer) -> None:
    app.add_typer(jobs, name="jobs", rich_help_panel="Jobs")


@jobs.callback()
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@jobs.command("list", help="All jobs, newest last. Example: tracemill jobs list --json")
def list_(json: Json = False) -> None:
    rows = progress()
    if json:
        print_json(rows)
    else:
        print_rows(rows, COLUMNS)


@jobs.command(help="Everything about one job. Example: tracemill jobs show gsm8k-teacher-cot")
def show(name: Name, json: Json = False) -> None:
    job = one(name)
    with transaction() as connection:
        settings = dict(connection.execute(Q["job_by_name"], {"name": name}).mappings().one())
        key = {"job_id": job["job_id"]}
        errors = [dict(row) for row in connection.execute(Q["job_errors"], key).mappings()]
        canaries = [dict(row) for row in connection.execute(Q["job_canaries"], key).mappings()]
    whole = job | {column: settings[column] for column in ("source", "sampling", "prompt_hash", "verifier")}
    if json:
        print_json(whole | {"policy": settings["policy"], "canaries": canaries, "errors": errors})
        return
    whole |= in_words(Policy.model_validate(settings["policy"]), canaries)
    print_rows([{"": name, "value": value} for name, value in whole.items()], ("", "value"))
    if errors:
        print_rows(errors, ("questions", "last_error"), title="errors")


@jobs.command(help="Live progress until the job is done (all jobs if none is named). Example: tracemill jobs watch")
def watch(
    name: Annotated[str | None, typer.Argument(help="The job's name.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Between two looks.")] = 1.0,
) -> None:
    if name:
        one(name)
    follow([name] if name else None, seconds)


def follow(names: list[str] | None, seconds: float = 1.0) -> None:
    """Show the named jobs (null: all) until they are done: a live table, or a line now and then without a terminal."""
    rates = Rates()
    spoken = time.monotonic()
    with Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else nullcontext() as live:
        while True:
            rows = [row for row in progress() if names is None or row["job"] in names]
            table = rates.table(rows)
            if live is not None:
                live.update(table, refresh=True)
            elif time.monotonic() - spoken > QUIET_SECONDS:
                spoken = time.monotonic()
                console.print("; ".join(map(rates.line, rows)), markup=False, soft_wrap=True)
            if all(row["state"] in ("done", "cancelled") for row in rows):
                break
            time.sleep(seconds)
    console.print(table)


class Rates:
    """Traces and tokens a second of each job, over the last ten seconds of watching."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[float, int, int]]] = {}

    def table(self, rows: list[dict[str, Any]]) -> Table:
        """The jobs as a live table."""
        table = Table()
        for column in ("job", "state", "questions", "done", "failed", "traces", "traces/s", "tokens/s", "accepted"):
            table.add_column(column, justify="left" if column in ("job", "state") else "right")
        for row in rows:
            traces, tokens = self.rate(row)
            share = f"{row['accepted']} ({row['accepted'] / row['verified']:.0%})" if row["verified"] else "0"
            values = (
                row["questions"],
                row["done"],
                row["failed"],
                row["traces"],
                f"{traces:.1f}",
                f"{tokens:.0f}",
                share,
            )
            table.add_row(row["job"], row["state"], *map(str, values))
        return table

    def line(self, row: Mapping[str, Any]) -> str:
        """One job as one line, for logs."""
        traces, tokens = self.rate(row)
        done = f"{row['job']}: {row['done']}/{row['questions']} questions, {row['traces']} traces"
        return f"{done} ({traces:.1f}/s, {tokens:.0f} tokens/s), {row['accepted']} accepted"

    def rate(self, row: Mapping[str, Any]) -> tuple[float, float]:
        """Traces/s and output tokens/s of one job since the oldest look of the last ten seconds."""
        now = time.monotonic()
        looks = self.seen.setdefault(row["job"], [])
        looks.append((now, row["traces"], int(row["tokens_out"])))
        while looks[0][0] < now - 10 and len(looks) > 2:
            looks.pop(0)
        seconds = now - looks[0][0]
        if seconds <= 0:
            return 0.0, 0.0
        return (row["traces"] - looks[0][1]) / seconds, (int(row["tokens_out"]) - looks[0][2]) / seconds


@jobs.command(help="Stop handing out a job's questions; what is running finishes. Example: tracemill jobs pause NAME")
def pause(name: Name) -> None:
    _change(name, "paused", ["filling", "running"])


@jobs.command(help="Go on with a paused job. Example: tracemill jobs resume NAME")
def resume(name: Name) -> None:
    _change(name, "running", ["paused"])


@jobs.command(help="End a job for good; its traces stay. Example: tracemill jobs cancel NAME")
def cancel(name: Name) -> None:
    _change(name, "cancelled", ["filling", "running", "paused"])


@jobs.command(help="Send a job's failed questions round again. Example: tracemill jobs retry NAME")
def retry(name: Name) -> None:
    job = one(name)
    with transaction() as connection:
        count = connection.execute(Q["retry_failed"], {"job_id": job["job_id"]}).rowcount
        connection.execute(Q["reopen_job"], {"job_id": job["job_id"]})
    console.print(f"{name}: {count} failed questions are pending again", markup=False)


def progress() -> list[dict[str, Any]]:
    """Rows of the view job_progress, oldest job first."""
    with transaction() as connection:
        return [dict(row) for row in connection.execute(text("select * from job_progress order by job_id")).mappings()]


def one(name: str) -> dict[str, Any]:
    """The job of that name. Raises UsageError listing the jobs there are."""
    rows = progress()
    for row in rows:
        if row["job"] == name:
            return row
    known = ", ".join(row["job"] for row in rows) or "none yet"
    raise UsageError(f"no job '{name}'. Jobs: {known}")


def _change(name: str, state: str, allowed: list[str]) -> None:
    job = one(name)
    with transaction() as connection:
        changed = connection.execute(
            Q["set_job_state"], {"name": name, "state": state, "allowed": allowed}
        ).scalar_one_or_none()
        if changed is not None and state != "running":
            connection.execute(Q["unqueue"], {"job_id": changed, "question_ids": None})
    if changed is None:
        raise UsageError(f"job {name} is {job['state']}: it cannot become {state}")
    console.print(f"{name} is {state}", markup=False)
