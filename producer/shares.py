"""The number of questions that each job may send: jobs share the window of their model. Pure arithmetic.

Jobs of a higher priority go first. Jobs of the same priority get equal parts of the window. If a job cannot use its
part, the others get the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

#: Largest number of messages of all models, so that Redis stays small with any number of workers.
MAX_MESSAGES = 10_000
#: Defaults of the window: its smallest size, and its size as a multiple of the workers' concurrency.
MIN_WINDOW = 256
WINDOW_PER_TASK = 4
#: Default of the backlog: unfinished questions of a job, including those that wait for verdicts, in windows.
BACKLOG_WINDOWS = 4


@dataclass(frozen=True)
class Job:
    """One active job and the states of its questions."""

    id: int
    priority: int
    #: Questions that are queued or running; generated, without verdicts; pending, counted up to the window.
    in_flight: int
    unverified: int
    pending: int
    #: False while its spent and reserved cost reach the budget.
    may_send: bool = True


def window(capacity: int, n_models: int, setting: int | None = None) -> int:
    """Largest number of questions of one model that are queued or running.

    `capacity` is the concurrency of the model's workers, `n_models` the number of models with jobs.

    >>> window(0, 1), window(640, 1), window(100_000, 4), window(64, 1, setting=10)
    (256, 2560, 2500, 10)
    """
    return min(setting or max(MIN_WINDOW, WINDOW_PER_TASK * capacity), max(1, MAX_MESSAGES // max(1, n_models)))


def rooms(jobs: Iterable[Job], window: int, backlog: int | None = None) -> dict[int, int]:
    """The number of questions that each job of one model may send now.

    >>> large, small = Job(1, 0, 0, 0, 100), Job(2, 0, 0, 0, 3)
    >>> rooms([large, small], window=10)
    {1: 7, 2: 3}
    >>> rooms([large, Job(3, 5, 0, 0, 100)], window=10)
    {1: 0, 3: 10}
    """
    max_unfinished = backlog or BACKLOG_WINDOWS * window
    ordered = sorted(jobs, key=lambda job: (-job.priority, job.id))
    free = window - sum(job.in_flight for job in ordered)
    shares: dict[int, int] = {}
    for _, same in groupby(ordered, key=lambda job: job.priority):
        equals = list(same)
        takes = {job.id: _takes(job, max_unfinished) for job in equals}
        given = _level({job.id: job.in_flight for job in equals}, takes, max(0, free))
        free -= sum(given.values())
        shares |= given
    return {job: shares[job] for job in sorted(shares)}


def _takes(job: Job, max_unfinished: int) -> int:
    return max(0, min(job.pending, max_unfinished - job.in_flight - job.unverified)) if job.may_send else 0


def _level(have: Mapping[int, int], takes: Mapping[int, int], free: int) -> dict[int, int]:
    """Distribute `free` places. Jobs with the fewest places come first, and no job gets more than it takes."""
    low, high = 0, max(have.values(), default=0) + free + 1
    while high - low > 1:
        level = (low + high) // 2
        low, high = (level, high) if sum(_up_to(level, have, takes)) <= free else (low, level)
    given = dict(zip(have, _up_to(low, have, takes), strict=True))
    rest = free - sum(given.values())
    for job, up in zip(have, _up_to(low + 1, have, takes), strict=True):
        if rest and up > given[job]:
            given[job] += 1
            rest -= 1
    return given


def _up_to(level: int, have: Mapping[int, int], takes: Mapping[int, int]) -> Sequence[int]:
    return [max(0, min(takes[job], level - have[job])) for job in have]
