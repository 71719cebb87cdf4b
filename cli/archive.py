"""`tracemill archive`: write whole jobs to files that stand alone, before they are deleted."""

import json as json_module
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import typer
from psycopg.sql import Literal

from cli import export_files
from cli.archive_files import LINEAGE, Destination, check, complete, copy, destination, manifest_of
from cli.export import OTHERS, TRAIN, write_pieces
from cli.export_files import FORMATS, Format, Piece, Progress, Unfinished, link
from cli.interruption import explained_interrupt, this_command
from cli.jobs import job_named
from cli.output import Json, json_default, print_json, print_line
from db import archive as records
from db.queries import Q
from db.session import transaction
from tracemill import __version__
from tracemill.errors import TracemillError, UsageError, no_postgres, unreachable
from tracemill.settings import settings

if TYPE_CHECKING:
    from cli.export_rows import Lineage

#: Seconds to wait for a replica that lags behind, and between two looks at it.
LAG_SECONDS, LOOK_SECONDS = 180.0, 0.2


class IncompleteError(TracemillError):
    """The files lack traces of the job."""


def register(app: typer.Typer) -> None:
    app.command(help=ARCHIVE, rich_help_panel="Traces")(archive)


ARCHIVE = """Write jobs that have ended to Parquet files with checksums, so that they can be deleted.

Each job gets a folder with its name. Its traces-*.parquet have every trace with the columns of trace_scores, and its
lineage.parquet has the rounds that trained on them. Its manifest.json has the settings of the job, its prompts, models
and evaluations, and the SHA-256 of each file. Log-probabilities are not kept. `tracemill verify`, `tracemill import`,
DuckDB and pandas read the files.

A folder gets its name when it is complete. If the command was interrupted, run it again: it continues. For a job that
is archived already it checks the files.

Example: tracemill archive first --to archive"""


def archive(
    jobs: Annotated[list[str], typer.Argument(help="The jobs' names.", metavar="JOB...")],
    to: Annotated[
        str, typer.Option("--to", help="A folder, or an address that pyarrow knows, such as s3://BUCKET/PATH.")
    ],
    json: Json = False,
) -> None:
    target = destination(to)
    ended = [_ended(name) for name in dict.fromkeys(jobs)]  # raises before anything is written
    again = f"The archive continues when you repeat: {this_command()}"
    for job, state in ended:
        path = target.of(job["job"])
        with explained_interrupt(again), export_files.explained(Path(path)):
            is_new = _archived(job, state, target)
        if json:
            print_json({"job": job["job"], "path": path, "traces": job["traces"], "is_new": is_new})
        else:
            done = "is archived in" if is_new else "was archived before, and its files have the right checksums:"
            print_line(f"{job['job']} {done} {path} ({job['traces']:,} traces)")


def _ended(name: str) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """A job with its state for the manifest. Raises UsageError if it cannot be archived."""
    job = job_named(name)
    with transaction() as connection:
        return job, _as_json(records.state(connection, job))


def _as_json(value: Mapping[str, Any]) -> dict[str, Any]:
    as_json: dict[str, Any] = json_module.loads(json_module.dumps(value, default=json_default))
    return as_json


def _archived(job: Mapping[str, Any], state: dict[str, Any], to: Destination) -> bool:
    """Archive a job. False: it was archived before. Raises TracemillError if a file of it is damaged."""
    name = job["job"]
    if (manifest := manifest_of(to, name)) is not None:
        if manifest["state"] != state:
            raise UsageError(
                f"{to.of(name)} is an archive of another job {name}, or {name} has changed or was used since: "
                "choose another folder, or remove that one"
            )
        check(to, name, manifest)
        return False
    if to.is_local:
        _write(job, state, Path(to.of(name)))
    else:
        _archived(job, state, to.local())
        copy(to, name)
    return True


def _write(job: Mapping[str, Any], state: Mapping[str, Any], output: Path) -> None:
    """Write the folder of a job, from where an interrupted command ended."""
    from cli.export_rows import Lineage, Traces

    url = settings().reader_url or settings().database_url
    if url is None:
        raise no_postgres("database_url (TRACEMILL_DATABASE_URL)")
    address = url.get_secret_value().replace("+psycopg", "", 1)
    with transaction() as connection:
        after, last = records.question_range(connection, job["job_id"])
        position = connection.execute(Q["replay_position"]).scalar_one()
    _wait_for_replica(address, position)
    name = job["job"]
    where = f"job = {Literal(name).as_string(None)}"
    traces = Traces(address, where, [], (TRAIN, *OTHERS))
    request = {"where": where, "layout": None, "state": state, "first": traces.first, "columns": list(traces.kinds)}
    join = partial(_join, job=job, state=state, lineage=Lineage(address, name), ids=(after, last))
    unfinished = Unfinished(output, Format(FORMATS["parquet"].write, join))
    try:
        write_pieces(unfinished, traces, Progress(request, after, last), raw=False)
    except IncompleteError:
        unfinished.remove()
        raise


def _join(
    pieces: Sequence[Path],
    whole: Path,
    *,
    job: Mapping[str, Any],
    state: Mapping[str, Any],
    lineage: "Lineage",
    ids: tuple[int, int],
) -> None:
    """Make the folder of the job from the pieces of its traces. Raises IncompleteError if traces are missing."""
    from pyarrow.parquet import ParquetFile, read_table

    whole.mkdir()
    models: set[str] = set()
    n_traces = 0
    for number, piece in enumerate(pieces):
        link(piece, whole / f"traces-{number:05}.parquet")
        n_traces += ParquetFile(piece).metadata.num_rows
        models |= set(read_table(piece, columns=["model_hash"])["model_hash"].unique().to_pylist())
    if n_traces != job["traces"]:
        raise IncompleteError(
            f"job {job['job']} has {job['traces']:,} traces, but {n_traces:,} were read. Nothing is archived. "
            "Correct its counts with `tracemill db check --correct`, and try again"
        )
    with FORMATS["parquet"].write(Piece(whole / LINEAGE, lineage.kinds)) as write:
        for batch in lineage.batches(*ids):
            write(batch.rows)
    with transaction() as connection:
        record = records.record(connection, job, models - {None})
    complete(whole, {"tracemill": __version__, "archived_at": datetime.now(UTC), "state": state, **record})


def _wait_for_replica(address: str, position: str) -> None:
    """Wait until a replica has all that the primary has now. Raises TracemillError if it lags behind for long."""
    deadline = time.monotonic() + LAG_SECONDS
    behind = "select pg_is_in_recovery() and pg_last_wal_replay_lsn() < %s::pg_lsn"
    try:
        with psycopg.connect(address, autocommit=True, connect_timeout=10) as reader:
            while (row := reader.execute(behind, [position]).fetchone()) and row[0]:
                if time.monotonic() > deadline:
                    raise TracemillError("the replica of reader_url lags behind: try again later")
                time.sleep(LOOK_SECONDS)
    except psycopg.OperationalError as error:
        raise unreachable("Postgres", error) from None
