"""`tracemill jobs`: what is asked for, how far it is, and pause, resume, cancel, retry."""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from sqlalchemy import Row, text

from cli.output import Json, console, print_json, print_rows, progress_console
from cli.policies import in_words
from db.heartbeat import SILENT_SECONDS
from db.queries import Q
from db.session import transaction
from tracemill.celery import TRAIN_QUEUE, generate_queue
from tracemill.errors import UsageError
from tracemill.policy import Policy

jobs = typer.Typer(help="Jobs: list, show, watch, pause, resume, cancel, retry.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(help="The job's name.")]
#: Seconds between two lines of progress where there is no terminal.
QUIET_SECONDS = 15
ACCEPTANCE = text(
    "select * from acceptance where job = :name "
    "order by variant, domain, array_position('{easy,medium,hard}', difficulty)"
)
COSTS = (
    *("variant", "domain", "difficulty", "questions", "traces", "accepted", "rate", "tokens_per_accepted"),
    *("cost", "cost_per_accepted"),
)
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
        for sentence in missing(rows):
            console.print(sentence, markup=False)


@jobs.command(help="Everything about one job. Example: tracemill jobs show gsm8k-teacher-cot")
def show(name: Name, json: Json = False) -> None:
    job = one(name)
    with transaction() as connection:
        settings = dict(connection.execute(Q["job_by_name"], {"name": name}).mappings().one())
        key = {"job_id": job["job_id"]}
        errors = [dict(row) for row in connection.execute(Q["job_errors"], key).mappings()]
        canaries = [dict(row) for row in connection.execute(Q["job_canaries"], key).mappings()]
        ends = [dict(row) for row in connection.execute(Q["question_ends"], key).mappings()]
        prompts = [dict(row) for row in connection.execute(Q["job_prompts"], key).mappings()]
        costs = [dict(row) for row in connection.execute(ACCEPTANCE, {"name": name}).mappings()]
    whole = job | {column: settings[column] for column in ("source", "sampling", "verifier", "ask_as", "give_up")}
    sampling = saved(job, ends)
    if json:
        found = {"policy": settings["policy"], "canaries": canaries, "errors": errors, "adaptive": sampling}
        print_json(whole | found | {"acceptance": costs, "ends": ends, "prompts": prompts})
        return
    whole |= in_words(Policy.model_validate(settings["policy"]), canaries)
    if sampling:
        whole["adaptive sampling"] = sampling_in_words(settings, sampling)
    print_rows([{"": name, "value": value} for name, value in whole.items()], ("", "value"))
    if costs:
        print_rows(costs, COSTS, title="what came out, and what it cost")
    if errors:
        print_rows(errors, ("questions", "last_error"), title="errors")


@jobs.command(help="Live progress until the job is done (all jobs if none is named). Example: tracemill jobs watch")
def watch(
    name: Annotated[str | None, typer.Argument(help="The job's name.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Between two looks.")] = 1.0,
) -> None:
    if name:
        one(name)
    follow([name] if name else None, seconds, console)


def follow(names: list[str] | None, seconds: float = 1.0, out: Console = progress_console) -> None:
    """Show the named jobs (null: all) until they are done: a live table, or a line now and then without a terminal."""
    rates = Rates()
    spoken = time.monotonic()
    with Live(console=out, auto_refresh=False, transient=True) if out.is_terminal else nullcontext() as live:
        while True:
            rows = [row for row in progress() if names is None or row["job"] in names]
            table = rates.table(rows)
            table.caption = "\n".join(missing(rows)) or None
            if live is not None:
                live.update(table, refresh=True)
            elif time.monotonic() - spoken > QUIET_SECONDS:
                spoken = time.monotonic()
                out.print("; ".join([*map(rates.line, rows), *missing(rows)]), markup=False, soft_wrap=True)
            if all(row["state"] in ("done", "over_budget", "cancelled") for row in rows):
                break
            time.sleep(seconds)
    out.print(table)


def missing(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What jobs wait for that nobody does: their model's workers, and the verifiers."""
    alive = _alive()
    queues = {queue for row in alive for queue in row.queues}
    running = [row for row in rows if row["state"] in ("filling", "running")]
    models = {row["model"] for row in running if row["pending"] or row["queued"]}
    said = [
        f"no worker serves {model}: tracemill worker generate --model {model}"
        for model in sorted(models)
        if generate_queue(model) not in queues
    ]
    if any(row["generated"] for row in running) and not any(queue.startswith("verify") for queue in queues):
        said.append("nobody verifies: tracemill worker verify")
    if running and not any(row.leads for row in alive):
        said.append("nobody hands out questions: tracemill producer")
    return said


def trainer_missing() -> list[str]:
    """A sentence if no process trains."""
    trains = any(TRAIN_QUEUE in row.queues for row in _alive())
    return [] if trains else ["nobody trains: tracemill worker train"]


def _alive() -> list[Row[Any]]:
    with transaction() as connection:
        processes = connection.execute(Q["processes"], {"host": None}).all()
    return [row for row in processes if row.silent_seconds <= SILENT_SECONDS]


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


@jobs.command(
    help="Go on with a paused job, or one over its budget. Example: tracemill jobs resume NAME --budget-tokens 1e6"
)
def resume(
    name: Name,
    budget_tokens: Annotated[float | None, typer.Option(min=1, help="Its new budget, in tokens.")] = None,
    budget_money: Annotated[float | None, typer.Option(min=0.000001, help="Its new budget, in money.")] = None,
) -> None:
    job = one(name)
    budget, unit = (budget_tokens, "tokens") if budget_tokens is not None else (budget_money, "money")
    if budget is not None and unit != job["budget_unit"]:
        raise UsageError(f"job {name} has {'a' if job['budget_unit'] else 'no'} budget in {job['budget_unit'] or unit}")
    if job["state"] == "over_budget" and (budget or job["budget"]) <= job["spent"]:
        raise UsageError(
            f"job {name} has spent {job['spent']:g} {job['budget_unit']} of {job['budget']:g}: "
            f"give it a larger budget, --budget-{job['budget_unit']}"
        )
    _change(name, "running", ["paused", "over_budget"], budget)


@jobs.command(help="End a job for good; its traces stay. Example: tracemill jobs cancel NAME")
def cancel(name: Name) -> None:
    _change(name, "cancelled", ["filling", "running", "paused", "over_budget"])


@jobs.command(help="Send a job's failed questions round again. Example: tracemill jobs retry NAME")
def retry(name: Name) -> None:
    job = one(name)
    with transaction() as connection:
        count = connection.execute(Q["retry_failed"], {"job_id": job["job_id"]}).rowcount
        connection.execute(Q["reopen_job"], {"job_id": job["job_id"]})
    console.print(f"{name}: {count} failed questions are pending again", markup=False)


def saved(job: Mapping[str, Any], ends: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What adaptive sampling saved in the questions that are done; null for a job that always asks for all samples."""
    if job["enough"] is None or not ends:
        return None
    questions = sum(row["questions"] for row in ends)
    traces = int(sum(row["traces"] for row in ends))
    each = int(job["tokens_out"]) / max(1, job["traces"])
    return {
        "traces": traces,
        "traces_of_fixed": questions * job["most"],
        "share_saved": round(1 - traces / (questions * job["most"]), 4),
        "tokens_saved": round((questions * job["most"] - traces) * each),
        "ended": {row["ended"]: row["questions"] for row in ends},
    }


def sampling_in_words(job: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The plan of adaptive sampling, and what it saved, as a sentence."""
    give_up = f", given up below a chance of {job['give_up']:g}" if job["give_up"] else ""
    ended = ", ".join(f"{count} {why}" for why, count in found["ended"].items())
    return (
        f"{job['enough']} accepted of at most {job['most']}, {job['batch']} at a time{give_up}. "
        f"{found['traces']} traces instead of {found['traces_of_fixed']}: {found['share_saved']:.0%} saved, about "
        f"{found['tokens_saved']} tokens. Questions ended: {ended}"
    )


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


def _change(name: str, state: str, allowed: list[str], budget: float | None = None) -> None:
    job = one(name)
    with transaction() as connection:
        changed = connection.execute(
            Q["set_job_state"], {"name": name, "state": state, "allowed": allowed, "budget": budget}
        ).scalar_one_or_none()
        if changed is not None and state != "running":
            connection.execute(Q["unqueue"], {"job_id": changed, "question_ids": None})
    if changed is None:
        raise UsageError(f"job {name} is {job['state']}: it cannot become {state}")
    console.print(f"{name} is {state}", markup=False)
