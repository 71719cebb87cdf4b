"""A claim has an id of its own: it is repeated after a lost reply, and it changes no later claim."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from db import session
from tests.integration.factory import additions, fill, rows, states, value
from tests.integration.feeding import leases_run_out, step
from tests.integration.statements import claim
from tests.integration.visits import Observed
from tracemill.errors import TracemillError
from tracemill.settings import settings
from tracemill.stack import Stack
from workers import generate
from workers.claims import ClaimKey

pytestmark = pytest.mark.integration


def test_a_repeated_claim_gets_the_question_again_and_counts_once(clean: Stack) -> None:
    job_id = fill(additions(1), "sums").job_id
    assert [claim(job_id, 1), claim(job_id, 1), claim(job_id, 1, owner="another")] == [[1], [1], []]
    assert rows("select state, attempts, owner from job_questions") == [("running", 1, "worker")]


def test_a_repeated_claim_is_not_refused_for_its_own_reservation(clean: Stack) -> None:
    job_id = fill(additions(1), "sums", budget=10, budget_unit="tokens").job_id
    assert [claim(job_id, 1, reserved=10), claim(job_id, 1, reserved=10)] == [[1], [1]]


@pytest.mark.parametrize("budget", [None, 1e6])
def test_a_claim_whose_reply_was_lost_costs_nothing(
    database: Stack, teacher: Observed, monkeypatch: pytest.MonkeyPatch, budget: float | None
) -> None:
    job_id = fill(additions(1), "sums", budget=budget, budget_unit=budget and "tokens").job_id
    step(settings().feeder)
    name = "statement" if budget is None else "transaction"
    replies_lost: list[str] = []

    @contextmanager
    def loses_a_reply() -> Iterator[Connection]:
        with getattr(session, name)() as connection:
            yield connection
        if not replies_lost and states("sums") == {"running": 1}:
            replies_lost.append(name)
            raise OperationalError("update job_questions", {}, Exception("server closed the connection unexpectedly"))

    monkeypatch.setattr(generate, name, loses_a_reply)
    generate.generate(job_id, [1])
    assert replies_lost == [name]
    assert states("sums") == {"generated": 1}
    assert len(teacher.requests) == 1


def test_a_worker_that_claims_a_question_twice_cannot_release_its_later_claim(database: Stack) -> None:
    job_id = fill(additions(1), "sums").job_id
    first, second = (ClaimKey(job_id, 1, uuid4()) for _ in range(2))
    earlier = generate._claim(first)
    assert earlier is not None
    leases_run_out()
    step(settings().feeder)
    assert generate._claim(second) is not None
    generate._release(earlier, TracemillError("it broke"))
    generate._give_back([first])
    assert value("select claim_id from job_questions where state = 'running'") == second.claim_id
    generate._give_back([second])
    assert states("sums") == {"pending": 1}
