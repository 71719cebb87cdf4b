"""`tracemill enqueue`: open a job for the questions of a source."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.progress import MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.interruption import explained_interrupt, this_command
from cli.jobs import ENDED, job_named
from cli.output import Json, console, print_json, print_line, progress_bar, progress_console
from cli.policies import read_policy, signals_of
from cli.question_preview import show_preview
from db.question_figures import useless_traces
from producer.job_request import (
    JobRequest,
    SourceSpec,
    budget_of,
    mapping_of,
    read_shots,
    stopping_of,
)
from producer.opening import Reading, job_spec, open_tiers, origin_job, spec_like, store_questions, tier_specs
from tracemill.errors import UsageError
from tracemill.sampling import SamplingSettings
from tracemill.sections import apply_changes, key_of


class Purpose(StrEnum):
    teach = "teach"
    evaluate = "evaluate"


class Domain(StrEnum):
    math = "math"
    code = "code"
    legal = "legal"
    medical = "medical"
    general = "general"


def register(app: typer.Typer) -> None:
    app.command(help=ENQUEUE, rich_help_panel="Jobs")(enqueue)


ENQUEUE = """Store a source's questions and open a job that answers them. Running it again resumes it.

SOURCE: a path or glob of JSON, CSV, Parquet or Arrow files, hf:name[:config][:split], gym:chain_sum?min_terms=2,
words:?size=300, or the questions of another job: job:NAME, job:NAME?failed (without an accepted trace),
job:NAME?accepted, job:NAME?escalated (each that ends without an accepted trace, as soon as it does). The test sets
gsm8k, math-500 and svamp have short names.

Usual column names and well-known layouts need no --map. THEIRS is a column, a path (gold=reward_model.ground_truth),
several columns (choices=opa,opb,opc) or a template (question={context}\\n\\n{question}). --dry-run shows the mapping
and the first questions.

Example: tracemill enqueue gsm8k.jsonl --model teacher --map gold=answer --samples 8 --limit 100

Example: tracemill enqueue gsm8k.jsonl --dry-run

Example: tracemill enqueue gsm8k.jsonl --model student --escalate teacher
Example: tracemill enqueue gsm8k.jsonl --map gold=answer --like gsm8k:teacher-cot

Example: tracemill enqueue job:gsm8k-teacher-cot?failed --method rationalize"""

Enough = Annotated[int | None, typer.Option(min=1, help="Stop a question at this many accepted traces.")]
Batch = Annotated[
    int | None, typer.Option(min=1, help="With --enough: traces requested at a time (default: a quarter).")
]
GiveUp = Annotated[
    float, typer.Option(min=0, max=0.99, help="With --enough: give a question up below this chance of success.")
]
BudgetTokens = Annotated[float | None, typer.Option(min=1, help="Stop the job at this many tokens.")]
BudgetMoney = Annotated[float | None, typer.Option(min=0.000001, help="Stop the job at this cost, in money.")]


#: Settings that `--like` takes from the other job.
OF_THE_JOB = (
    *("model", "method", "samples", "ask_as", "purpose", "examples", "temperature", "top_p", "max_tokens", "sampling"),
    *("logprobs", "judge", "judge_share", "signals", "gate", "policy", "escalate"),
)
#: A job's name. Commands show it in hints that people paste into a shell.
NAME = re.compile(r"\w[\w./-]*")


def enqueue(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="The source of the questions.")],
    model: Annotated[str, typer.Option(help="Alias of the model that answers.")] = "teacher",
    method: Annotated[str, typer.Option(help="Prompting method (`tracemill methods` lists them).")] = "cot",
    samples: Annotated[int, typer.Option(min=1, max=1024, help="Answers per question and variant of the method.")] = 4,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="OURS=THEIRS: question, gold, domain, kind or choices = a column, path or template."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The maximum number of questions.")] = None,
    name: Annotated[str | None, typer.Option(help="The job's name (default: SOURCE-MODEL-METHOD).")] = None,
    dataset: Annotated[str | None, typer.Option(help="The dataset's name (default: the source's).")] = None,
    domain: Annotated[Domain, typer.Option(help="Domain of questions without one.")] = Domain.math,
    ask_as: Annotated[Domain | None, typer.Option(help="Use this domain's prompt for all questions.")] = None,
    purpose: Annotated[Purpose, typer.Option(help="teach, or evaluate: never trained on.")] = Purpose.teach,
    examples: Annotated[Path | None, typer.Option(help="JSONL of worked examples: question, answer.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=10, help="Default: the model's own.")] = None,
    top_p: Annotated[float | None, typer.Option(min=0.01, max=1, help="Default: the model's own.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="The longest answer of each call, in tokens (default: its context).")
    ] = None,
    sampling: Annotated[
        list[str] | None,
        typer.Option("--sampling", help="KEY=VALUE, like top_k=20 or min_p=0.1."),
    ] = None,
    logprobs: Annotated[int, typer.Option(min=0, max=20, help="Likeliest tokens to store at each position.")] = 0,
    enough: Enough = None,
    batch: Batch = None,
    give_up: GiveUp = 0.0,
    budget_tokens: BudgetTokens = None,
    budget_money: BudgetMoney = None,
    priority: Annotated[int, typer.Option(help="Higher runs first; equal jobs share their model.")] = 0,
    escalate: Annotated[
        str | None,
        typer.Option(
            help="Stronger models, with commas: each answers what the one before failed, in a job of its own."
        ),
    ] = None,
    judge: Annotated[str | None, typer.Option(help="Alias of the model that judges the traces.")] = None,
    judge_share: Annotated[
        float | None, typer.Option(min=0.001, max=1, help="The share of questions whose traces are judged.")
    ] = None,
    signals: Annotated[str | None, typer.Option(help="The judge's signals, with commas (default: rating).")] = None,
    gate: Annotated[
        list[str] | None, typer.Option(help="NAME.precision=SHARE or NAME.quantile=SHARE of a signal.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="TOML file with the rules that accept a trace.")] = None,
    like: Annotated[
        str | None, typer.Option(help="Take the settings of this job, such as an arm of a pilot: PILOT:ARM.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how the source is read and what is asked; store nothing.")
    ] = False,
    json: Json = False,
) -> None:
    if name and not NAME.fullmatch(name):
        raise UsageError(f"--name {name!r}: use letters, digits, and . _ / - after the first one")
    if like is not None and (given := flags_given(context, (*OF_THE_JOB, "dry_run"))):
        raise UsageError(f"--like {like} and {given[0]} exclude each other: the job has its own settings")
    flags = {"judge": judge, "judge_share": judge_share, "signals": signals_of(signals) if signals else None}
    request = JobRequest(
        source=SourceSpec(source, mapping_of(map_ or []), domain.value, dataset, limit),
        name=name,
        purpose=purpose.value,
        model=model,
        method=method,
        shots=read_shots(examples),
        ask_as=ask_as.value if ask_as else None,
        samples=samples,
        sampling=read_sampling(sampling or [], temperature=temperature, top_p=top_p, max_tokens=max_tokens),
        logprobs=logprobs,
        stopping=stopping_of(enough, batch, give_up),
        budget=budget_of(budget_tokens, budget_money),
        policy=read_policy(policy, flags, gate or []),
        priority=priority,
        escalate=tuple(alias.strip() for alias in (escalate or "").split(",") if alias.strip()),
    )
    if dry_run:
        from producer.preview import preview  # it imports the checks, which takes a tenth of a second

        show_preview(preview(request), json)
        return
    spec = job_spec(request) if like is None else spec_like(like, request)
    tiers = [tier.name for tier in tier_specs(request, spec.name)]
    for signal in spec.policy.gates:
        if reason := spec.policy.uninformative.get(signal):
            measure = f"tracemill calibrate --judge {spec.policy.judge} FILE"
            print_line(f"the gate on {signal} is ignored: {reason}. Measure the judge: {measure}", progress_console)
    remarks: list[str] = []
    with explained_interrupt(
        f"job {spec.name} keeps the questions that are stored so far, and workers answer them.",
        f"Store the rest: {this_command()}. End the job: tracemill jobs cancel {spec.name}",
    ):
        stored = store_questions(request.source, spec, warning_bar(spec.name), remark=remarks.append)
    for sentence in remarks:
        print_line(sentence, progress_console)
    for problem in stored.problems:
        print_line(f"left out {problem.where}: {problem.what}", progress_console)
    if stored.bad > len(stored.problems):
        progress_console.print(f"… and {stored.bad - len(stored.problems)} more rows left out")
    if not stored.read and not spec.escalates:
        raise UsageError(f"{source}: no readable question in it")
    open_tiers(request, spec.name)
    if spec.from_job_id is None and not stored.golds and spec.policy.correct and spec.policy.majority is None:
        print_line(
            "no question has a gold answer, so no trace can be accepted. Name its column (--map gold=COLUMN) in a job "
            "with another --name, or let the samples vote: --policy FILE with `majority = 0.6`",
            progress_console,
        )
    if stored.unchanged:
        print_line(
            f"{stored.unchanged} questions of dataset {request.source.name} were stored earlier with another domain or "
            "kind, and keep it. To store them as given here, repeat the command with another --dataset and --name",
            progress_console,
        )
    origin = origin_job(source) if "?" in source and not spec.escalates else None
    if origin and job_named(origin)["state"] not in ENDED:
        print_line(f"job {origin} has not ended: repeat the command when it has, to add the rest", progress_console)
    if json:
        counts = {"questions": stored.read, "new": stored.new, "left_out": stored.bad}
        print_json({"job": spec.name} | counts | ({"tiers": tiers} if tiers else {}))
    else:
        console.print(
            f"job {spec.name}: {stored.read} questions read, {stored.new} new, {stored.bad} left out. "
            f"Watch it: tracemill jobs watch {spec.name}",
            markup=False,
            soft_wrap=True,
        )
        for before, tier, alias in zip([spec.name, *tiers], tiers, request.escalate, strict=False):
            print_line(f"job {tier}: {alias} answers each question that ends without an accepted trace in {before}")


def flags_given(context: typer.Context, names: Sequence[str]) -> list[str]:
    """Return the flags on the command line that set these parameters."""
    sources = {name: context.get_parameter_source(name) for name in names}
    return [
        f"--{name.replace('_', '-')}" for name, source in sources.items() if source and source.name == "COMMANDLINE"
    ]


def read_sampling(changes: Sequence[str], **flags: float | None) -> SamplingSettings:
    """Read the flags of sampling. Raises UsageError that names a wrong key."""
    values: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    apply_changes(values, changes, "--sampling", "top_k=20")
    try:
        return SamplingSettings.model_validate(values)
    except ValidationError as error:
        problems = (f"{key_of(problem['loc'])}: {problem['msg']}" for problem in error.errors())
        raise UsageError(f"--sampling: {'; '.join(problems)}") from None


def warning_bar(job: str) -> Reading:
    """Build a progress bar that also warns once if the first answers that arrive meanwhile are useless."""

    @contextmanager
    def reading(source: SourceSpec) -> Iterator[Callable[[int], None]]:
        warnings: list[str] = []

        def report(read: int) -> None:
            show(read)
            if not warnings and (warning := useless_traces(job)):
                warnings.append(warning)
                print_line(warning, progress_console)

        with reading_bar(source) as show:
            yield report

    return reading


@contextmanager
def reading_bar(source: SourceSpec) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr while a source is read."""
    columns = (SpinnerColumn(), TextColumn("reading {task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with progress_bar(*columns) as bar:
        task = bar.add_task(source.address, total=source.limit)
        yield lambda read: bar.update(task, completed=read)
