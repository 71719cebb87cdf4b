"""What a job's questions have shown so far of how often a sample is accepted: the prior of `workers.adaptive`.

Counting means reading the job's questions, so it is done again only when there are twice as many as the last time.
"""

import threading

from db.queries import Q
from db.session import transaction
from workers.adaptive import FEWEST_QUESTIONS, Prior, fit

_lock = threading.Lock()
#: By job: the prior, how often this process has asked for it, and at how many times it is fitted again.
_known: dict[int, tuple[Prior | None, int, int]] = {}


def prior(job_id: int) -> Prior | None:
    """The prior of a job; null while too few of its questions are settled."""
    with _lock:
        fitted, asked, again = _known.get(job_id, (None, 0, FEWEST_QUESTIONS))
        asked += 1
        if asked >= again:
            with transaction() as connection:
                rows = connection.execute(Q["sample_counts"], {"job_id": job_id}).all()
            fitted = fit({(row.traces, row.accepted): row.questions for row in rows})
            again = 2 * max(asked, FEWEST_QUESTIONS)
        _known[job_id] = (fitted, asked, again)
        return fitted
