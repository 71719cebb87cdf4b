"""`tracemill calibrate`: how far can a judge be trusted? Measured on labelled traces, drawn, and stored."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import OperationalError

from cli.calibration_picture import can_draw, check_picture, draw
from cli.jobs import one as job_of_name
from cli.output import Json, console, print_json, printing_on_stderr, progress_console
from cli.policies import signals_of
from db import calibrations
from db.queries import Q
from db.session import transaction
from tracemill.errors import StackError, TracemillError, UsageError
from tracemill.policy import SIGNALS, Policy, Signal
from tracemill.settings import model as model_settings
from tracemill.settings import settings
from tracemill.verification import calibration
from tracemill.verification.calibration import MIN_TRACES, Measured, Rated, why_not

if TYPE_CHECKING:
    from tracemill.verification.labelled import LabelledFile

#: What a policy asks of a signal unless it says otherwise.
ABOVE: float = Policy.model_fields["auc_above"].default
#: Broken lines, and errors of the judge, that are shown; the others are counted.
SHOWN = 5


def register(app: typer.Typer) -> None:
    app.command(help=CALIBRATE, rich_help_panel="Traces")(calibrate)


CALIBRATE = """Measure a judge on labelled traces, and store for each of its signals whether it is informative.

FILE: JSONL of trace, question, and correct (true, false: a person's label) or gold (the symbolic checks label it).
With --job no model runs: what the judge said of that job's traces is held against the symbolic checks.

Example: tracemill calibrate --judge verifier labelled.jsonl --signals rating,coherence"""


def calibrate(
    judge: Annotated[str, typer.Option(help="Model alias that is measured.")],
    file: Annotated[Path | None, typer.Argument(help="Labelled traces, JSONL.")] = None,
    job: Annotated[str | None, typer.Option(help="Take the stored verdicts of this job instead of a file.")] = None,
    signals: Annotated[str, typer.Option(help="What the judge is asked, with commas between.")] = ",".join(SIGNALS),
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many traces: the first ones.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Picture, .svg or .png (default: calibration/ALIAS.svg in the data folder).")
    ] = None,
    store: Annotated[bool, typer.Option(help="Keep the result in Postgres, where policies look it up.")] = True,
    json: Json = False,
) -> None:
    if (file is None) == (job is None):
        raise UsageError("give a FILE of labelled traces, or --job NAME: one of the two")
    model = model_settings(judge).model
    asked = signals_of(signals)
    if picture is not None or can_draw():
        picture = picture or settings().data_dir / "calibration" / f"{judge}.svg"
        check_picture(picture)
    if store or job is not None:
        check_database(judge, model, optional=job is None)
    said: dict[str, Any] = {}
    if file is not None:
        source = str(file)
        rows, said = rate_file(file, judge, asked, limit)
    else:
        assert job is not None
        source = f"job {job}"
        rows = rows_of(job, judge, asked, limit)
    measured = calibration.measure(rows)
    if not measured:
        reasons = "; ".join(f"{signal} {why}" for signal, why in lacking(rows, asked).items())
        raise TracemillError(f"{source}: {reasons}. At least {MIN_TRACES} of each are needed.")
    if store:
        calibrations.store(judge, model, source, measured)
    if picture is not None:
        rights = sum(row.correct for row in rows)
        title = f"Judge {judge} ({model}): {rights} right and {len(rows) - rights} wrong traces of {source}"
        draw(picture, title, rows, measured, ABOVE)
    if json:
        head = {"judge": judge, "model": model, "source": source, "traces": len(rows), "stored": store}
        print_json(
            head
            | said
            | {"picture": picture, "signals": [as_json(m) for m in measured], "not_measured": lacking(rows, asked)}
        )
    else:
        print_measured(measured, lacking(rows, asked))
        console.print(closing(judge, picture, store), markup=False, soft_wrap=True)


def check_database(judge: str, model: str, optional: bool) -> None:
    """Raise StackError unless Postgres answers: before a model works for nothing."""
    instead = ", or add --no-store" if optional else ""
    if settings().database_url is None:
        raise StackError(f"no Postgres to store the result in: start the local stack with `tracemill up`{instead}")
    try:
        calibrations.latest(judge, model)
    except OperationalError as error:
        first = str(error.orig).strip().splitlines()[0]
        raise StackError(f"cannot reach Postgres: {first}. `tracemill up` starts it{instead}.") from None


def rows_of(job: str, judge: str, asked: Sequence[Signal], limit: int | None) -> list[Rated]:
    """The judged traces of a job. Raises UsageError if there are too few, or another judge judged it."""
    with transaction() as connection:
        known = connection.execute(Q["job_by_name"], {"name": job}).mappings().one_or_none()
    if known is None:
        job_of_name(job)  # raises, naming the jobs there are
    elif known["verifier"] != Policy(judge=judge).verifier:
        raise UsageError(f"job {job} was not judged by {judge}: its verifier is {known['verifier']}")
    rows = [
        Rated(row.correct, scores)
        for row in calibrations.judged_traces(job, judge, limit)
        if (scores := {signal: row.scores[signal] for signal in asked if signal in row.scores})
    ]
    enough(
        [row.correct for row in rows],
        f"job {job} ({judge} sees only what could still be accepted, unless its policy says judge_refused = true)",
    )
    return rows


def rate_file(file: Path, judge: str, asked: Sequence[Signal], limit: int | None) -> tuple[list[Rated], dict[str, int]]:
    """What the judge says of a file's traces, and what was left out, by number. Raises UsageError, EngineError."""
    from tracemill.verification.labelled import read_labelled

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=progress_console, transient=True) as bar:
        label = bar.add_task("labelling", total=None)
        found = read_labelled(file, limit, lambda done, of: bar.update(label, completed=done, total=of))
        say_left_out(found)
        enough([trace.correct for trace in found.traces], str(file))
        ask = bar.add_task(f"asking {judge}", total=len(found.traces))
        cases = [trace.case for trace in found.traces]
        with printing_on_stderr():
            judged = calibration.ask_all(judge, cases, asked, lambda: bar.advance(ask))
    errors = Counter(one.error for one in judged if one.error)
    for error, count in errors.most_common(SHOWN):
        progress_console.print(f"{judge}, {count} of {len(judged)} traces: {error}", markup=False, soft_wrap=True)
    if not any(one.scores for one in judged):
        raise TracemillError(f"{judge} gave no score at all: {next(iter(errors), 'it was asked, and was silent')}")
    rows = [Rated(trace.correct, one.scores) for trace, one in zip(found.traces, judged, strict=True)]
    counts = {"broken_lines": len(found.broken), "left_out": found.left_out.total(), "errors": errors.total()}
    return rows, counts


def say_left_out(found: "LabelledFile") -> None:
    """Name what was left out, on stderr."""
    for line in found.broken[:SHOWN]:
        progress_console.print(f"left out {line}", markup=False, soft_wrap=True)
    if len(found.broken) > SHOWN:
        progress_console.print(f"… and {len(found.broken) - SHOWN} more broken lines")
    for why, count in found.left_out.items():
        progress_console.print(f"left out {count} {why}")


def enough(labels: Iterable[bool], where: str) -> None:
    """Raise UsageError unless there are MIN_TRACES right and MIN_TRACES wrong traces."""
    counts = Counter(labels)
    missing = [f"{MIN_TRACES - counts[label]} more {name}" for label, name in ((True, "right"), (False, "wrong"))
               if counts[label] < MIN_TRACES]  # fmt: skip
    if missing:
        raise UsageError(
            f"{where}: {counts[True]} right and {counts[False]} wrong traces can be used. "
            f"At least {MIN_TRACES} of each are needed: {' and '.join(missing)}."
        )


def lacking(rows: Sequence[Rated], asked: Sequence[Signal]) -> dict[Signal, str]:
    """Signals that were asked for and have too few scores to be measured, and how many they have."""
    found: dict[Signal, str] = {}
    for signal in asked:
        labels = Counter(row.correct for row in rows if signal in row.scores)
        if min(labels[True], labels[False]) < MIN_TRACES:
            found[signal] = f"not measured: {labels[True]} right and {labels[False]} wrong traces have it"
    return found


def as_json(m: Measured) -> dict[str, Any]:
    """One signal for machines. `bins`: right is a number of traces, share the share with its interval."""
    return {
        "signal": m.signal,
        "n_right": m.n_right,
        "n_wrong": m.n_wrong,
        "auc": m.auc._asdict(),
        "agreement": m.agreement._asdict(),
        "calibration_error": m.calibration_error,
        "bins": [asdict(b) | {"share": b.share._asdict()} for b in m.bins],
        "informative": why_not(m, ABOVE) is None,
    }


def print_measured(measured: Sequence[Measured], missing: dict[Signal, str]) -> None:
    table = Table(caption=f"informative: the AUC interval lies above {ABOVE:g}", caption_justify="left")
    for name in ("signal", "right", "wrong", "AUC [95 %]", "agreement [95 %]", "calibration error", "verdict"):
        table.add_column(name, justify="right" if name in ("right", "wrong", "calibration error") else "left")
    for m in measured:
        area, agreement = ("{:.2f} [{:.2f}, {:.2f}]".format(*interval) for interval in (m.auc, m.agreement))
        verdict = "uninformative" if why_not(m, ABOVE) else "informative"
        error = "" if m.calibration_error is None else f"{m.calibration_error:.2f}"
        cells = (m.signal, str(m.n_right), str(m.n_wrong), area, agreement, error, verdict)
        table.add_row(*map(Text, cells))
    for signal, why in missing.items():
        table.add_row(signal, "", "", "", "", "", Text(why))
    console.print(table)


def closing(judge: str, picture: Path | None, stored: bool) -> str:
    """Where everything is now."""
    drawn = f"Picture: {picture}." if picture else "No picture: pip install 'tracemill[pictures]'."
    kept = f"Stored: jobs judged by {judge} use it from now on." if stored else "Not stored: no policy knows of it."
    return f"{drawn} {kept}"
