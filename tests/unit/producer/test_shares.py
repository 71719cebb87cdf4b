"""The number of questions that each job may send: jobs share the window of their model."""

import doctest
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from producer import shares
from producer.shares import Job, rooms, window

counts = st.integers(0, 50)
jobs = st.lists(st.builds(Job, st.just(0), st.integers(0, 2), counts, counts, counts, st.booleans()), max_size=6).map(
    lambda drawn: [replace(job, id=number) for number, job in enumerate(drawn)]
)


def test_the_examples_hold() -> None:
    assert doctest.testmod(shares).failed == 0


@given(jobs, st.integers(1, 100))
def test_jobs_get_at_most_their_pending_questions_and_at_most_the_window(jobs_: list[Job], width: int) -> None:
    given_ = rooms(jobs_, width)
    assert set(given_) == {job.id for job in jobs_}
    assert all(0 <= given_[job.id] <= (job.pending if job.may_send else 0) for job in jobs_)
    assert sum(given_.values()) <= max(0, width - sum(job.queued for job in jobs_))


@given(jobs, st.integers(1, 100))
def test_no_place_in_the_window_stays_empty_while_a_job_can_use_it(jobs_: list[Job], width: int) -> None:
    given_ = rooms(jobs_, width, backlog=10_000)
    free = width - sum(job.queued for job in jobs_) - sum(given_.values())
    assert free <= 0 or all(given_[job.id] == job.pending for job in jobs_ if job.may_send)


@given(jobs, st.integers(1, 100))
def test_jobs_of_equal_priority_get_equal_shares(jobs_: list[Job], width: int) -> None:
    given_ = rooms(jobs_, width, backlog=10_000)
    after = {job.id: job.queued + given_[job.id] for job in jobs_}
    for job in jobs_:
        for other in jobs_:
            if job.priority == other.priority and job.may_send and given_[job.id] < job.pending and given_[other.id]:
                assert after[other.id] <= after[job.id] + 1


def test_a_higher_priority_goes_first() -> None:
    assert rooms([Job(1, 0, 0, 0, 50), Job(2, 1, 0, 0, 50)], 60) == {1: 10, 2: 50}


def test_questions_without_verdicts_count_against_the_backlog() -> None:
    assert rooms([Job(1, 0, 5, 30, 50)], 20, backlog=40) == {1: 5}
    assert rooms([Job(1, 0, 0, 80, 50)], 20) == {1: 0}  # by default four windows
    assert rooms([Job(1, 0, 0, 79, 50)], 20) == {1: 1}


def test_redis_holds_few_messages_with_any_number_of_workers_and_models() -> None:
    assert window(1_000_000, 1) == 10_000
    assert 50 * window(1_000_000, 50) == 10_000
    assert window(1_000_000, 20_000) == 1  # every model can continue
