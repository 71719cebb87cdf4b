"""`tracemill jobs`: list, show, watch, pause, resume, cancel, retry and delete jobs; leave out failed questions."""

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text
from sqlalchemy import text

from cli.deletion import DELETE, delete_job
from cli.figures import figure, rough_duration
from cli.interruption import explained_interrupt, this_command
from cli.job_figures import named_defaults, print_tiers, sampling_in_words, saved
from cli.output import Json, console, layout, print_facts, print_json, print_line, print_rows, progress_console
from cli.policies import in_words
from db.diagnosis import job_reasons, sentences, why_idle
from db.queries import Q
from db.question_figures import FIRST_QUESTIONS, useless_traces
from db.session import reader, transaction
from tracemill.errors import UsageError, unknown_name
from tracemill.policy import Policy

jobs = typer.Typer(
    help="Jobs: list, show, watch, pause, resume, cancel, retry, leave-out, delete.", invoke_without_command=True
)

Name = Annotated[str, typer.Argument(help="The job's name.")]
#: Seconds between two reports, on a terminal and elsewhere.
LIVE_SECONDS, LINE_SECONDS = 1.0, 5.0
#: The longest wait between two looks at the jobs, in seconds.
POLL_SECONDS = 1.0
#: An estimate rests on the questions settled in the last 5 minutes, and on at least 5 seconds.
ESTIMATE_SECONDS, MIN_ESTIMATE_SECONDS = 300, 5
#: The largest number of traces that `jobs show` reads without --all.
MAX_READ = 200_000
#: Traces and tokens a second are measured over this many seconds.
RATE_SECONDS = 10
#: States in which a job is watched no longer.
ENDED = ("done", "over_budget", "cancelled", "deleting")
ACCEPTANCE = text(
    "select * from acceptance where job = :name "
    "order by variant, domain, array_position('{easy,medium,hard}', difficulty)"
)
MODELS = text(
    "select model_hash, traces, first_at, last_at, settings from job_models where job = :name order by first_at"
)
TIERS = text(
    "select * from job_tiers where first_job in (select first_job from job_tiers where job = :name) order by tier, job"
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
COLUMNS = ("job", "purpose", "state", "model", "done", "failed", "traces", "accepted", "tokens_out")
WATCHED = ("job", "state", "done", "failed", "traces", "traces/s", "tokens/s", "accepted")
#: The columns that a narrow terminal does not show.
OPTIONAL = ("purpose", "tokens_out", "traces/s", "tokens/s", "model", "failed")


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
        print_rows(map(with_total, rows), COLUMNS, optional=OPTIONAL)
        for sentence in sentences(reasons):
            print_line(sentence)


@jobs.command(help="Show everything about one job. Example: tracemill jobs show gsm8k-teacher-cot")
def show(
    name: Name,
    every: Annotated[
        bool, typer.Option("--all", help=f"Also the tables that read all traces, if there are more than {MAX_READ:,}.")
    ] = False,
    json: Json = False,
) -> None:
    job = job_named(name)
    every = every or job["traces"] <= MAX_READ
    with transaction() as connection:
        settings = dict(connection.execute(Q["job_by_name"], {"name": name}).mappings().one())
        key = {"job_id": job["job_id"]}
        errors = [dict(row) for row in connection.execute(Q["job_errors"], key).mappings()]
        canaries = [dict(row) for row in connection.execute(Q["job_canaries"], key).mappings()]
        ends = [dict(row) for row in connection.execute(Q["question_ends"], key).mappings()] if every else []
        prompts = [dict(row) for row in connection.execute(Q["job_prompts"], key).mappings()]
    with reader() as connection:
        costs = [dict(row) for row in connection.execute(ACCEPTANCE, {"name": name}).mappings()] if every else []
        models = [dict(row) for row in connection.execute(MODELS, {"name": name}).mappings()] if every else []
        tiers = [dict(row) for row in connection.execute(TIERS, {"name": name}).mappings()]
    whole = job | {column: settings[column] for column in ("source", "sampling", "verifier", "ask_as", "give_up")}
    sampling = saved(job, ends)
    if json:
        more = {"policy": settings["policy"], "canaries": canaries, "errors": errors, "adaptive": sampling}
        more |= {"acceptance": costs, "tiers": tiers, "ends": ends, "prompts": prompts, "models": models}
        print_json(whole | more)
        return
    policy = Policy.model_validate(settings["policy"])
    whole = {name: value for name, value in whole.items() if policy.judge or value or not name.startswith("judge_")}
    whole["sampling"] = named_defaults(settings["sampling"])
    whole |= in_words(policy, canaries)
    if sampling:
        whole["adaptive sampling"] = sampling_in_words(settings, sampling)
    print_facts(whole)
    if costs:
        print_rows(costs, COSTS, title="accepted traces and their cost")
    print_tiers(tiers)
    if len(models) > 1:
        title = f"the settings of model {job['model']} changed while it answered (settings: the view job_models)"
        print_rows(models, ("model_hash", "traces", "first_at", "last_at"), title=title)
    if not every:
        print_line(f"--all also prints the cost of accepted traces: it reads all {job['traces']:,} traces")
    if errors:
        print_rows(errors, ("questions", "last_error"), title="errors")
    if job["done"] >= FIRST_QUESTIONS and (warning := useless_traces(name)):
        print_line(warning)


WATCH = """Show progress until the job is done, over its budget or cancelled.

Without a name it follows the jobs that have not ended, and jobs that open meanwhile. On a terminal it is a live table,
otherwise a line every few seconds. --json prints one line of JSON for each report. The time left rests on the questions
that were settled in the last 5 minutes of watching.

Example: tracemill jobs watch"""


@jobs.command(help=WATCH)
def watch(
    name: Annotated[str | None, typer.Argument(help="The job's name.")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds between two reports (default: 1, or 5 without a terminal).")
    ] = None,
    json: Json = False,
) -> None:
    if name:
        job_named(name)
    subject = f"job {name} continues" if name else "all jobs continue"
    with explained_interrupt(f"{subject} without this terminal. Watch again: {this_command()}"):
        follow([name] if name else None, seconds, console, json)


def follow(
    names: list[str] | None, seconds: float | None = None, out: Console = progress_console, json: bool = False
) -> None:
    """Show the named jobs until they have ended. None: those that are open, or all jobs if none is open.

    On a terminal this is a live table. Otherwise it prints a line each time, and the table at the end. With `json` it
    prints only a line of JSON each time.
    """
    rates = Rates()
    is_live = out.is_terminal and not json
    seconds = seconds or (LIVE_SECONDS if is_live else LINE_SECONDS)
    watched: set[str] = set(names or ())
    reported: list[str] = []
    checked: dict[str, str | None] = {}
    next_report = 0.0
    with Live(console=out, auto_refresh=False, transient=True) if is_live else nullcontext() as live:
        while True:
            every = progress()
            if names is None:
                watched |= {row["job"] for row in every if row["state"] not in ENDED} or (
                    set() if watched else {row["job"] for row in every}
                )
            rows = [row for row in every if row["job"] in watched]
            estimates = {row["job"]: rates.estimate(row) for row in rows}
            reasons = why_idle(rows)
            known = [f"{job}: {estimate.in_words()}" for job, estimate in estimates.items() if estimate]
            for row in rows:
                if row["done"] >= FIRST_QUESTIONS and row["job"] not in checked:
                    checked[row["job"]] = useless_traces(row["job"])
            warnings = [warning for warning in checked.values() if warning]
            table = Group(rates.table(rows, out.width), *map(Text, (*known, *reasons, *warnings)))
            has_ended = all(row["state"] in ENDED for row in rows)
            states = [row["state"] for row in rows]
            if time.monotonic() >= next_report or states != reported:
                next_report = time.monotonic() + seconds
                if live is not None:
                    live.update(table, refresh=True)
                elif json:
                    reports = [_report(row, rates, estimates[row["job"]]) for row in rows]
                    print_json({"jobs": reports, "why": reasons, "warnings": warnings})
                    sys.stdout.flush()
                elif reported or not has_ended:
                    print_line("; ".join([*map(rates.line, rows), *known, *reasons, *warnings]), out)
                reported = states
            if has_ended:
                break
            time.sleep(min(seconds, POLL_SECONDS))
    if not json:
        out.print(table)


def with_total(row: Mapping[str, Any]) -> dict[str, Any]:
    """The job with its questions that are done and all its questions in one cell."""
    return {**row, "done": f"{row['done']} of {row['questions']}"}


def _report(row: Mapping[str, Any], rates: "Rates", estimate: "Estimate | None") -> dict[str, Any]:
    traces, tokens = rates.rate(row)
    figures = {"traces_per_second": round(traces, 3), "tokens_per_second": round(tokens, 1)}
    return {**row, **figures, "estimate": estimate._asdict() if estimate else None}


class Estimate(NamedTuple):
    """The time until a job is done, and the rate that it rests on."""

    seconds_left: float
    questions_per_minute: float
    #: The time over which the rate was measured.
    measured_seconds: float

    def in_words(self) -> str:
        per_minute = figure(float(f"{self.questions_per_minute:.2g}"))
        rate = f"{per_minute} questions/min in the last {rough_duration(self.measured_seconds)}"
        return f"about {rough_duration(self.seconds_left)} left ({rate})"


class Rates:
    """Traces and tokens a second of each job, over the last RATE_SECONDS."""

    def __init__(self) -> None:
        #: For each job: the time, traces and output tokens of each measurement.
        self.measured: dict[str, list[tuple[float, int, int]]] = {}
        #: For each job: the time and the settled questions of each measurement.
        self.settled: dict[str, list[tuple[float, int]]] = {}

    def table(self, rows: Sequence[Mapping[str, Any]], width: int) -> RenderableType:
        """Lay out the jobs with their rates."""
        watched = []
        for row in rows:
            traces, tokens = self.rate(row)
            share = f" ({row['accepted'] / row['verified']:.0%})" if row["verified"] else ""
            rates = {"traces/s": f"{traces:.1f}", "tokens/s": f"{tokens:.0f}"}
            watched.append({**with_total(row), **rates, "accepted": f"{row['accepted']}{share}"})
        return layout(watched, WATCHED, width, optional=OPTIONAL)

    def line(self, row: Mapping[str, Any]) -> str:
        """Return one job as a line of a log."""
        traces, tokens = self.rate(row)
        state = "" if row["state"] == "running" else f"{row['state']}, "
        done = f"{row['job']}: {state}{row['done']}/{row['questions']} questions, {row['traces']} traces"
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

    def estimate(self, row: Mapping[str, Any]) -> Estimate | None:
        """Estimate the time left of one job. None unless it runs and questions were settled while it was watched."""
        now, settled = time.monotonic(), row["done"] + row["failed"]
        history = self.settled.setdefault(row["job"], [])
        history.append((now, settled))
        while history[0][0] < now - ESTIMATE_SECONDS and len(history) > 2:
            history.pop(0)
        start, before = history[0]
        seconds = now - start
        if row["state"] != "running" or settled <= before or seconds < MIN_ESTIMATE_SECONDS:
            return None
        per_second = (settled - before) / seconds
        return Estimate(
            round((row["questions"] - settled) / per_second, 1), round(60 * per_second, 3), round(seconds, 1)
        )


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
            f"job {name} has spent {figure(job['spent'])} {job['budget_unit']} of {figure(job['budget'])}: "
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


@jobs.command(
    "leave-out", help="Measure an evaluation without its failed questions. Example: tracemill jobs leave-out NAME"
)
def leave_out(name: Name) -> None:
    job = job_named(name)
    if job["purpose"] != "evaluate":
        raise UsageError(f"job {name} is no evaluation: only an evaluation leaves out failed questions")
    with transaction() as connection:
        connection.execute(Q["leave_out_failed"], {"job_id": job["job_id"]})
    print_line(f"{name}: its evaluation leaves out failed questions ({job['failed']} now)")


@jobs.command(help=DELETE)
def delete(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Also if ended rounds or jobs used its traces.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    delete_job(job_named(name), force=force, yes=yes)


def progress() -> list[dict[str, Any]]:
    """Return the rows of the view job_progress, oldest job first."""
    with transaction() as connection:
        return [dict(row) for row in connection.execute(text("select * from job_progress order by job_id")).mappings()]


def job_named(name: str) -> dict[str, Any]:
    """Return the job of that name. Raises UsageError, which names known jobs."""
    rows = progress()
    for row in rows:
        if row["job"] == name:
            return row
    raise unknown_name("job", name, [row["job"] for row in rows])


def _change(name: str, state: str, allowed: list[str], budget: float | None = None) -> None:
    job = job_named(name)
    with transaction() as connection:
        changed = connection.execute(
            Q["set_job_state"], {"name": name, "state": state, "allowed": allowed, "budget": budget}
        ).one_or_none()
        if changed is not None:  # messages of a paused job may be used up, and slices may exceed a new budget
            connection.execute(Q["end_slices"], {"job_id": changed.id})
            connection.execute(Q["unqueue"], {"job_id": changed.id, "question_ids": None})
            for from_job_id in (changed.id, changed.from_job_id):  # what ended while a tier was paused
                connection.execute(Q["escalate"], {"job_id": from_job_id, "question_ids": None})
    if changed is None and job["state"] == state:
        raise UsageError(f"job {name} is already {state}")
    if changed is None:
        ending = "to go on, repeat `tracemill enqueue` with another --name" if job["state"] == "cancelled" else ""
        raise UsageError(f"job {name} is {job['state']}: {ending or f'it cannot become {state}'}")
    print_line(f"{name} is {state}")
