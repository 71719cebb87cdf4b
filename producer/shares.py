"""Who may send how many questions: the window of each model, shared between its jobs. Pure arithmetic.

Jobs of a higher priority go first; those of the same priority get equal parts of the window, and what one of them has
no use for falls to the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

#: Redis stays small however much the workers could take: messages of all models together.
MOST_MESSAGES = 10_000
#: Without a setting: a window for so many questions, or so many for each that the workers answer at a time.
LEAST_WINDOW = 256
PER_PLACE = 4
#: Without a setting: questions of a job on their way, with those that wait for their verdicts, in windows.
WINDOWS_ON_THE_WAY = 4


@dataclass(frozen=True)
class Job:
    """One active job and where its questions are."""

    id: int
    priority: int
    #: Queued or running; generated, that is without verdicts; pending, counted up to the window.
    in_flight: int
    unverified: int
    pending: int
    #: False while what its visits may cost could use up its budget.
    may_send: bool = True


def window(places: int, models: int, wanted: int | None = None) -> int:
    """Questions of one model that may be queued or running, where workers answer `places` of them at a time.

    `models`: how many models have jobs. `wanted`: the setting, if there is any.

    >>> window(0, 1), window(640, 1), window(100_000, 4), window(64, 1, wanted=10)
    (256, 2560, 2500, 10)
    """
    return min(wanted or max(LEAST_WINDOW, PER_PLACE * places), max(1, MOST_MESSAGES // max(1, models)))


def rooms(jobs: Iterable[Job], window: int, backlog: int | None = None) -> dict[int, int]:
    """How many questions each job of one model may send now.

    >>> large, small = Job(1, 0, 0, 0, 100), Job(2, 0, 0, 0, 3)
    >>> rooms([large, small], window=10)
    {1: 7, 2: 3}
    >>> rooms([large, Job(3, 5, 0, 0, 100)], window=10)
    {1: 0, 3: 10}
    """
    most = backlog or WINDOWS_ON_THE_WAY * window
    ordered = sorted(jobs, key=lambda job: (-job.priority, job.id))
    free = window - sum(job.in_flight for job in ordered)
    found: dict[int, int] = {}
    for _, same in groupby(ordered, key=lambda job: job.priority):
        equals = list(same)
        takes = {job.id: _takes(job, most) for job in equals}
        given = _level({job.id: job.in_flight for job in equals}, takes, max(0, free))
        free -= sum(given.values())
        found |= given
    return {job: found[job] for job in sorted(found)}


def _takes(job: Job, most: int) -> int:
    return max(0, min(job.pending, most - job.in_flight - job.unverified)) if job.may_send else 0


def _level(have: Mapping[int, int], takes: Mapping[int, int], free: int) -> dict[int, int]:
    """Give `free` places so that those who have least get most, nobody more than it takes."""
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
