"""The priors of the jobs that give questions up (`tracemill.adaptive`), fitted by the feeder for all verify workers.

A fit reads all questions of its job, so it is repeated only when the job has twice as many traces.
"""

from db.queries import Q
from db.session import statement
from tracemill.adaptive import MIN_QUESTIONS, fit


def fit_priors() -> None:
    """Fit the prior of each active job that needs a new one."""
    with statement() as connection:
        for job_id in connection.execute(Q["outdated_priors"], {"least": MIN_QUESTIONS}).scalars().all():
            rows = connection.execute(Q["sample_counts"], {"job_id": job_id}).all()
            prior = fit({(row.traces, row.accepted): row.questions for row in rows})
            if prior is not None:
                traces = sum(row.traces * row.questions for row in rows)
                connection.execute(Q["set_prior"], prior._asdict() | {"job_id": job_id, "traces": traces})
