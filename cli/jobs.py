"""`tracemill jobs`: list, show and watch jobs; pause, resume, cancel and retry them."""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text
from sqlalchemy import text

from cli.output import Json, console, layout, print_facts, print_json, print_line, print_rows, progress_console
from cli.policies import in_words
from db.diagnosis import job_reasons, sentences, why_idle
from db.queries import Q
from db.session import transaction
from tracemill.errors import UsageError
from tracemill.policy import Policy

jobs = typer.Typer(help="Jobs: list, show, watch, pause, resume, cancel, retry.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(help="The job's name.")]
#: Without a terminal, seconds between two lines of progress.
QUIET_SECONDS = 15
#: Traces and tokens a second are measured over this many seconds.
RATE_SECONDS = 10
#: States in which a job is watched no longer.
ENDED = ("done", "over_budget", "cancelled")
ACCEPTANCE = text(
    "select * from acceptance where job = :name "
    "order by variant, domain, array_position('{easy,medium,hard}', difficulty)"
)
COSTS = (
    "variant",
    "domain",
    "difficulty",
    "questions",
    "traces",
    "accepted",
    "rate",
    "tokens_per_accepted",
    "cost",
    "cost_per_accepted",
)
COLUMNS = ("job", "purpose", "state", "model", "questions", "done", "failed", "traces", "accepted", "tokens_out")
WATCHED = ("job", "state", "questions", "done", "failed", "traces", "traces/s", "tokens/s", "accepted")


def register(app: typer.Typer) -> None:
    app.add_typer(jobs, name="jobs", rich_help_panel="Jobs")


@jobs.callback()
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@jobs.command("list", help="List all jobs, newest last. Example: tracemill jobs list --json")
def list_(json: Json = False) -> None:
    rows = progress()
    reasons = job_reasons(rows)
    if json:
        print_json([row | {"reasons": [reason.text for reason in reasons[row["job"]]]} for row in rows])
    else:
        print_rows(rows, COLUMNS)
        for sentence in sentences(reasons):
            print_line(sentence)


@jobs.command(help="Show everything about one job. Example: tracemill jobs show gsm8k-teacher-cot")
def show(name: Name, json: Json = False) -> None:
    job = job_named(name)
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
        policy = {"policy": settings["policy"], "canaries": canaries, "errors": errors, "adaptive": sampling}
        print_json(whole | policy | {"acceptance": costs, "ends": ends, "prompts": prompts})
        return
    whole |= in_words(Policy.model_validate(settings["policy"]), canaries)
    if sampling:
        whole["adaptive sampling"] = sampling_in_words(settings, sampling)
    print_facts(whole)
    if costs:
        print_rows(costs, COSTS, title="accepted traces and their cost")
    if errors:
        print_rows(errors, ("questions", "last_error"), title="errors")


@jobs.command(help="Show progress until the job is done (without a name: all jobs). Example: tracemill jobs watch")
def watch(
    name: Annotated[str | None, typer.Argument(help="The job's name.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds between two updates.")] = 1.0,
) -> None:
    if name:
        job_named(name)
    follow([name] if name else None, seconds, console)


def follow(names: list[str] | None, seconds: float = 1.0, out: Console = progress_console) -> None:
    """Show the named jobs (None: all) until they are done.

    On a terminal this is a live table. Otherwise it prints a line every QUIET_SECONDS, and the table at the end.
    """
    rates = Rates()
    last_line = time.monotonic()
    with Live(console=out, auto_refresh=False, transient=True) if out.is_terminal else nullcontext() as live:
        while True:
            rows = [row for row in progress() if names is None or row["job"] in names]
            reasons = why_idle(rows)
            table = Group(rates.table(rows, out.width), *map(Text, reasons))
            if live is not None:
                live.update(table, refresh=True)
            elif time.monotonic() - last_line > QUIET_SECONDS:
                last_line = time.monotonic()
                print_line("; ".join([*map(rates.line, rows), *reasons]), out)
            if all(row["state"] in ENDED for row in rows):
                break
            time.sleep(seconds)
    out.print(table)


class Rates:
    """Traces and tokens a second of each job, over the last RATE_SECONDS."""

    def __init__(self) -> None:
        #: For each job: the time, traces and output tokens of each measurement.
        self.measured: dict[str, list[tuple[float, int, int]]] = {}

    def table(self, rows: Sequence[Mapping[str, Any]], width: int) -> RenderableType:
        """Lay out the jobs with their rates."""
        watched = []
        for row in rows:
            traces, tokens = self.rate(row)
            share = f" ({row['accepted'] / row['verified']:.0%})" if row["verified"] else ""
            rates = {"traces/s": f"{traces:.1f}", "tokens/s": f"{tokens:.0f}"}
            watched.append({**row, **rates, "accepted": f"{row['accepted']}{share}"})
        return layout(watched, WATCHED, width)

    def line(self, row: Mapping[str, Any]) -> str:
        """Return one job as a line of a log."""
        traces, tokens = self.rate(row)
        done = f"{row['job']}: {row['done']}/{row['questions']} questions, {row['traces']} traces"
        return f"{done} ({traces:.1f}/s, {tokens:.0f} tokens/s), {row['accepted']} accepted"

    def rate(self, row: Mapping[str, Any]) -> tuple[float, float]:
        """Measure traces/s and output tokens/s of one job."""
        now = time.monotonic()
        measured = self.measured.setdefault(row["job"], [])
        measured.append((now, row["traces"], int(row["tokens_out"])))
        while measured[0][0] < now - RATE_SECONDS and len(measured) > 2:
            measured.pop(0)
        start, traces, tokens = measured[0]
        if now <= start:
            return 0.0, 0.0
        return (row["traces"] - traces) / (now - start), (int(row["tokens_out"]) - tokens) / (now - start)


@jobs.command(help="Pause a job: its running questions finish, no others start. Example: tracemill jobs pause NAME")
def pause(name: Name) -> None:
    _change(name, "paused", ["filling", "running"])


@jobs.command(
    help="Resume a job that is paused or over its budget. Example: tracemill jobs resume NAME --budget-tokens 1e6"
)
def resume(
    name: Name,
    budget_tokens: Annotated[float | None, typer.Option(min=1, help="The new budget, in tokens.")] = None,
    budget_money: Annotated[float | None, typer.Option(min=0.000001, help="The new budget, in money.")] = None,
) -> None:
    job = job_named(name)
    budget, unit = (budget_tokens, "tokens") if budget_tokens is not None else (budget_money, "money")
    if budget is not None and unit != job["budget_unit"]:
        raise UsageError(f"job {name} has {'a' if job['budget_unit'] else 'no'} budget in {job['budget_unit'] or unit}")
    if job["state"] == "over_budget" and (budget or job["budget"]) <= job["spent"]:
        raise UsageError(
            f"job {name} has spent {job['spent']:g} {job['budget_unit']} of {job['budget']:g}: "
            f"set a larger budget with --budget-{job['budget_unit']}"
        )
    _change(name, "running", ["paused", "over_budget"], budget)


@jobs.command(help="End a job. Its traces are kept, and it cannot be resumed. Example: tracemill jobs cancel NAME")
def cancel(name: Name) -> None:
    _change(name, "cancelled", ["filling", "running", "paused", "over_budget"])


@jobs.command(help="Retry the failed questions of a job. Example: tracemill jobs retry NAME")
def retry(name: Name) -> None:
    job = job_named(name)
    with transaction() as connection:
        count = connection.execute(Q["retry_failed"], {"job_id": job["job_id"]}).rowcount
        connection.execute(Q["reopen_job"], {"job_id": job["job_id"]})
    print_line(f"{name}: {count} failed questions are pending again")


def saved(job: Mapping[str, Any], ends: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the traces and tokens that adaptive sampling saved in the questions that are done.

    None for a job that asks for all samples of each question.
    """
    if job["enough"] is None or not ends:
        return None
    questions = sum(row["questions"] for row in ends)
    traces = int(sum(row["traces"] for row in ends))
    tokens_per_trace = int(job["tokens_out"]) / max(1, job["traces"])
    return {
        "traces": traces,
        "traces_of_fixed": questions * job["most"],
        "share_saved": round(1 - traces / (questions * job["most"]), 4),
        "tokens_saved": round((questions * job["most"] - traces) * tokens_per_trace),
        "ended": {row["ended"]: row["questions"] for row in ends},
    }


def sampling_in_words(job: Mapping[str, Any], saving: Mapping[str, Any]) -> str:
    """Describe the limits of adaptive sampling and its saving in sentences."""
    give_up = f", given up below a chance of {job['give_up']:g}" if job["give_up"] else ""
    ended = ", ".join(f"{count} {reason}" for reason, count in saving["ended"].items())
    return (
        f"{job['enough']} accepted of at most {job['most']}, {job['batch']} at a time{give_up}. "
        f"{saving['traces']} traces instead of {saving['traces_of_fixed']}: {saving['share_saved']:.0%} saved, about "
        f"{saving['tokens_saved']} tokens. Questions ended: {ended}"
    )


def progress() -> list[dict[str, Any]]:
    """Return the rows of the view job_progress, oldest job first."""
    with transaction() as connection:
        return [dict(row) for row in connection.execute(text("select * from job_progress order by job_id")).mappings()]


def job_named(name: str) -> dict[str, Any]:
    """Return the job of that name. Raises UsageError, which lists the known jobs."""
    rows = progress()
    for row in rows:
        if row["job"] == name:
            return row
    known = ", ".join(row["job"] for row in rows) or "none yet"
    raise UsageError(f"no job '{name}'. Jobs: {known}")


def _change(name: str, state: str, allowed: list[str], budget: float | None = None) -> None:
    job = job_named(name)
    with transaction() as connection:
        changed = connection.execute(
            Q["set_job_state"], {"name": name, "state": state, "allowed": allowed, "budget": budget}
        ).scalar_one_or_none()
        if changed is not None and state != "running":
            connection.execute(Q["unqueue"], {"job_id": changed, "question_ids": None})
    if changed is None:
        raise UsageError(f"job {name} is {job['state']}: it cannot become {state}")
    print_line(f"{name} is {state}")
