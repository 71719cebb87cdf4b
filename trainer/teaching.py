"""Open the teaching jobs of a ROUND.toml before the round is queued."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from db.jobs import JobSpec
from db.session import transaction
from producer.opening import Reading, job_spec, open_request, origin_job, require_source, tier_specs, unseen
from trainer.ask_spec import TeachSpec
from trainer.evaluate import jobs_by_names


def open_teaching(
    jobs: Sequence[TeachSpec], folder: Path, wait: Callable[[list[str]], None], reading: Reading = unseen
) -> None:
    """Open the jobs in their order and wait until all their traces have verdicts.

    `folder` contains the files of examples. `wait` returns when the jobs of these names are done. Raises UsageError for
    settings that `tracemill enqueue` would refuse.
    """
    for job in jobs:
        builds_on = origin_job(job.source)
        if builds_on is not None:
            wait([builds_on])
        open_request(job.teaching_request(folder), reading)
    if jobs:
        wait(_names(jobs))


def planned(jobs: Sequence[TeachSpec], folder: Path) -> list[JobSpec]:
    """Build the settings of all the jobs; none if all of them are open. Raises UsageError for a wrong job."""
    names = _names(jobs)
    specs = []
    for job in jobs:
        request = job.teaching_request(folder)
        specs += [job_spec(request, upcoming=names), *tier_specs(request, job.name)]
    return specs if len(_opened(names)) < len(names) else []


def require_sources(jobs: Sequence[TeachSpec], folder: Path) -> None:
    """Raise UsageError unless the sources of all jobs that are not open yet can be read."""
    opened = _opened([job.name for job in jobs])
    for job in jobs:
        if job.name not in opened:
            require_source(job.teaching_request(folder).source)


def _names(jobs: Sequence[TeachSpec]) -> list[str]:
    return [name for job in jobs for name in job.job_names]


def _opened(names: list[str]) -> Collection[str]:
    with transaction() as connection:
        return jobs_by_names(connection, names).keys()
