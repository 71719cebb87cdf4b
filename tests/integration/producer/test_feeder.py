"""The feeder with real Postgres and Redis, one step at a time."""

import time
from math import inf
from typing import Any

import pytest
import redis
from kombu import Connection

from db.heartbeat import present
from db.queries import Q
from db.session import transaction
from producer import feeder
from producer.feeder import Rates, Step
from producer.leader import Lead
from tests.integration import statements
from tests.integration.factory import (
    additions,
    broker,
    change,
    fill,
    job_state,
    rows,
    states,
    value,
    waiting,
)
from tests.integration.feeding import leases_run_out, settle, step
from tests.integration.statements import claim_id
from tracemill.settings import FeederSettings
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

LIMITS = FeederSettings(window=10, max_attempts=3)


def claim(job_id: int, question_id: int, owner: str = "worker") -> bool:
    return statements.claim(job_id, question_id, owner=owner) == [question_id]


def release(job_id: int, question_id: int, *, counts: bool = True, permanent: bool = False) -> None:
    row = {"job_id": job_id, "question_id": question_id, "claim_id": claim_id("worker"), "error": "it broke"}
    with transaction() as connection:
        connection.execute(
            Q["release"], row | {"counts": counts, "permanent": permanent, "max_attempts": LIMITS.max_attempts}
        )


def test_redis_never_holds_more_than_the_window_after_many_steps(clean: Stack) -> None:
    fill(additions(50), "sums")
    assert [step(LIMITS).queued for _ in range(3)] == [10, 0, 0]
    assert waiting(clean) == 10
    assert states("sums") == {"queued": 10, "pending": 40}


def test_a_message_holds_only_a_job_and_its_questions(clean: Stack) -> None:
    job_id = fill(additions(3), "sums").job_id
    step(LIMITS)
    with Connection(clean.redis_url) as connection, connection.SimpleQueue("generate.teacher") as queue:
        message = queue.get_nowait()
        assert message.content_type == "application/json"
        arguments, keywords, _ = message.payload
        message.ack()
    assert (arguments, keywords) == ([job_id, [1]], {})
    shown_by_flower = message.headers["argsrepr"], message.headers["kwargsrepr"]
    assert shown_by_flower == (f"[{job_id}, [1]]", "{}")


def test_the_window_holds_with_statistics_of_a_single_question(clean: Stack) -> None:
    """Postgres then joins row by row, and may choose the questions anew for each row."""
    fill(additions(1), "one")
    change("update jobs set state = 'cancelled'")
    change("analyze job_questions")
    fill(additions(30), "sums")
    assert step(LIMITS).queued == 10


def test_the_window_is_refilled_as_work_completes(clean: Stack) -> None:
    job_id = fill(additions(25), "sums").job_id
    step(LIMITS)
    settle(job_id, 4)
    assert step(LIMITS) == Step(queued=4)
    settle(job_id, 10)
    assert step(LIMITS).queued == 10
    settle(job_id, 10)
    assert step(LIMITS).queued == 1
    assert states("sums") == {"done": 24, "queued": 1}


@pytest.mark.parametrize("state", ["cancelled", "paused", "over_budget"])
def test_a_halted_job_keeps_no_message_and_no_question_of_a_dead_worker(clean: Stack, state: str) -> None:
    job_id = fill(additions(2), "sums").job_id
    step(LIMITS)
    assert claim(job_id, 1)
    change("update jobs set state = :state", state=state)
    step(LIMITS)
    assert states("sums") == {"running": 1, "pending": 1}
    leases_run_out()
    assert step(LIMITS) == Step(taken_back=1)
    assert states("sums") == {"pending": 2}


@pytest.mark.parametrize("state", ["cancelled", "paused", "over_budget", "done"])
def test_a_step_queues_nothing_of_a_job_that_was_halted_meanwhile(
    clean: Stack, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    fill(additions(2), "sums")
    queue = feeder._queue

    def queue_too_late(*values: Any) -> list[int]:
        change("update jobs set state = :state", state=state)
        return queue(*values)

    monkeypatch.setattr(feeder, "_queue", queue_too_late)
    assert step(LIMITS).queued == 0
    assert states("sums") == {"pending": 2}


def test_a_job_is_done_only_when_all_questions_are_settled(clean: Stack) -> None:
    job_id = fill(additions(3), "sums").job_id
    step(LIMITS)
    settle(job_id, 2)
    assert step(LIMITS).finished == 0
    change("update job_questions set state = 'failed' where state = 'queued'")
    assert step(LIMITS).finished == 1
    assert job_state("sums") == "done"
    assert value("select finished_at is not null from jobs") is True


def test_a_large_job_does_not_starve_a_small_job_of_the_same_model(clean: Stack) -> None:
    fill(additions(100), "large")
    fill(additions(3), "small")
    fill(additions(100), "elsewhere", model="student")
    step(LIMITS)
    assert states("large")["queued"] == 7
    assert states("small") == {"queued": 3}
    assert states("elsewhere")["queued"] == 10


def test_a_job_of_higher_priority_goes_first_and_others_get_the_rest(clean: Stack) -> None:
    fill(additions(100), "ordinary")
    fill(additions(8), "urgent", priority=1)
    step(LIMITS)
    assert states("urgent") == {"queued": 8}
    assert states("ordinary")["queued"] == 2


def test_a_slow_verifier_slows_the_job_down(clean: Stack) -> None:
    job_id = fill(additions(100), "sums").job_id
    limits = FeederSettings(window=10, backlog=25)
    for _ in range(6):
        step(limits)
        change("update job_questions set state = 'generated', lease_until = now() + interval '1 hour' "
               "where state = 'queued'")  # fmt: skip
    assert states("sums") == {"generated": 25, "pending": 75}
    change("update job_questions set state = 'done' where job_id = :job and question_id <= 4", job=job_id)
    assert step(limits).queued == 4


def test_the_window_follows_the_live_workers(clean: Stack) -> None:
    fill(additions(1000), "sums")
    assert step(FeederSettings()).queued == 256
    with present("generate", queues=["generate.teacher"], concurrency=lambda: 100):
        assert step(FeederSettings()).queued == 144
    change("update job_questions set state = 'done' where state = 'queued'")
    assert step(FeederSettings()).queued == 256


@pytest.mark.parametrize("state", ["paused", "cancelled", "done"])
def test_a_job_that_is_not_running_sends_nothing(clean: Stack, state: str) -> None:
    fill(additions(5), "sums")
    change("update jobs set state = :state", state=state)
    assert step(LIMITS) == Step()
    assert waiting(clean) == 0


def test_questions_flow_while_their_enqueue_still_runs(clean: Stack) -> None:
    fill(additions(5), "sums")
    change("update jobs set state = 'filling'")
    assert step(LIMITS).queued == 5
    settle(1, 5)
    assert step(LIMITS).finished == 0


def test_a_lost_message_is_sent_again_when_its_lease_runs_out(clean: Stack) -> None:
    fill(additions(4), "sums")
    step(LIMITS)
    redis.Redis.from_url(clean.redis_url).flushall()
    assert step(LIMITS) == Step()
    leases_run_out()
    assert step(LIMITS) == Step(queued=4, taken_back=4)
    assert waiting(clean) == 4
    assert value("select max(attempts) from job_questions") == 0


def test_messages_do_not_multiply_while_nobody_consumes_them(clean: Stack) -> None:
    fill(additions(50), "sums")
    step(LIMITS)
    for _ in range(3):
        leases_run_out()
        assert step(LIMITS) == Step()
    assert waiting(clean) == 10
    redis.Redis.from_url(clean.redis_url).rpop("generate.teacher")
    leases_run_out()
    assert step(LIMITS) == Step(queued=1, taken_back=1)
    assert waiting(clean) == 10


def test_a_message_that_a_worker_has_reserved_is_not_lost(clean: Stack) -> None:
    fill(additions(1), "sums")
    step(LIMITS)
    with Connection(clean.redis_url) as connection, connection.SimpleQueue("generate.teacher") as queue:
        message = queue.get_nowait()
        assert waiting(clean) == 0
        leases_run_out()
        assert step(LIMITS) == Step()
        message.ack()
    leases_run_out()
    assert step(LIMITS) == Step(queued=1, taken_back=1)


def test_questions_of_workers_do_not_count_against_the_window(clean: Stack) -> None:
    job_id = fill(additions(30), "sums").job_id
    step(LIMITS)
    for question_id in range(1, 11):
        claim(job_id, question_id)
    assert step(LIMITS) == Step(queued=10)
    assert states("sums") == {"running": 10, "queued": 10, "pending": 10}


def test_a_step_that_finds_no_work_opens_no_transaction(clean: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(additions(20), "sums")
    step(LIMITS)
    monkeypatch.setattr(Lead, "transaction", None)
    assert step(LIMITS) == Step()


def test_the_window_is_filled_again_before_workers_have_emptied_it(clean: Stack) -> None:
    job_id = fill(additions(20), "sums").job_id
    rates = Rates()
    assert step(LIMITS, rates).refill_seconds == inf
    settle(job_id, 10)
    rates._latest["teacher"] = (time.monotonic(), 1000.0)
    assert step(LIMITS, rates).refill_seconds < LIMITS.window / 500


def test_questions_that_are_taken_fast_share_messages(clean: Stack) -> None:
    job_id = fill(additions(20), "sums").job_id
    rates = Rates()
    step(LIMITS, rates)
    assert waiting(clean) == 10
    settle(job_id, 10)
    rates._latest["teacher"] = (time.monotonic(), 1000.0)  # of earlier steps, whatever this machine's load
    assert step(LIMITS, rates).queued == 10
    assert waiting(clean) == 11


def test_a_lost_workers_question_comes_back_with_an_error_note(clean: Stack) -> None:
    job_id = fill(additions(1), "sums").job_id
    step(LIMITS)
    assert claim(job_id, 1, "host:1")
    assert not claim(job_id, 1, "host:2")
    assert step(LIMITS) == Step()
    leases_run_out()
    assert step(LIMITS) == Step(queued=1, taken_back=1)
    assert "lost host:1" in value("select last_error from job_questions")
    assert claim(job_id, 1, "host:2")


def test_a_question_whose_workers_always_die_fails_with_an_error(clean: Stack) -> None:
    job_id = fill(additions(2), "sums").job_id
    for visit in range(LIMITS.max_attempts):
        step(LIMITS)
        assert claim(job_id, 1, f"host:{visit}")
        leases_run_out()
    step(LIMITS)
    failed = rows("select state, attempts, last_error from job_questions where question_id = 1")
    assert [tuple(row) for row in failed] == [("failed", 3, "worker: lost host:2 while it held this question")]
    assert states("sums") == {"failed": 1, "queued": 1}


def test_a_lost_worker_does_not_cost_the_job_its_window(clean: Stack) -> None:
    job_id = fill(additions(30), "sums").job_id
    step(LIMITS)
    for question_id in range(1, 11):
        claim(job_id, question_id)
    leases_run_out()
    assert step(LIMITS) == Step(queued=10, taken_back=10)
    assert states("sums") == {"queued": 10, "pending": 20}


def test_a_question_that_keeps_failing_ends_failed_and_retry_reopens_it(clean: Stack) -> None:
    job_id = fill(additions(1), "sums").job_id
    for _ in range(LIMITS.max_attempts):
        assert step(LIMITS).queued == 1
        assert claim(job_id, 1)
        release(job_id, 1)
    assert states("sums") == {"failed": 1}
    assert step(LIMITS).finished == 1
    with transaction() as connection:
        connection.execute(Q["retry_failed"], {"job_id": job_id})
        connection.execute(Q["reopen_job"], {"job_id": job_id})
    assert job_state("sums") == "running"
    assert step(LIMITS).queued == 1


def test_a_question_with_failed_attempts_is_queued_after_the_others(clean: Stack) -> None:
    job_id = fill(additions(21), "sums").job_id
    step(LIMITS)
    assert claim(job_id, 1)
    release(job_id, 1)
    settle(job_id, 9)
    assert step(LIMITS) == Step(queued=10)
    assert states("sums") == {"done": 9, "queued": 10, "pending": 2}
    assert value("select state from job_questions where question_id = 1") == "pending"


def test_uncounted_visits_never_fail_a_question_after_many_attempts(clean: Stack) -> None:
    job_id = fill(additions(1), "sums").job_id
    for _ in range(LIMITS.max_attempts - 1):
        claim(job_id, 1)
        release(job_id, 1)
    for _ in range(LIMITS.max_attempts + 2):
        assert claim(job_id, 1)
        release(job_id, 1, counts=False)
        assert states("sums") == {"pending": 1}
    claim(job_id, 1)
    release(job_id, 1, permanent=True)
    assert states("sums") == {"failed": 1}


def test_verifiers_are_nudged_again_when_the_verification_lease_runs_out(clean: Stack) -> None:
    fill(additions(2), "sums")
    change("update job_questions set state = 'generated', lease_until = now() + interval '1 minute'")
    assert step(LIMITS) == Step()
    leases_run_out()
    assert step(LIMITS) == Step(renudged=2)
    assert step(LIMITS) == Step()
    with redis.Redis.from_url(clean.redis_url) as client:
        assert client.llen("verify") == 1  # one message for both
        leases_run_out()
        assert step(LIMITS) == Step()
        client.delete("verify")
        leases_run_out()
        assert step(LIMITS) == Step(renudged=2)


def test_without_redis_questions_wait_in_postgres_and_continue_later(clean: Stack) -> None:
    fill(additions(5), "sums")
    with broker("redis://127.0.0.1:1/0"):
        assert step(LIMITS).queued == 0
    assert states("sums") == {"pending": 5}
    assert step(LIMITS).queued == 5
    assert waiting(clean) == 5
