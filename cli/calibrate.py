"""`tracemill calibrate`: measure a judge on labelled traces, draw the result and store it."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from sqlalchemy.exc import OperationalError

from cli.calibration_picture import draw
from cli.interruption import explained_interrupt, this_command
from cli.jobs import LINE_SECONDS, job_named
from cli.output import Json, libraries_in_log, log_of, print_json, print_line, print_rows, progress_console
from cli.pictures import can_draw, check_picture
from cli.policies import signals_of
from db import calibrations
from db.queries import Q
from db.session import transaction
from tracemill import stack as local
from tracemill.errors import StackError, TracemillError, UsageError, no_postgres, unreachable
from tracemill.policy import SIGNALS, Policy, Signal
from tracemill.settings import model as model_settings
from tracemill.settings import settings
from tracemill.verification import calibration
from tracemill.verification.calibration import MIN_TRACES, Measured, Rated, why_not

if TYPE_CHECKING:
    from tracemill.verification.judge import Judged
    from tracemill.verification.labelled import LabelledFile
    from tracemill.verification.rating_journal import RatingJournal
    from workers.rating import Workers

#: The AUC that a signal must exceed unless the policy sets another one.
ABOVE: float = Policy.model_fields["auc_above"].default
#: Maximum of broken lines, and of the judge's errors, that are printed. The others are counted.
MAX_PRINTED = 5


def register(app: typer.Typer) -> None:
    app.command(help=CALIBRATE, rich_help_panel="Traces")(calibrate)


CALIBRATE = (
    "Measure a judge on labelled traces, and store which of its signals are informative.\n\n"
    "FILE is JSONL with trace, question, and a label: correct (true or false, by a person), or gold (an answer for the "
    "symbolic checks). A running worker that serves the judge rates the traces; without one, the model is loaded here. "
    "To resume a run that was stopped, run the same command again. "
    "With --job no model runs: the stored scores of that job are compared with the symbolic checks.\n\n"
    "Example: tracemill calibrate --judge verifier labelled.jsonl --signals rating,coherence"
)


def calibrate(
    judge: Annotated[str, typer.Option(help="Model alias of the judge.")],
    file: Annotated[Path | None, typer.Argument(help="Labelled traces, JSONL.")] = None,
    job: Annotated[str | None, typer.Option(help="Use the stored verdicts of this job instead of a file.")] = None,
    signals: Annotated[
        str, typer.Option(show_default="all", help="Signals to measure, separated by commas.")
    ] = ",".join(SIGNALS),
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first LIMIT traces.")] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="Picture to write, .svg or .png (default: calibration/ALIAS.svg in the data folder)."),
    ] = None,
    store: Annotated[bool, typer.Option(help="Store the result in Postgres, where policies read it.")] = True,
    json: Json = False,
) -> None:
    # It imports the judge, which few commands need.
    from tracemill.verification.rating_journal import RatingJournal

    if (file is None) == (job is None):
        raise UsageError("give a FILE of labelled traces or --job NAME: one of the two")
    model = model_settings(judge).model
    requested = signals_of(signals)
    if picture is not None or can_draw():
        picture = picture or settings().data_dir / "calibration" / f"{judge}.svg"
        check_picture(picture)
    if store or job is not None:
        check_database(judge, model, optional=job is None)
    counts: dict[str, int] = {}
    journal: RatingJournal | None = None
    if file is not None:
        source = str(file)
        journal = RatingJournal(settings().data_dir / "calibration" / f"{judge}.ratings.jsonl", model, requested)
        with explained_interrupt(f"the ratings so far are kept. Continue: {this_command()}"):
            rows, counts = rate_file(file, judge, requested, limit, journal)
    else:
        assert job is not None
        source = f"job {job}"
        rows = rows_of(job, judge, requested, limit)
    measured = calibration.measure(rows)
    if not measured:
        reasons = "; ".join(f"{signal} {reason}" for signal, reason in not_measured(rows, requested).items())
        raise TracemillError(f"{source}: {reasons}. At least {MIN_TRACES} of each are needed.")
    if store:
        calibrations.store(judge, model, source, measured)
    if journal is not None:
        journal.remove()
    if picture is not None:
        rights = sum(row.correct for row in rows)
        title = f"Judge {judge} ({model}): {rights} right and {len(rows) - rights} wrong traces of {source}"
        draw(picture, title, rows, measured, ABOVE)
    if json:
        head = {"judge": judge, "model": model, "source": source, "traces": len(rows), "stored": store}
        print_json(
            head
            | counts
            | {
                "picture": picture,
                "signals": [as_json(m) for m in measured],
                "not_measured": not_measured(rows, requested),
            }
        )
    else:
        print_measured(measured, not_measured(rows, requested))
        print_line(closing(judge, picture, store))


def check_database(judge: str, model: str, optional: bool) -> None:
    """Raise StackError unless Postgres answers. Called before the model runs, so that no work is lost."""
    instead = ", or add --no-store" if optional else ""
    if settings().database_url is None:
        raise no_postgres("database_url", instead)
    try:
        calibrations.latest(judge, model)
    except OperationalError as error:
        raise unreachable("Postgres", error.orig, instead) from None


def rows_of(job: str, judge: str, requested: Sequence[Signal], limit: int | None) -> list[Rated]:
    """Return the judged traces of a job. Raises UsageError for too few of them, or for a job of another judge."""
    with transaction() as connection:
        known = connection.execute(Q["job_by_name"], {"name": job}).mappings().one_or_none()
    if known is None:
        job_named(job)  # raises UsageError, which lists the known jobs
    elif known["verifier"] != Policy(judge=judge).verifier:
        raise UsageError(f"job {job} was not judged by {judge}: its verifier is {known['verifier']}")
    rows = [
        Rated(row.correct, scores)
        for row in calibrations.judged_traces(job, judge, limit)
        if (scores := {signal: row.scores[signal] for signal in requested if signal in row.scores})
    ]
    require_enough(
        [row.correct for row in rows],
        f"job {job} ({judge} sees only traces that could still be accepted, unless its policy has judge_refused=true)",
    )
    return rows


def rate_file(
    file: Path, judge: str, requested: Sequence[Signal], limit: int | None, journal: "RatingJournal"
) -> tuple[list[Rated], dict[str, int]]:
    """Let the judge rate the traces of a file; also return the counts of lines and traces left out.

    A running worker that has the judge's model rates them. Otherwise this process loads the model. Traces whose ratings
    the journal has are not rated again.

    Raises UsageError and EngineError.
    """
    from tracemill.verification.labelled import read_labelled
    from workers.rating import ask_workers

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=progress_console,
        transient=True,
        disable=not progress_console.is_terminal,
        # Libraries must not write above the bar.
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bar:
        label = bar.add_task("labelling", total=None)
        labelled = read_labelled(file, limit, lambda done, of: bar.update(label, completed=done, total=of))
        print_left_out(labelled)
        require_enough([trace.correct for trace in labelled.traces], str(file))
        cases = [trace.case for trace in labelled.traces]
        ratings = {index: kept for index, case in enumerate(cases) if (kept := journal.rating(case))}
        n_kept = len(ratings)
        # Prompts about one question begin alike. Asked one after another, they find that beginning in the prefix cache.
        missing = sorted(set(range(len(cases))) - ratings.keys(), key=lambda index: (cases[index].question, index))
        if n_kept:
            print_line(f"{n_kept} of {len(cases)} traces were rated by an earlier run", progress_console)
        lines = ProgressLines(f"{judge} has rated", len(cases), n_kept)
        workers = serving(judge) if missing else None
        ask = bar.add_task(f"asking {judge}", total=len(cases), completed=n_kept)

        def rated(index: int, judged: "Judged") -> None:
            ratings[missing[index]] = judged
            journal.add(cases[missing[index]], judged)
            bar.advance(ask)
            lines.advance()

        unrated = [cases[index] for index in missing]
        if workers is not None:
            ask_workers(workers, judge, unrated, requested, rated)
        elif unrated:
            with libraries_in_log(log_of("calibrate")):
                calibration.ask_all(judge, unrated, requested, rated)
    errors = Counter(rating.error for rating in ratings.values() if rating.error)
    for error, count in errors.most_common(MAX_PRINTED):
        print_line(f"{judge}, {count} of {len(ratings)} traces: {error}", progress_console)
    if not any(rating.scores for rating in ratings.values()):
        raise TracemillError(f"{judge} gave no score: {next(iter(errors), 'its answers held none')}")
    rows = [Rated(trace.correct, ratings[index].scores) for index, trace in enumerate(labelled.traces)]
    counts = {"broken_lines": len(labelled.broken), "left_out": labelled.left_out.total(), "errors": errors.total()}
    return rows, counts


class ProgressLines:
    """Progress for a log: without a terminal it prints a line every LINE_SECONDS."""

    def __init__(self, sentence: str, total: int, done: int) -> None:
        self.sentence = sentence
        self.done, self.total = done, total
        self._last_line = time.monotonic()

    def advance(self) -> None:
        self.done += 1
        if not progress_console.is_terminal and time.monotonic() - self._last_line > LINE_SECONDS:
            self._last_line = time.monotonic()
            print_line(f"{self.sentence} {self.done} of {self.total} traces", progress_console)


def serving(judge: str) -> "Workers | None":
    """Return the workers that serve the judge; None if this process must load it. Waits while a worker loads it.

    Raises StackError if the local worker ends at each start.
    """
    from workers.rating import workers_of

    if settings().database_url is None or settings().redis_url is None:
        return None
    has_waited = False
    while True:
        try:
            workers = workers_of(judge)
        except OperationalError:  # --no-store needs no Postgres
            return None
        if workers is not None and workers.concurrency:
            return workers
        program = local.program_of(settings().data_dir, judge)
        if program is not None and program.failure and program.restarts > 1:
            raise StackError(f"{program.name}, which serves {judge}, does not start: {program.failure}")
        if workers is None and program is None:
            return None
        if not has_waited:
            print_line(f"waiting for the worker that serves {judge}: it loads the model", progress_console)
        has_waited = True
        time.sleep(0.5)


def print_left_out(labelled: "LabelledFile") -> None:
    """Print the broken lines and the counts of traces left out, on stderr."""
    for line in labelled.broken[:MAX_PRINTED]:
        print_line(f"left out {line}", progress_console)
    if len(labelled.broken) > MAX_PRINTED:
        print_line(f"… and {len(labelled.broken) - MAX_PRINTED} more broken lines", progress_console)
    for reason, count in labelled.left_out.items():
        print_line(f"left out {count} {reason}", progress_console)


def require_enough(labels: Iterable[bool], source: str) -> None:
    """Raise UsageError unless there are MIN_TRACES right and MIN_TRACES wrong traces."""
    counts = Counter(labels)
    names = {True: "right", False: "wrong"}
    missing = [
        f"{MIN_TRACES - counts[label]} more {name}" for label, name in names.items() if counts[label] < MIN_TRACES
    ]
    if missing:
        raise UsageError(
            f"{source}: {counts[True]} right and {counts[False]} wrong traces can be used. "
            f"At least {MIN_TRACES} of each are needed: {' and '.join(missing)}."
        )


def not_measured(rows: Sequence[Rated], requested: Sequence[Signal]) -> dict[Signal, str]:
    """Return the requested signals with too few scores, and the number of their scores in words."""
    reasons: dict[Signal, str] = {}
    for signal in requested:
        labels = Counter(row.correct for row in rows if signal in row.scores)
        if min(labels[True], labels[False]) < MIN_TRACES:
            reasons[signal] = f"not measured: {labels[True]} right and {labels[False]} wrong traces have it"
    return reasons


def as_json(m: Measured) -> dict[str, Any]:
    """Return one signal for machines. In `bins`, `right` counts traces and `share` is their share with its interval."""
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


def print_measured(measured: Sequence[Measured], missing: Mapping[Signal, str]) -> None:
    """Print one row a signal, and a sentence for each signal that could not be measured."""
    rows = [
        {
            "signal": m.signal,
            "right": m.n_right,
            "wrong": m.n_wrong,
            "AUC [95 %]": str(m.auc),
            "agreement [95 %]": str(m.agreement),
            "calibration error": None if m.calibration_error is None else f"{m.calibration_error:.2f}",
            "verdict": "uninformative" if why_not(m, ABOVE) else "informative",
        }
        for m in measured
    ]
    print_rows(rows, rows[0])
    for signal, reason in missing.items():
        print_line(f"{signal} is {reason}")
    print_line(f"informative: the AUC interval lies above {ABOVE:g}")


def closing(judge: str, picture: Path | None, stored: bool) -> str:
    """Say where the picture and the result were stored."""
    drawn = f"Picture: {picture}." if picture else "No picture: pip install 'tracemill[pictures]'."
    kept = f"Stored: new jobs judged by {judge} use it." if stored else "Not stored: no job uses it."
    return f"{drawn} {kept}"
