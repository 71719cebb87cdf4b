"""`tracemill verify`: verdicts on traces from anywhere, without a stack."""

import json as jsonlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from cli.output import Json, printing_on_stderr, progress_console
from tracemill.errors import TracemillError, UsageError
from tracemill.scores import SCORE_FIELDS
from tracemill.settings import model as model_settings

if TYPE_CHECKING:
    from tracemill.verification.files import Done
    from tracemill.verification.judge import CanaryResult

NAMED = 100  # problems that are said one by one
REASONS, MOST_REASONS = 5, 1000  # shown in the table; different ones that are counted at all
LOOK_SECONDS = 0.1  # between two looks at the progress


def register(app: typer.Typer) -> None:
    app.command(help=VERIFY, rich_help_panel="Traces")(verify)


_SCORES = ", ".join(f'"{name}"' for name in SCORE_FIELDS)

VERIFY = (
    "Verify the traces of a JSONL file: is the answer right, which equations are false. Needs no stack.\n\n"
    'FILE holds an object a line: "trace" and, optionally, "id", "question", "gold", "kind" (number, expression, '
    'choice, boolean, text or code; guessed when absent) and "steps" (a list, used as it is). A .gz will do, or - for '
    "standard input.\n\n"
    'Each object is written back, in order, with its own fields and "correct" (true, false or null), "proof", '
    '"answer", "steps", "first_error", "equations", "faithfulness", "coherence", "seconds", "kind", "false_equations", '
    f'{_SCORES} and "error"; with --judge also "agreement" (of free text with its gold answer) and "judge".\n\n'
    'An object that cannot be verified is written back with the reason in "error", a line that is no JSON object is '
    "left out. Both are reported with their line number, and the exit code is then 1.\n\n"
    "A run that was stopped goes on after the last complete line of OUT when the same command is run again.\n\n"
    "Example: tracemill verify traces.jsonl -o verdicts.jsonl"
)


def verify(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where the traces are.")],
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="OUT", help="Where the verdicts go (-: standard output).")
    ] = "-",
    judge: Annotated[str | None, typer.Option(help="Model alias that rates faithfulness and coherence.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Check processes (default: one a core).")] = None,
    json: Json = False,
) -> None:
    from tracemill.verification.files import STANDARD, Input, verified
    from tracemill.verification.pipeline import Verifier
    from tracemill.verification.resume import Output, OutputFile

    if judge:
        model_settings(judge)
    source = Input(file)
    summary = Summary()
    with printing_on_stderr() if judge else nullcontext(sys.stdout.buffer) as stdout:
        output = Output(stdout) if out == STANDARD else OutputFile(out, source, judge)
        try:
            with _bar(source.size, summary, hidden=out == STANDARD and sys.stdout.isatty()) as move:

                def earlier(done: "Done") -> None:
                    summary.add(done, earlier=True)
                    move(done.line.position)

                lines = output.resume(source.lines(), earlier)
                with closing(Verifier(workers, judge)) as verifier:
                    summary.start(judge, verifier.canaries())
                    for batch in verified(lines, verifier):
                        output.write(batch)
                        for done in batch:
                            summary.add(done)
                        move(batch[-1].line.position)
        except BrokenPipeError:  # `tracemill verify … | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return
        except (KeyboardInterrupt, TracemillError) as error:
            if out != STANDARD and not isinstance(error, UsageError):
                _say(f"stopped after {summary.rows} rows: the same command goes on from there")
            raise
    figures = summary.figures()
    if json:
        # Without -o it is the verdicts that standard output is for.
        print(jsonlib.dumps(figures, ensure_ascii=False), file=sys.stderr if out == STANDARD else sys.stdout)
    else:
        progress_console.print(_table(figures))
    if summary.not_verified or summary.left_out:
        raise typer.Exit(1)


@contextmanager
def _bar(size: int | None, summary: "Summary", hidden: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, to be moved to a place in the input of `size` bytes."""
    bar = Progress(
        TextColumn("verifying"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[done]}"),
        TimeRemainingColumn(), console=progress_console, transient=True, auto_refresh=False,
        disable=hidden or not progress_console.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=size, done="starting")
        next_look = 0.0

        def move(position: int) -> None:
            nonlocal next_look
            if monotonic() >= next_look:
                next_look = monotonic() + LOOK_SECONDS
                bar.update(task, completed=position, done=f"{summary.rows:,} rows, {summary.rate:,.0f}/s", refresh=True)

        yield move


class Summary:
    """What was found, counted. Problems are said on standard error as they come."""

    def __init__(self) -> None:
        self.rows = self.right = self.wrong = self.undecided = self.false_equations = 0
        self.not_verified = self.left_out = self.earlier = 0
        self.reasons: Counter[str] = Counter()
        self.judge: dict[str, Any] | None = None
        self._started = monotonic()
        self._problems = 0
        self._last_error: str | None = None

    @property
    def rate(self) -> float:
        """Rows a second of this run."""
        return (self.rows - self.earlier) / max(monotonic() - self._started, 1e-6)

    def start(self, judge: str | None, canaries: "list[CanaryResult]") -> None:
        """Start the clock. Says whether the judge falls for traces that tell it what to answer."""
        self._started = monotonic()
        if judge is None:
            return
        fooled = [f"{canary.name} ({canary.attack})" for canary in canaries if canary.fooled]
        self.judge = {"alias": judge, "canaries": len(canaries), "fooled": fooled}
        if fooled:
            _say(
                f"the judge {judge} fell for {len(fooled)} of {len(canaries)} traces that told it what to answer: "
                f"{', '.join(fooled)}. Do not rely on its ratings of traces that may be written to please it."
            )

    def add(self, done: "Done", earlier: bool = False) -> None:
        line, row = done
        if row is None:
            self.left_out += 1
            self._problem(f"line {line.number} is left out: {line.problem}")
            return
        self.rows += 1
        self.earlier += earlier
        self.false_equations += row["equations"]["false"] > 0
        if row["correct"] is None:
            self.undecided += 1
            reason = row["proof"].split(" (")[0]
            if reason in self.reasons or len(self.reasons) < MOST_REASONS:
                self.reasons[reason] += 1
        elif row["correct"]:
            self.right += 1
        else:
            self.wrong += 1
        if error := row["error"]:
            self.not_verified += 1
            if line.problem or error != self._last_error:  # a missing sandbox is said once, not for each row
                self._problem(f"line {line.number} is not verified: {error}")
        self._last_error = error

    def _problem(self, what: str) -> None:
        self._problems += 1
        if self._problems <= NAMED:
            _say(what)
        elif self._problems == NAMED + 1:
            _say("… and more lines like these, which are only counted")

    def figures(self) -> dict[str, Any]:
        """Names and numbers, for machines and for the table."""
        return {
            "rows": self.rows,
            "right": self.right,
            "wrong": self.wrong,
            "undecided": self.undecided,
            "reasons": dict(self.reasons.most_common(REASONS)),
            "with_false_equation": self.false_equations,
            "not_verified": self.not_verified,
            "left_out": self.left_out,
            "from_earlier_run": self.earlier,
            "judge": self.judge,
            "seconds": round(monotonic() - self._started, 3),
            "rows_per_s": round(self.rate, 1),
        }


def _table(figures: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None)
    table.add_column(justify="right")
    table.add_column()
    for name, value in figures.items():
        if name == "reasons":
            for reason, count in value.items():
                table.add_row("", f"{count:>9,}  {reason}")
        elif name not in ("judge", "seconds") and (value or name not in ("left_out", "from_earlier_run")):
            table.add_row(name.replace("_", " "), f"{value:>9,}")
    return table


def _say(what: str) -> None:
    progress_console.print(what, markup=False, soft_wrap=True)
