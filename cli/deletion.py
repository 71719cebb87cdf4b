"""`tracemill jobs delete`: delete a job with its traces."""

import time
from typing import Annotated

import typer

from cli.interruption import explained_interrupt, this_command
from cli.jobs import Name, job_named
from cli.output import print_line, progress_bar
from db import deletion

#: Seconds to wait for workers that hold questions of the job.
WAIT_SECONDS = 60
DELETE = """Delete a job that has ended, with its traces and their verdicts. Questions stay, because jobs share them.

It is refused if a round trained on the traces or was measured with them, if a job quotes them, or if a loop uses the
job. --force overrides rounds and jobs that have ended. The rows are deleted in short transactions with pauses, so that
other jobs continue at their speed. An interrupted deletion continues if the same command runs again.

Example: tracemill jobs delete first"""


def delete(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Also if ended rounds or jobs used its traces.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    job = job_named(name)
    if not yes:
        typer.confirm(f"Delete job {name} with its {job['traces']:,} traces?", abort=True)
    deletion.begin(name, job["job_id"], job["state"], force)
    traces = 0
    with explained_interrupt(f"The deletion continues when you repeat: {this_command()}"), progress_bar() as bar:
        task = bar.add_task("deleting", total=job["questions"])
        deadline = time.monotonic() + WAIT_SECONDS
        while deletion.is_in_work(job["job_id"]) and time.monotonic() < deadline:
            time.sleep(0.5)
        for deleted in deletion.delete(job["job_id"]):
            traces += deleted.traces
            bar.advance(task, deleted.questions)
            time.sleep(deleted.seconds)
    print_line(f"{name} is deleted: {traces:,} traces")
