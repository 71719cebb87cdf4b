"""Steps of a feeder in this process."""

from producer import feeder
from producer.leader import Lead, take_lead
from tests.integration.factory import change
from tracemill.settings import FeederSettings


def lead(name: str = "test") -> Lead:
    """The lead for a feeder of this process, which has held it for a day."""
    taken = take_lead(name, 60)
    assert taken is not None
    change("update leader set since = now() - interval '1 day'")
    return taken


def step(limits: FeederSettings, rates: feeder.Rates | None = None) -> feeder.Step:
    """One step of the leader."""
    return feeder.step(limits, lead(), rates)


def settle(job_id: int, count: int) -> None:
    """`count` queued questions are answered and verified, and their messages are gone."""
    change(
        "update job_questions set state = 'done', lease_until = null where (job_id, question_id) in "
        "(select job_id, question_id from job_questions where job_id = :job and state = 'queued' limit :count)",
        job=job_id,
        count=count,
    )


def leases_run_out() -> None:
    """All messages are overdue, and the processes of all claims are lost."""
    change(
        "update job_questions set lease_until = now() - interval '1 second' "
        "where lease_until is not null or claim_id is not null"
    )
