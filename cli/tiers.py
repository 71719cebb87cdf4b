"""`tracemill rounds tiers ROUND`: which model to serve where."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from cli.interruption import explained_interrupt, this_command
from cli.output import Json, print_json, print_line, print_rows, progress_bar
from cli.pictures import can_draw, check_picture
from cli.rounds import round_named
from db.heartbeat import SILENT_SECONDS
from db.queries import Q
from db.session import transaction
from tracemill.errors import TracemillError, UsageError
from tracemill.settings import model
from trainer.compare import percent

if TYPE_CHECKING:
    from trainer.tiers import Round, Served

TIERS = """Serve teacher and student in several formats of their weights, and compare what each right answer costs.

Each tier answers the round's evaluations in a worker of its own: the teacher, the student with its adapter, and the
student with the adapter merged in, as bf16, int8, fp8 and int4. The answers are evaluate jobs. Run the command again
after an interruption: it continues. A tier that this machine cannot serve is listed with the reason.

Example: tracemill rounds tiers round-1 --limit 100"""

COLUMNS = (
    "tier",
    "benchmark",
    "questions",
    "right %",
    "tokens/s",
    "weights MB",
    "memory MB",
    "s / right",
    "cost / right",
)
#: Columns that are left out if all rows have the same value, or none.
OPTIONAL = ("benchmark", "questions", "cost / right")
#: What a CPU cannot show.
ONLY_A_GPU = (
    "Measured on a CPU: accuracies hold for other machines, speed and memory do not. Only a GPU shows its own speed, "
    "the memory of its card, and fp8 with its kernels."
)


def tiers(
    name: Annotated[str, typer.Argument(help="A round that is done.")],
    formats: Annotated[str, typer.Option("--formats", help="Formats of the weights.")] = "bf16,int8,fp8,int4",
    teacher: Annotated[
        str | None, typer.Option(help="Alias of the teacher (default: that of the round's jobs).")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first LIMIT questions of each evaluation.")] = None,
    hourly: Annotated[float, typer.Option(min=0, help="Price of this machine per hour, for the cost.")] = 0.0,
    picture: Annotated[
        Path | None,
        typer.Option(help="Picture to write, .svg or .png (default: tiers/tiers.svg in the round's folder)."),
    ] = None,
    json: Json = False,
) -> None:
    from trainer.tiers import serve

    round_ = _round(name, teacher, limit)
    planned = round_.tiers(_formats(formats))
    if picture is not None or can_draw():
        picture = picture or round_.folder / "tiers.svg"
        check_picture(picture)
    _require_producer()
    measured: list[Served] = []
    refused: dict[str, str] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        explained_interrupt("what is answered is stored.", f"Continue: {this_command()}"),
        progress_bar(*columns) as bar,
    ):
        task = bar.add_task("starting", total=None)
        for tier in planned:
            try:
                measured += serve(
                    round_,
                    tier,
                    lambda step, done, of: bar.update(task, description=step, completed=done, total=of or None),
                )
            except TracemillError as error:
                refused[tier.name] = str(error)
    if picture is not None and measured:
        _draw(picture, name, measured)
    if json:
        results = [served.as_json() | {"cost_per_right": served.cost_per_right(hourly)} for served in measured]
        print_json({"round": name, "hourly": hourly, "tiers": results, "not_tried_here": refused, "picture": picture})
        return
    print_tiers(measured, refused, hourly)
    print_line(ONLY_A_GPU)
    if picture is not None and measured:
        print_line(f"picture: {picture}")


def print_tiers(measured: "Sequence[Served]", refused: Mapping[str, str], hourly: float) -> None:
    """Print one row a tier and evaluation, and the reason for each tier that was not served."""
    rows = [_row(served, hourly) for served in measured]
    rows += [dict.fromkeys(COLUMNS, "") | {"tier": tier, "right %": "not tried here"} for tier in refused]
    same = [name for name in OPTIONAL if len({row[name] for row in rows if row[name]}) < 2]
    columns = [name for name in COLUMNS if name not in same or (name == "cost / right" and hourly)]
    title = (
        f"right answers of {measured[0].questions} questions" if measured and "questions" in same else "right answers"
    )
    print_rows(rows, columns, title=f"{title}, with 95 % intervals over questions", optional=("weights MB",))
    for tier, reason in refused.items():
        print_line(f"{tier} was not tried here: {reason}")


def _row(served: "Served", hourly: float) -> dict[str, Any]:
    footprint, seconds = served.footprint, served.seconds_per_right
    cost = served.cost_per_right(hourly)
    return {
        "tier": served.tier,
        "benchmark": served.benchmark,
        "questions": str(served.questions),
        "right %": percent(served.accuracy),
        "tokens/s": f"{served.tokens_per_second:.0f}",
        "weights MB": f"{footprint.weights / 1e6:.0f}" if footprint else "",
        "memory MB": f"{footprint.memory / 1e6:.0f}" if footprint else "",
        "s / right": f"{seconds:.2f}" if seconds is not None else "",
        "cost / right": f"{cost:.2g}" if cost else "",
    }


def _round(name: str, teacher: str | None, limit: int | None) -> "Round":
    """Read the round. Raises UsageError if it is not done, or if its teacher is no alias of the settings."""
    from trainer.spec import parse
    from trainer.tiers import Round

    stored = round_named(name)
    if stored["state"] != "done" or not stored["adapter_path"]:
        raise UsageError(f"round {name} is {stored['state']}: its models are compared when it is done")
    spec = parse(stored["spec"], f"round '{name}'")
    if teacher is None:
        with transaction() as connection:
            jobs = connection.execute(Q["jobs_by_names"], {"names": spec.select.jobs}).mappings().all()
        teacher = next((job["model"] for job in jobs), None)
        if teacher is None:
            raise UsageError(f"the jobs that taught round {name} are deleted: name the teacher with --teacher ALIAS")
    model(teacher)
    return Round(stored["id"], spec, Path(stored["adapter_path"]), teacher, limit)


def _formats(given: str) -> list[str]:
    from trainer.tiers import FORMATS

    formats = list(dict.fromkeys(given.split(",")))
    unknown = [each for each in formats if each not in FORMATS]
    if unknown:
        raise UsageError(f"--formats: there is no format '{unknown[0]}'. Formats: {', '.join(FORMATS)}")
    return formats


def _require_producer() -> None:
    """Raise UsageError unless a producer runs, without which no question reaches a worker."""
    with transaction() as connection:
        rows = connection.execute(Q["processes"], {"host": None}).all()
    if not any(row.kind == "producer" and row.silent_seconds < SILENT_SECONDS for row in rows):
        raise UsageError("no producer runs, so no question would reach a worker: start it with `tracemill up`")


def _draw(path: Path, name: str, measured: "Sequence[Served]") -> None:
    """Write the picture: right answers with their intervals over the seconds for each right answer."""
    import matplotlib
    from matplotlib.figure import Figure

    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "tracemill", "font.size": 9}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        for served in measured:
            value, low, high = served.accuracy
            if served.seconds_per_right is None:
                continue
            label = f"{served.tier}, {served.tokens_per_second:.0f} tokens/s"
            errors = [[100 * (value - low)], [100 * (high - value)]]
            axes.errorbar([served.seconds_per_right], [100 * value], yerr=errors, marker="o", capsize=3, label=label)
        axes.set(
            title=f"Round {name}: which model where",
            xlabel="seconds of this machine for each right answer",
            ylabel="right answers, %, with 95 % intervals over questions",
            xscale="log",
        )
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else {})
