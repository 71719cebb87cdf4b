"""`tracemill enqueue`: questions from anywhere become a job."""

import json as jsonlib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.jobs import one
from cli.output import Json, console, print_json, progress_console
from cli.policies import informed, read_policy, signals_of
from db.jobs import JobSpec
from tracemill.errors import UsageError
from tracemill.settings import model as model_settings

if TYPE_CHECKING:
    from producer.enqueue import Enqueued
    from tracemill.methods import Shot


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

SOURCE: a JSONL, CSV or Parquet path or glob, hf:name[:config][:split], gym:chain_sum?min_terms=2, words:?size=300, or
the questions of another job: job:NAME, job:NAME?failed (without an accepted trace), job:NAME?accepted. The test sets
gsm8k, math-500 and svamp go by their names.

Example: tracemill enqueue gsm8k.jsonl --model teacher --map gold=answer --samples 8 --limit 100

Example: tracemill enqueue job:gsm8k-teacher-cot?failed --method rationalize"""

Enough = Annotated[int | None, typer.Option(min=1, help="Stop a question at so many accepted traces.")]
Batch = Annotated[
    int | None, typer.Option(min=1, help="With --enough: traces asked for at a time (default: a quarter).")
]
GiveUp = Annotated[
    float, typer.Option(min=0, max=0.99, help="With --enough: give a question up when its chance is below this.")
]
BudgetTokens = Annotated[float | None, typer.Option(min=1, help="Stop the job when it has cost so many tokens.")]
BudgetMoney = Annotated[float | None, typer.Option(min=0.000001, help="… or so much money, by the model's prices.")]


def enqueue(
    source: Annotated[str, typer.Argument(help="Where the questions are.")],
    model: Annotated[str, typer.Option(help="Model alias that answers.")] = "teacher",
    method: Annotated[str, typer.Option(help="Way of asking (`tracemill methods` lists them).")] = "cot",
    samples: Annotated[int, typer.Option(min=1, max=1024, help="Answers per question, of each variant.")] = 4,
    map_: Annotated[
        list[str] | None, typer.Option("--map", help="OURS=THEIRS: question, gold, domain, kind or choices.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many questions.")] = None,
    name: Annotated[str | None, typer.Option(help="The job's name (default: made of source, model, method).")] = None,
    dataset: Annotated[str | None, typer.Option(help="The dataset's name (default: the source's).")] = None,
    domain: Annotated[Domain, typer.Option(help="Domain of questions that bring none.")] = Domain.math,
    ask_as: Annotated[Domain | None, typer.Option(help="Ask all questions in this domain's way.")] = None,
    purpose: Annotated[Purpose, typer.Option(help="evaluate: measured, never trained on.")] = Purpose.teach,
    examples: Annotated[Path | None, typer.Option(help="JSONL of question, answer: shown to the model first.")] = None,
    temperature: Annotated[float, typer.Option(min=0, max=10)] = 0.7,
    top_p: Annotated[float, typer.Option(min=0.01, max=1)] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, of each call.")] = 512,
    logprobs: Annotated[int, typer.Option(min=0, max=20, help="Keep so many likeliest tokens at each place.")] = 0,
    enough: Enough = None,
    batch: Batch = None,
    give_up: GiveUp = 0.0,
    budget_tokens: BudgetTokens = None,
    budget_money: BudgetMoney = None,
    priority: Annotated[int, typer.Option(help="Higher goes first; jobs of the same share their model.")] = 0,
    judge: Annotated[str | None, typer.Option(help="Model alias that judges the traces.")] = None,
    judge_share: Annotated[
        float | None, typer.Option(min=0.001, max=1, help="Share of the questions whose traces it sees.")
    ] = None,
    signals: Annotated[str | None, typer.Option(help="Asked about each, with commas (default: rating).")] = None,
    gate: Annotated[list[str] | None, typer.Option(help="NAME=LEAST: a signal's least value, if informative.")] = None,
    policy: Annotated[Path | None, typer.Option(help="TOML file: what makes a trace accepted.")] = None,
    json: Json = False,
) -> None:
    from tracemill.methods import named, prompts

    used = model_settings(model)
    way = named(method)
    flags = {"judge": judge, "judge_share": judge_share, "signals": signals_of(signals) if signals else None}
    asked = informed(read_policy(policy, flags, gate or []))
    origin = job_source(source)
    if "trace" in way.needs and origin is None:
        raise UsageError(f"method {method} quotes the traces of another job: name it as the source, job:NAME")
    budget, unit = _budget(budget_tokens, budget_money, model, used.price_in + used.price_out)
    dataset = dataset or source_name(source)
    templates = prompts(way, read_shots(examples))
    most = samples * len(templates["general"])
    if enough is None and (batch is not None or give_up):
        raise UsageError("--batch and --give-up belong to adaptive sampling: say --enough as well")
    if enough is not None and enough > most:
        raise UsageError(f"--enough {enough} is more than the {most} traces that a question gets at most (--samples)")
    spec = JobSpec(
        name=name or f"{dataset}-{model}-{method}",
        purpose=purpose.value,
        model=model,
        method=method,
        prompts=templates,
        ask_as=ask_as.value if ask_as else None,
        from_job_id=origin.job_id if origin else None,
        negative=way.negative,
        samples=samples,
        enough=enough,
        batch=(batch or max(1, most // 4)) if enough is not None else None,
        give_up=give_up,
        budget=budget,
        budget_unit=unit,
        sampling={
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_tokens,
            "stop": [],
            **({"logprobs": logprobs} if logprobs else {}),
        },
        policy=asked,
        source=source,
        priority=priority,
    )
    for name in asked.gates:
        if why := asked.uninformative.get(name):
            progress_console.print(f"the gate on {name} is ignored: {why}", markup=False)
    done = store(source, origin, spec, dataset, domain, mapping(map_ or []), limit)
    for problem in done.problems:
        progress_console.print(f"left out {problem.where}: {problem.what}", markup=False)
    if done.bad > len(done.problems):
        progress_console.print(f"… and {done.bad - len(done.problems)} more rows left out")
    if not done.read:
        raise UsageError(f"{source}: not one readable question in it")
    if json:
        print_json({"job": spec.name, "questions": done.read, "new": done.new, "left_out": done.bad})
    else:
        console.print(
            f"job {spec.name}: {done.read} questions read, {done.new} new, {done.bad} left out. "
            f"Watch it: tracemill jobs watch {spec.name}",
            markup=False,
            soft_wrap=True,
        )


def store(
    source: str,
    origin: "Origin | None",
    spec: JobSpec,
    dataset: str,
    domain: Domain,
    columns: dict[str, str],
    limit: int | None,
) -> "Enqueued":
    """Store the questions of the source, or of the job it names, and open the job; a progress bar on stderr."""
    from producer.enqueue import enqueue as store_all
    from producer.enqueue import enqueue_from
    from producer.sources import open_source

    if origin is not None:
        return enqueue_from(spec, accepted=origin.accepted, limit=limit)
    rows = open_source(source, mapping=columns, limit=limit)
    with Progress(
        SpinnerColumn(), TextColumn("reading {task.description}"), MofNCompleteColumn(), TimeElapsedColumn(),
        console=progress_console, transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task(source, total=limit)
        return store_all(
            rows,
            spec,
            dataset=dataset,
            domain=domain.value,
            progress=lambda so_far: bar.update(task, completed=so_far.read),
        )


class Origin(NamedTuple):
    """Another job, and which of its questions: those with an accepted trace, those without, or (null) all."""

    job_id: int
    accepted: bool | None


def job_source(source: str) -> Origin | None:
    """What `job:NAME[?failed|?accepted]` names; null for others. Raises UsageError if there is no such job."""
    scheme, colon, rest = source.partition(":")
    if scheme != "job" or not colon:
        return None
    name, _, which = rest.rpartition("?") if "?" in rest else (rest, "", "")
    filters = {"": None, "failed": False, "accepted": True}
    if which not in filters:
        raise UsageError(f"{source}: write job:NAME, job:NAME?failed or job:NAME?accepted")
    return Origin(one(name)["job_id"], filters[which])


def _budget(
    tokens: float | None, money: float | None, alias: str, prices: float
) -> "tuple[float | None, Literal['tokens', 'money'] | None]":
    if tokens is not None and money is not None:
        raise UsageError("--budget-tokens and --budget-money: a job has one budget")
    if money is not None and not prices:
        raise UsageError(f"--budget-money: model {alias} has no prices. Set price_in, price_out in [models.{alias}]")
    if tokens is not None:
        return tokens, "tokens"
    return money, None if money is None else "money"


def mapping(pairs: list[str]) -> dict[str, str]:
    """`OURS=THEIRS` pairs as a dictionary. Raises UsageError for anything else."""
    found: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not equals or ours not in ("question", "gold", "domain", "kind", "choices") or not theirs:
            raise UsageError(f"--map {pair}: write OURS=THEIRS with OURS one of question, gold, domain, kind, choices")
        found[ours] = theirs
    return found


def source_name(source: str) -> str:
    """A short name for a source: a file's stem, or the scheme and name of a generated one."""
    head = source.split("?")[0]
    name = Path(head).name.split(".")[0] if "/" in head or "." in head else head
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name).strip("-") or "questions"


def read_shots(path: Path | None) -> "list[Shot]":
    """The worked examples of a JSONL file. Raises UsageError with the line that is wrong."""
    from tracemill.methods import Shot

    if path is None:
        return []
    if not path.is_file():
        raise UsageError(f"no such file: {path} (--examples)")
    shots: list[Shot] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = jsonlib.loads(line)
            shots.append(Shot(str(row["question"]), str(row["answer"])))
        except (ValueError, KeyError, TypeError):
            raise UsageError(f'{path}:{number}: each line is {{"question": "…", "answer": "…"}}') from None
    return shots
