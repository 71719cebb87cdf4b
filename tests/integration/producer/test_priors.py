"""The priors of jobs: fitted once for all verify workers, by the leading feeder."""

import pytest

from producer import upkeep
from producer.priors import fit_priors
from tests.integration.factory import additions, change, fill, rows
from tracemill.adaptive import fit
from tracemill.stack import Stack

pytestmark = pytest.mark.integration


def settled(name: str, questions: int, give_up: float = 0.2) -> int:
    """A job whose questions have two traces each, and every other question an accepted one."""
    job_id = fill(additions(questions), name, samples=8, enough=2, batch=2, give_up=give_up).job_id
    change("update job_questions set settled = 2, accepted = question_id % 2 where job_id = :job", job=job_id)
    verified(job_id, 2 * questions)
    return job_id


def verified(job_id: int, traces: int) -> None:
    change("insert into job_counts (job_id, verified) values (:job, :traces)", job=job_id, traces=traces)


def test_a_prior_is_fitted_again_only_with_twice_as_many_traces(clean: Stack) -> None:
    job_id = settled("sums", 40)
    fit_priors()
    prior = fit({(2, 0): 20, (2, 1): 20})
    assert prior is not None
    assert rows("select * from job_priors") == [(job_id, *prior, 80)]
    change("update job_questions set accepted = 2")
    verified(job_id, 79)
    fit_priors()
    assert rows("select * from job_priors") == [(job_id, *prior, 80)]
    verified(job_id, 1)
    fit_priors()
    assert rows("select beta < :beta from job_priors", beta=prior.beta) == [(True,)]


def test_only_jobs_that_may_give_up_with_enough_questions_are_fitted(clean: Stack) -> None:
    settled("never", 40, give_up=0)
    settled("small", 31)
    fit_priors()
    assert rows("select * from job_priors") == []


@pytest.mark.parametrize("leads", [True, False])
def test_only_the_leading_feeder_fits_priors(clean: Stack, leads: bool) -> None:
    settled("sums", 40)
    upkeep._run(lambda: leads)
    assert len(rows("select * from job_priors")) == leads
