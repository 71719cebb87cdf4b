"""`tracemill import`: store traces of other tools as a job."""

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.enqueue import NAME, Domain
from cli.interruption import explained_interrupt, this_command
from cli.output import Json, console, print_json, print_line, progress_bar, progress_console
from cli.policies import read_policy
from db.jobs import JobSpec
from producer.importing import Imported, import_traces
from producer.job_request import COLUMNS, mapping_of, source_name
from producer.opening import informed
from producer.sources import open_traces
from producer.sources.questions import traced_questions
from tracemill.errors import UsageError
from tracemill.methods import named, prompts
from tracemill.sampling import Sampling

#: The method whose reading of a text applies to traces of other tools: it has one call and one variant.
METHOD = "cot"


def register(app: typer.Typer) -> None:
    app.command("import", help=IMPORT, rich_help_panel="Traces")(import_)


IMPORT = """Store traces of other tools as a job: verify workers judge them, rounds train on them. No model is called.

SOURCE is read like a source of questions, and has a trace in a column such as generation, completion or response,
several in generations, or a conversation in messages or conversations: open-r1, OpenThoughts, NeMo-Skills, curator,
distilabel, datatrove, verifiers, and inspect's logs as JSON. --map names other columns, paths and templates.

The same trace of a question is stored once. After an interruption run the same command again.

Example: tracemill import traces.jsonl --model deepseek-r1 --map gold=answer"""


def import_(
    source: Annotated[str, typer.Argument(help="The file or data set of the traces.")],
    name: Annotated[str | None, typer.Option(help="The job's name (default: SOURCE-import).")] = None,
    model: Annotated[str, typer.Option(help="The name of the model that wrote the traces.")] = "imported",
    map_: Annotated[
        list[str] | None, typer.Option("--map", help="OURS=THEIRS: trace, question, gold, domain, kind or choices.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="The dataset's name (default: the source's).")] = None,
    domain: Annotated[Domain, typer.Option(help="Domain of questions without one.")] = Domain.math,
    policy: Annotated[Path | None, typer.Option(help="TOML file with the rules that accept a trace.")] = None,
    json: Json = False,
) -> None:
    if name and not NAME.fullmatch(name):
        raise UsageError(f"--name {name!r}: use letters, digits, and . _ / - after the first one")
    tables = open_traces(source, mapping_of(map_ or [], ("trace", *COLUMNS)))
    if any("trace" not in columns.fields for table, columns in tables if table.columns):
        raise UsageError(f"{source}: no column has a trace. Name it: --map trace=COLUMN")
    for sentence in dict.fromkeys(sentence for table, columns in tables for sentence in columns.remarks(table)):
        print_line(sentence, progress_console)
    spec = JobSpec(
        name=name or f"{source_name(source)}-import",
        purpose="teach",
        model=model,
        method=METHOD,
        prompts=prompts(named(METHOD), ()),
        samples=1,
        sampling=Sampling(),
        policy=informed(read_policy(policy, {}, [])),
        source=source,
    )
    rows = chain.from_iterable(traced_questions(*opened) for opened in tables)
    columns = (SpinnerColumn(), TextColumn("traces"), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        explained_interrupt(
            f"job {spec.name} keeps the traces that are stored so far.", f"Store the rest: {this_command()}"
        ),
        progress_bar(*columns) as bar,
    ):
        task = bar.add_task("", total=None)
        done = import_traces(
            rows,
            spec,
            dataset=dataset or source_name(source),
            domain=domain.value,
            progress=lambda traces: bar.update(task, completed=traces),
        )
    _report(source, spec.name, done, json)


def _report(source: str, name: str, done: Imported, json: bool) -> None:
    for problem in done.problems:
        print_line(f"left out {problem.where}: {problem.what}", progress_console)
    if done.bad > len(done.problems):
        progress_console.print(f"… and {done.bad - len(done.problems)} more rows left out")
    if not done.read:
        raise UsageError(f"{source}: no readable trace in it")
    if json:
        print_json({"job": name, "rows": done.read, "traces": done.traces, "new": done.new, "left_out": done.bad})
    else:
        console.print(
            f"job {name}: {done.traces} traces in {done.read} rows, {done.new} new, {done.bad} left out. "
            f"Watch their verdicts: tracemill jobs watch {name}",
            markup=False,
            soft_wrap=True,
        )
