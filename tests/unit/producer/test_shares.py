"""Who may send how many questions: the window of a model, shared between its jobs."""

import doctest
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from producer import shares
from producer.shares import Job, rooms, window

counts = st.integers(0, 50)
jobs = st.lists(st.builds(Job, st.just(0), st.integers(0, 2), counts, counts, counts, st.booleans()), max_size=6).map(
    lambda found: [replace(job, id=place) for place, job in enumerate(found)]
)


def test_the_examples_hold() -> None:
    assert doctest.testmod(shares).failed == 0


@given(jobs, st.integers(1, 100))
def test_no_job_gets_more_than_it_has_and_all_together_no_more_than_the_window(found: list[Job], width: int) -> None:
    given_ = rooms(found, width)
    assert set(given_) == {job.id for job in found}
    assert all(0 <= given_[job.id] <= (job.pending if job.may_send else 0) for job in found)
    assert sum(given_.values()) <= max(0, width - sum(job.in_flight for job in found))


@given(jobs, st.integers(1, 100))
def test_no_place_stays_empty_while_a_job_could_use_it(found: list[Job], width: int) -> None:
    given_ = rooms(found, width, backlog=10_000)
    free = width - sum(job.in_flight for job in found) - sum(given_.values())
    assert free <= 0 or all(given_[job.id] == job.pending for job in found if job.may_send)


@given(jobs, st.integers(1, 100))
def test_of_two_equal_jobs_the_one_that_has_less_is_never_left_behind(found: list[Job], width: int) -> None:
    given_ = rooms(found, width, backlog=10_000)
    after = {job.id: job.in_flight + given_[job.id] for job in found}
    for one in found:
        for other in found:
            if one.priority == other.priority and one.may_send and given_[one.id] < one.pending and given_[other.id]:
                assert after[other.id] <= after[one.id] + 1


def test_a_higher_priority_goes_first() -> None:
    assert rooms([Job(1, 0, 0, 0, 50), Job(2, 1, 0, 0, 50)], 60) == {1: 10, 2: 50}


def test_what_waits_for_its_verdict_counts_against_the_backlog() -> None:
    assert rooms([Job(1, 0, 5, 30, 50)], 20, backlog=40) == {1: 5}
    assert rooms([Job(1, 0, 0, 80, 50)], 20) == {1: 0}  # by default four windows
    assert rooms([Job(1, 0, 0, 79, 50)], 20) == {1: 1}


def test_redis_holds_few_messages_however_many_workers_and_models_there_are() -> None:
    assert window(1_000_000, 1) == 10_000
    assert 50 * window(1_000_000, 50) == 10_000
    assert window(1_000_000, 20_000) == 1  # every model gets on
