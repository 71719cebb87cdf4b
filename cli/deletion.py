"""Delete a job with its traces: the work of `tracemill jobs delete`."""

import time
from collections.abc import Mapping
from typing import Any

import typer

from cli.interruption import explained_interrupt, this_command
from cli.output import print_line, progress_bar
from db import deletion
from db.session import transaction

#: Seconds to wait for workers that hold questions of the job.
WAIT_SECONDS = 60
DELETE = """Delete a job that has ended, with its traces and their verdicts. Questions stay, because jobs share them.

It is refused if a round trained on the traces or was measured with them, if a job quotes them, or if a loop uses the
job. --force overrides rounds and jobs that have ended. The rows are deleted in short transactions with pauses, so that
other jobs continue at their speed. An interrupted deletion continues if the same command runs again.

Example: tracemill jobs delete first"""


def delete_job(job: Mapping[str, Any], *, force: bool, yes: bool) -> None:
    """Delete a job (a row of `job_progress`) after a confirmation."""
    name, job_id = job["job"], job["job_id"]
    with transaction() as connection:
        deletion.check(connection, name, job_id, job["state"], force)
    if not yes:
        typer.confirm(f"Delete job {name} with its {job['traces']:,} traces?", abort=True)
    deletion.begin(name, job_id, job["state"], force)
    traces = 0
    with explained_interrupt(f"The deletion continues when you repeat: {this_command()}"), progress_bar() as bar:
        task = bar.add_task("deleting", total=job["questions"])
        deadline = time.monotonic() + WAIT_SECONDS
        while deletion.is_in_work(job_id) and time.monotonic() < deadline:
            time.sleep(0.5)
        for deleted in deletion.delete(job_id):
            traces += deleted.traces
            bar.advance(task, deleted.questions)
            time.sleep(deleted.seconds)
    print_line(f"{name} is deleted: {traces:,} traces")
