"""`tracemill verify`: verify the traces of a file. It needs no stack."""

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cli.output import Json, json_line, libraries_in_log, log_of, print_facts, print_line, progress_console
from tracemill.errors import TracemillError, UsageError
from tracemill.scores import SCORE_FIELDS
from tracemill.settings import model as model_settings

if TYPE_CHECKING:
    from tracemill.verification.files import Done
    from tracemill.verification.judge import CanaryResult

#: Maximum of problems that are printed. Later ones are only counted.
MAX_PROBLEMS = 100
#: Maximum of reasons in the table, and of different reasons that are counted.
MAX_SHOWN_REASONS, MAX_COUNTED_REASONS = 5, 1000
#: Seconds between two updates of the progress bar.
UPDATE_SECONDS = 0.1


def register(app: typer.Typer) -> None:
    app.command(help=VERIFY, rich_help_panel="Traces")(verify)


_SCORES = ", ".join(f'"{name}"' for name in SCORE_FIELDS)

VERIFY = (
    "Verify the traces of a JSONL or Parquet file: check the answer and each equation. It needs no stack.\n\n"
    'FILE has one object a line: "trace" and, optionally, "id", "question", "gold", "kind" (number, expression, '
    'choice, boolean, text or code; guessed if absent) and "steps" (a list, used unchanged). It may be a .gz file, or '
    "- for standard input. A Parquet file has the same columns.\n\n"
    'Instead of "trace" it may have columns of other tools: a text in "generation", "completion" or "response", or a '
    'conversation in "messages" or "conversations"; then also "problem", "prompt" or "instruction", and "answer" or '
    '"expected_answer". Files of `tracemill export` and `tracemill archive` need no change.\n\n'
    'OUT has each object in the same order, with its fields and "correct" (true, false or null), "proof", '
    '"answer", "steps", "first_error", "equations", "faithfulness", "coherence", "seconds", "kind", "false_equations", '
    f'{_SCORES} and "error"; with --judge also "agreement" (of free text with its gold answer) and "judge".\n\n'
    "An object keeps its own fields: a field of ours with the same name begins with tracemill_.\n\n"
    'If an object cannot be verified, its "error" has the reason. A line that is no JSON object is left out. Both are '
    "reported with their line number, and the exit code is 1.\n\n"
    "To resume a run that was stopped, run the same command again: it continues after the last complete line of "
    "OUT.\n\n"
    "With --serve there is no FILE: POST http://127.0.0.1:8377/verify takes such an object, or a list of them.\n\n"
    "Example: tracemill verify traces.jsonl -o verdicts.jsonl"
)


def verify(
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="File of traces, JSONL or Parquet.")] = None,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="OUT", help="File for the verdicts (default: -, standard output).")
    ] = "-",
    judge: Annotated[str | None, typer.Option(help="Model alias that rates faithfulness and coherence.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Number of processes (default: one a core).")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Verify over HTTP on loopback; no FILE.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of --serve; 0: a free one.")] = 8377,
    json: Json = False,
) -> None:
    from tracemill.verification.files import STANDARD, Input, verified
    from tracemill.verification.pipeline import Verifier
    from tracemill.verification.resume import Output, OutputFile

    if serve == (file is not None):
        raise UsageError("name a FILE, or --serve without one: tracemill verify traces.jsonl -o verdicts.jsonl")
    if judge:
        model_settings(judge)
    if file is None:
        _serve(judge, workers, port)
        return
    source = Input(file)
    summary = Summary()
    with libraries_in_log(log_of("verify")) if judge else nullcontext(sys.stdout.buffer) as stdout:
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
                _print(f"stopped after {summary.rows} rows: run the same command again to continue")
            raise
    if file != STANDARD and not summary.rows + summary.left_out:  # a pipe may be empty
        raise UsageError(f"{file} is empty: it holds no traces")
    figures = summary.figures()
    if json:
        # Without -o, standard output is for the verdicts.
        print(json_line(figures), file=sys.stderr if out == STANDARD else sys.stdout)
    else:
        print_summary(figures)
    if summary.not_verified or summary.left_out:
        raise typer.Exit(1)


def _serve(judge: str | None, workers: int | None, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    from tracemill.verification.pipeline import Verifier
    from tracemill.verification.server import VerifyServer

    with closing(Verifier(workers, judge)) as verifier, VerifyServer(verifier, port) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        _print(f"serving POST {server.url}/verify; Ctrl-C ends it")
        server.serve_forever()


@contextmanager
def _bar(size: int | None, summary: "Summary", hidden: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal. Yields a function that moves it to a position in the input of `size` bytes."""
    bar = Progress(
        TextColumn("verifying"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[done]}"),
        TimeRemainingColumn(),
        console=progress_console,
        transient=True,
        auto_refresh=False,
        disable=hidden or not progress_console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=size, done="starting")
        next_update = 0.0

        def move(position: int) -> None:
            nonlocal next_update
            if monotonic() >= next_update:
                next_update = monotonic() + UPDATE_SECONDS
                bar.update(task, completed=position, done=f"{summary.rows:,} rows, {summary.rate:,.0f}/s", refresh=True)

        yield move


class Summary:
    """Counts of the verdicts. Prints each problem on standard error at once."""

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
        """Return the rows a second of this run."""
        return (self.rows - self.earlier) / max(monotonic() - self._started, 1e-6)

    def start(self, judge: str | None, canaries: "list[CanaryResult]") -> None:
        """Start the clock. Prints a warning if canaries fooled the judge: traces that tell it what to answer."""
        self._started = monotonic()
        if judge is None:
            return
        fooled = [f"{canary.name} ({canary.attack})" for canary in canaries if canary.fooled]
        self.judge = {"alias": judge, "canaries": len(canaries), "fooled": fooled}
        if fooled:
            _print(
                f"the judge {judge} fell for {len(fooled)} of {len(canaries)} traces that told it what to answer: "
                f"{', '.join(fooled)}. Do not rely on its ratings of traces that may try to influence it."
            )

    def add(self, done: "Done", earlier: bool = False) -> None:
        line, row = done.line, done.verdict
        if done.row is None:
            self.left_out += 1
            self._problem(f"line {line.number} is left out: {line.problem}")
            return
        self.rows += 1
        self.earlier += earlier
        self.false_equations += row["equations"]["false"] > 0
        if row["correct"] is None:
            self.undecided += 1
            reason = row["proof"].split(" (")[0]
            if reason in self.reasons or len(self.reasons) < MAX_COUNTED_REASONS:
                self.reasons[reason] += 1
        elif row["correct"]:
            self.right += 1
        else:
            self.wrong += 1
        if error := row["error"]:
            self.not_verified += 1
            if line.problem or error != self._last_error:  # a missing sandbox is reported once, not for each row
                self._problem(f"line {line.number} is not verified: {error}")
        self._last_error = error

    def _problem(self, sentence: str) -> None:
        self._problems += 1
        if self._problems <= MAX_PROBLEMS:
            _print(sentence)
        elif self._problems == MAX_PROBLEMS + 1:
            _print("further lines like these are only counted")

    def figures(self) -> dict[str, Any]:
        """Return the counts by name, for machines and for the table."""
        return {
            "rows": self.rows,
            "right": self.right,
            "wrong": self.wrong,
            "undecided": self.undecided,
            "reasons": dict(self.reasons.most_common(MAX_SHOWN_REASONS)),
            "with_false_equation": self.false_equations,
            "not_verified": self.not_verified,
            "left_out": self.left_out,
            "from_earlier_run": self.earlier,
            "judge": self.judge,
            "seconds": round(monotonic() - self._started, 3),
            "rows_per_s": round(self.rate, 1),
        }


def print_summary(figures: dict[str, Any]) -> None:
    """Print the counts, and below `undecided` the count of each reason, on standard error."""
    counts: dict[str, str] = {}
    for name, value in figures.items():
        if name == "reasons":
            counts |= {f"  {reason}": f"{count:,}" for reason, count in value.items()}
        elif name not in ("judge", "seconds") and (value or name not in ("left_out", "from_earlier_run")):
            counts[name.replace("_", " ")] = f"{value:,}"
    print_facts(counts, out=progress_console)


def _print(sentence: str) -> None:
    print_line(sentence, progress_console)
