"""The prior of each job's acceptance rates (`tracemill.adaptive`), from the verdicts so far.

A fit reads all questions of the job, so it is repeated only after twice as many calls as the last time.
"""

import threading

from db.queries import Q
from db.session import transaction
from tracemill.adaptive import MIN_QUESTIONS, Prior, fit

_lock = threading.Lock()
#: By job: the prior, the number of calls in this process, and the number of calls at which it is fitted again.
_known: dict[int, tuple[Prior | None, int, int]] = {}


def prior(job_id: int) -> Prior | None:
    """The prior of a job; None while too few of its questions are settled."""
    with _lock:
        fitted, n_calls, again = _known.get(job_id, (None, 0, MIN_QUESTIONS))
        n_calls += 1
        if n_calls >= again:
            with transaction() as connection:
                rows = connection.execute(Q["sample_counts"], {"job_id": job_id}).all()
            fitted = fit({(row.traces, row.accepted): row.questions for row in rows})
            again = 2 * max(n_calls, MIN_QUESTIONS)
        _known[job_id] = (fitted, n_calls, again)
        return fitted
