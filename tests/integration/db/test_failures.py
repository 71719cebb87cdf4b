"""Attempts, deaths of engines and failed verifications: the statements that count them, and the end of a question."""

import pytest

from tests.integration.factory import additions, change, fill, rows, value
from tests.integration.statements import claim, claim_id, execute, keys
from tracemill.stack import Stack

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("name", "state"), [("engine_died", "running"), ("judge_died", "generated")])
@pytest.mark.parametrize(
    ("deaths", "is_alone", "fails"), [(0, False, False), (0, True, False), (1, False, False), (1, True, True)]
)
def test_only_a_question_alone_in_a_second_dead_engine_fails(
    clean: Stack, name: str, state: str, deaths: int, is_alone: bool, fails: bool
) -> None:
    job_id = fill(additions(1), "sums").job_id
    claim(job_id, 1)
    change("update job_questions set state = :state, deaths = :deaths", state=state, deaths=deaths)
    execute(name, **keys(job_id, 1), error="it died", is_alone=is_alone)
    before = {"running": "pending"}.get(state, state)
    stored = rows("select state, deaths, last_error, lease_until is null from job_questions")
    assert stored == [("failed" if fails else before, deaths + 1, "it died", fails or state == "running")]


def test_a_verification_fails_at_its_last_attempt_after_ever_longer_waits(clean: Stack) -> None:
    fill(additions(1), "sums")
    change("update job_questions set state = 'generated'")
    waits = []
    for _ in range(3):
        execute("verification_failed", job_id=1, question_id=1, error="a bug", max_attempts=4)
        waits.append(round(value("select extract(epoch from lease_until - updated_at) from job_questions")))
    assert waits == [1, 2, 4]
    execute("verification_failed", job_id=1, question_id=1, error="a bug", max_attempts=4)
    assert rows("select state, attempts, last_error, lease_until from job_questions") == [("failed", 4, "a bug", None)]


@pytest.mark.parametrize("name", ["hand_back", "release"])
def test_attempts_never_fall_below_zero(clean: Stack, name: str) -> None:
    job_id = fill(additions(1), "sums").job_id
    claim(job_id, 1)
    change("update job_questions set attempts = 0")
    once = {"job_id": job_id, "question_id": 1, "error": "", "permanent": False, "counts": False, "max_attempts": 5}
    execute(name, **(keys(job_id, 1) if name == "hand_back" else once | {"claim_id": claim_id("worker")}))
    assert rows("select state, attempts from job_questions") == [("pending", 0)]


def test_lost_messages_never_fail_a_queued_question(clean: Stack) -> None:
    job_id = fill(additions(1), "sums").job_id
    execute("queue", job_id=job_id, room=1, lease=-1)
    change("update job_questions set attempts = 9, last_error = 'before'")
    execute("take_back", job_id=job_id, max_attempts=3)
    assert rows("select state, attempts, last_error from job_questions") == [("pending", 9, "before")]
