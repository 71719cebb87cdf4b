"""The number of questions that each job may send: jobs share the window of their model. Pure arithmetic.

Jobs of a higher priority go first. Jobs of the same priority get equal parts of the window. If a job cannot use its
part, the others get the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf

#: Largest number of queued questions of all models, so that Redis stays small with any number of workers.
MAX_QUEUED = 10_000
#: Defaults of the window: its smallest size, and its size as a multiple of the workers' concurrency.
MIN_WINDOW = 256
WINDOW_PER_TASK = 4
#: Default of the backlog, in windows.
BACKLOG_WINDOWS = 4
#: The feeder fills a window again when workers have taken this part of it.
REFILL_SHARE = 0.25
#: A message holds the questions that a worker process takes from its queue within so many seconds, at most so many.
MESSAGE_SECONDS = 0.25
MAX_QUESTIONS_A_MESSAGE = 16


@dataclass(frozen=True)
class Job:
    """One active job and the states of its questions."""

    id: int
    priority: int
    #: Questions that are queued; generated, without verdicts; pending, counted up to the window.
    queued: int
    unverified: int
    pending: int
    #: False while its spent and reserved cost reach the budget.
    may_send: bool = True


def window(capacity: int, n_models: int, setting: int | None = None) -> int:
    """Largest number of queued questions of one model. Those that workers have claimed do not count.

    `capacity` is the concurrency of the model's workers, `n_models` the number of models with jobs.

    >>> window(0, 1), window(640, 1), window(100_000, 4), window(64, 1, setting=10)
    (256, 2560, 2500, 10)
    """
    return min(setting or max(MIN_WINDOW, WINDOW_PER_TASK * capacity), max(1, MAX_QUEUED // max(1, n_models)))


def questions_a_message(taken_per_second: float, processes: int) -> int:
    """Number of questions in one message of a model, by the rate at which its worker processes take them.

    >>> questions_a_message(2000, 1), questions_a_message(2000, 1000), questions_a_message(0, 0)
    (16, 1, 1)
    """
    of_one = int(taken_per_second * MESSAGE_SECONDS / max(1, processes))
    return max(1, min(MAX_QUESTIONS_A_MESSAGE, of_one))


def refill_seconds(taken_per_second: float, window: int) -> float:
    """Seconds in which workers take the part of a window that the feeder fills again.

    >>> refill_seconds(320, 256), refill_seconds(0, 256), refill_seconds(1, 0)
    (0.2, inf, inf)
    """
    return REFILL_SHARE * window / taken_per_second if taken_per_second and window else inf


def rooms(jobs: Iterable[Job], window: int, backlog: int | None = None) -> dict[int, int]:
    """The number of questions that each job of one model may send now.

    >>> large, small = Job(1, 0, 0, 0, 100), Job(2, 0, 0, 0, 3)
    >>> rooms([large, small], window=10)
    {1: 7, 2: 3}
    >>> rooms([large, Job(3, 5, 0, 0, 100)], window=10)
    {1: 0, 3: 10}
    """
    max_unverified = backlog or BACKLOG_WINDOWS * window
    ordered = sorted(jobs, key=lambda job: (-job.priority, job.id))
    free = window - sum(job.queued for job in ordered)
    shares: dict[int, int] = {}
    for _, same in groupby(ordered, key=lambda job: job.priority):
        equals = list(same)
        takes = {job.id: _takes(job, max_unverified) for job in equals}
        given = _level({job.id: job.queued for job in equals}, takes, max(0, free))
        free -= sum(given.values())
        shares |= given
    return {job: shares[job] for job in sorted(shares)}


def _takes(job: Job, max_unverified: int) -> int:
    return max(0, min(job.pending, max_unverified - job.queued - job.unverified)) if job.may_send else 0


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
