"""`tracemill pilot`: compare models, methods and temperatures on a sample before a job is paid for."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.enqueue import NAME, Domain, read_sampling, reading_bar
from cli.figures import figure
from cli.interruption import explained_interrupt, this_command
from cli.jobs import follow, job_named
from cli.output import Json, print_json, print_line, print_rows
from cli.pictures import can_draw, check_picture
from cli.policies import read_policy
from db.question_figures import question_figures
from db.session import transaction
from producer.job_request import JobRequest, SourceSpec, mapping_of, read_shots
from producer.pilot import MIN_QUESTIONS, Sample, open_pilot, requests_of_arms
from producer.pilot_forecast import ArmForecast, ArmTraces, Recommendation, forecast, recommend
from tracemill.errors import TracemillError, UsageError
from tracemill.settings import settings
from tracemill.statistics import Interval

PILOT = """Try models, methods and temperatures on a sample of a source, and forecast the whole source.

Each combination is an arm. All arms answer the same questions, drawn by --seed. If the source has a column difficulty
or level, each value of it has its share of the sample. An arm is an ordinary job, PILOT:ARM. Running the command again
resumes the pilot. `tracemill enqueue SOURCE --like PILOT:ARM` opens a job with the settings of an arm.

Example: tracemill pilot gsm8k.jsonl --map gold=answer --method cot --method stepwise

Example: tracemill pilot gsm8k.jsonl --model teacher --model large --temperature 0.3 --temperature 0.7"""


def register(app: typer.Typer) -> None:
    app.command(help=PILOT, rich_help_panel="Jobs")(pilot)


def pilot(
    source: Annotated[str, typer.Argument(help="The source of the questions, as for `tracemill enqueue`.")],
    model: Annotated[list[str] | None, typer.Option(help="Alias of a model (default: teacher). Repeatable.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Prompting method (default: cot). Repeatable.")] = None,
    temperature: Annotated[
        list[float] | None, typer.Option(min=0, max=10, help="Default: the model's own. Repeatable.")
    ] = None,
    questions: Annotated[int, typer.Option(min=MIN_QUESTIONS, max=10_000, help="Questions in the sample.")] = 50,
    samples: Annotated[int, typer.Option(min=1, max=1024, help="Answers per question and variant of the method.")] = 4,
    enough: Annotated[
        int, typer.Option(min=1, help="Accepted traces at which adaptive sampling would stop a question.")
    ] = 1,
    map_: Annotated[list[str] | None, typer.Option("--map", help="OURS=THEIRS, as for `tracemill enqueue`.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Draw from the first LIMIT questions, and forecast them.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The pilot's name (default: the dataset's).")] = None,
    dataset: Annotated[str | None, typer.Option(help="The dataset's name (default: the source's).")] = None,
    domain: Annotated[Domain, typer.Option(help="Domain of questions without one.")] = Domain.math,
    examples: Annotated[Path | None, typer.Option(help="JSONL of worked examples: question, answer.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="The longest answer of each call, in tokens (default: its context).")
    ] = None,
    sampling: Annotated[list[str] | None, typer.Option("--sampling", help="KEY=VALUE, like top_k=20.")] = None,
    policy: Annotated[Path | None, typer.Option(help="TOML file with the rules that accept a trace.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other questions.")] = 0,
    picture: Annotated[
        Path | None, typer.Option(help="Picture to write, .svg or .png (default: pilots/NAME.svg in the data folder).")
    ] = None,
    json: Json = False,
) -> None:
    if name and not NAME.fullmatch(name):
        raise UsageError(f"--name {name!r}: use letters, digits, and . _ / - after the first one")
    spec = SourceSpec(source, mapping_of(map_ or []), domain.value, dataset, limit)
    name = name or spec.name
    base = JobRequest(
        source=spec,
        name=name,
        shots=read_shots(examples),
        samples=samples,
        sampling=read_sampling(sampling or [], max_tokens=max_tokens),
        policy=read_policy(policy, {}, []),
    )
    requests = requests_of_arms(base, model or ["teacher"], method or ["cot"], temperature or [])
    if picture is not None or can_draw():
        picture = picture or settings().data_dir / "pilots" / f"{name}.svg"
        check_picture(picture)
    with explained_interrupt(f"the arms continue without this terminal. See the result: {this_command()}"):
        sample = open_pilot(requests, questions, seed, reading_bar)
        jobs = [str(request.name) for request in requests]
        follow(jobs)
    arms = [traces_of(job, sample) for job in jobs]
    if not any(arm.rows for arm in arms):
        raise TracemillError(f"no arm has an answered question. The errors: tracemill jobs show {jobs[0]}")
    forecasts = [forecast(arm, sample.n_source, enough) for arm in arms]
    recommendation = recommend(arms, forecasts)
    if picture is not None:
        from cli.pilot_picture import draw

        draw(picture, f"Pilot {name}: {len(sample.questions)} of {sample.n_source} questions of {source}", forecasts)
    if json:
        print_json(
            {
                "pilot": name,
                "source": source,
                "questions": len(sample.questions),
                "of": sample.n_source,
                "left_out": sample.n_left_out,
                "strata": sample.strata,
                "enough": enough,
                "arms": [as_json(arm) for arm in forecasts],
                "recommendation": recommendation and as_json(recommendation),
                "picture": picture,
            }
        )
        return
    print_forecasts(name, sample, forecasts, enough)
    for sentence in advice(spec, forecasts, recommendation):
        print_line(sentence)
    print_line(f"Picture: {picture}" if picture else "No picture: pip install 'tracemill[pictures]'")


def traces_of(job: str, sample: Sample) -> ArmTraces:
    """Return the traces of an arm to the questions of the sample."""
    progress, hashes = job_named(job), set(sample.hashes)
    with transaction() as connection:
        rows = [row for row in question_figures(connection, job) if row.content_hash in hashes]
    return ArmTraces(progress, rows, len(hashes) - len(rows))


def print_forecasts(name: str, sample: Sample, forecasts: Sequence[ArmForecast], enough: int) -> None:
    """Print one table of the sample, one of the whole source, and one of the answers that fail."""
    strata = ", ".join(f"{difficulty} {count}" for difficulty, count in sample.strata.items())
    by_difficulty = f", by difficulty: {strata}" if strata else ""
    left_out = f"; {sample.n_left_out} rows left out" if sample.n_left_out else ""
    print_line(f"pilot {name}: {len(sample.questions)} of {sample.n_source:,} questions{by_difficulty}{left_out}")
    rows = [
        {
            "arm": arm.job.removeprefix(f"{name}:"),
            "accepted %": percent(arm.accepted_share),
            "tokens per accepted": amount(arm.tokens_per_accepted),
            "cost per accepted": amount(arm.cost_per_accepted),
            "accepted traces": amount(arm.accepted),
            "tokens": amount(arm.tokens),
            "cost": amount(arm.cost),
            "engine time": duration(arm.engine_seconds),
            "bare": percent(arm.bare),
            "cut off": percent(arm.cut_off),
            "malformed": percent(arm.malformed),
            "questions with an accepted trace %": percent(arm.answered_share),
            "adaptive sampling saves %": percent(arm.adaptive_saving),
        }
        for arm in forecasts
    ]
    costs = ("cost per accepted", "cost") if any(arm.cost for arm in forecasts) else ()
    print_rows(
        rows,
        ("arm", "accepted %", "tokens per accepted", *costs[:1]),
        title="Accepted traces, with 95 % intervals",
        optional=costs[:1],
    )
    print_rows(
        rows,
        ("arm", "accepted traces", "tokens", *costs[1:], "engine time"),
        title=f"A job over all {sample.n_source:,} questions",
        optional=("accepted traces", "tokens") if costs else ("accepted traces",),
    )
    print_rows(rows, ("arm", "bare", "cut off", "malformed"), title="Answers that fail, % of traces")
    print_rows(
        rows,
        ("arm", "questions with an accepted trace %", "adaptive sampling saves %"),
        title=f"With --enough {enough}: a question ends at {enough} accepted",
    )


def advice(source: SourceSpec, forecasts: Sequence[ArmForecast], recommendation: Recommendation | None) -> list[str]:
    """Return the sentences below the tables: the missing answers, the arm to take, and the command that takes it."""
    sentences = [
        f"{arm.job}: {arm.missing} questions have no answer: tracemill jobs show {arm.job}"
        for arm in forecasts
        if arm.missing
    ]
    if recommendation is None:
        return [*sentences, "no arm has an accepted trace, so none is recommended"]
    sentences.append(f"take {recommendation.job}: its accepted traces are cheapest, by {recommendation.by}")
    for job, ratio in recommendation.alike.items():
        times = f": {amount(ratio)} times its {recommendation.by} for an accepted trace" if ratio else ""
        sentences.append(f"the pilot cannot tell {job} from it{times}. More --questions can")
    return [*sentences, enqueue_command(source, recommendation.job)]


def enqueue_command(source: SourceSpec, job: str) -> str:
    """Return the command that opens a job like an arm over the same source, ready to be pasted into a shell."""
    words = ["tracemill", "enqueue", source.address]
    words += [word for ours, theirs in source.mapping.items() for word in ("--map", f"{ours}={theirs}")]
    if source.limit is not None:
        words += ["--limit", str(source.limit)]
    if source.dataset is not None:
        words += ["--dataset", source.dataset]
    if source.domain != SourceSpec.domain:
        words += ["--domain", source.domain]
    return shlex.join([*words, "--like", job])


def percent(interval: Interval | None) -> str:
    return with_interval(interval, 0.01)


def amount(interval: Interval | None) -> str:
    """Format an estimate with its interval, like `384 [352, 416]k`."""
    units = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
    size, unit = next((pair for pair in units if interval and interval.value >= 10 * pair[0]), (1.0, ""))
    return with_interval(interval, size, unit)


def duration(seconds: Interval | None) -> str:
    """Format a time with its interval in one unit."""
    units = ((3600.0, " h"), (60.0, " min"))
    size, unit = next((pair for pair in units if seconds and seconds.value >= 2 * pair[0]), (1.0, " s"))
    return with_interval(seconds, size, unit)


def with_interval(interval: Interval | None, size: float, unit: str = "") -> str:
    """Format an estimate with three significant digits, in units of `size`."""
    if interval is None:
        return "not known"
    value, low, high = (figure(float(f"{each / size:.3g}")) for each in interval)
    return f"{value} [{low}, {high}]{unit}"


def as_json(part: ArmForecast | Recommendation) -> dict[str, Any]:
    """Return the fields, with intervals as objects."""
    return {name: _plain(value) for name, value in asdict(part).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return value._asdict()
    return {name: _plain(each) for name, each in value.items()} if isinstance(value, dict) else value
