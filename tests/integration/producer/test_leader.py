"""The lead among feeders: one at a time, never changed by a feeder that lost it, and patient when it is new."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from producer import feeder
from producer.feeder import Step
from producer.leader import Lead, LeadLost, take_lead
from tests.integration.factory import Processes, additions, change, fill, states, value, wait_until, waiting
from tests.integration.feeding import lead, leases_run_out, settle, step
from tests.integration.statements import claim, versions
from tracemill.keepalive import BROKEN
from tracemill.settings import FeederSettings
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

LIMITS = FeederSettings(window=10)


@pytest.fixture
def processes(clean: Stack, tmp_path: Path) -> Iterator[Processes]:
    started = Processes(tmp_path, {})
    yield started
    started.stop_all()


def test_a_feeder_leads_again_after_an_error_of_postgres(clean: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    fences: list[int] = []

    def fails_once(_: FeederSettings, lead: Lead, *__: object) -> Step:
        fences.append(lead.fence)
        if len(fences) == 1:
            raise OperationalError("update job_questions", {}, Exception("deadlock detected"))
        return Step()

    monkeypatch.setattr(feeder, "step", fails_once)
    thread = threading.Thread(target=feeder.stand_by, args=(lambda: len(fences) >= 3, threading.Event()))
    thread.start()
    thread.join(10)
    is_done = not thread.is_alive()
    fences += [0] * 3  # so that it ends in any case
    thread.join()
    assert is_done
    assert fences[0] + 1 == fences[1] == fences[2]


def test_only_one_feeder_leads_until_its_lease_runs_out_or_is_released(clean: Stack) -> None:
    first = take_lead("first", 60)
    assert first is not None
    assert take_lead("second", 60) is None
    change("update leader set lease_until = clock_timestamp()")
    second = take_lead("second", 60)
    assert second is not None
    assert second.fence > first.fence
    first.release()
    assert take_lead("third", 60) is None
    second.release()
    assert take_lead("third", 60) is not None


def test_a_feeder_that_lost_the_lead_changes_nothing(clean: Stack) -> None:
    fill(additions(20), "sums")
    old = lead("old")
    change("update leader set lease_until = clock_timestamp()")
    lead("new")
    before = versions()
    with pytest.raises(LeadLost):
        feeder.step(LIMITS, old)
    assert (versions(), waiting(clean)) == (before, 0)


def test_a_feeder_that_loses_the_lead_during_its_step_changes_nothing_more(
    clean: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(additions(20), "sums")
    compute = feeder._rooms

    def frozen(*values: Any) -> list[Any]:
        computed = list(compute(*values))
        change("update leader set lease_until = clock_timestamp()")
        lead("new")
        return computed

    monkeypatch.setattr(feeder, "_rooms", frozen)
    before = versions()
    with pytest.raises(LeadLost):
        feeder.step(LIMITS, lead("old"))
    assert (versions(), waiting(clean)) == (before, 0)


def test_a_feeder_that_has_just_begun_to_lead_takes_nothing_back(clean: Stack) -> None:
    job_id = fill(additions(3), "sums").job_id
    step(LIMITS)
    assert claim(job_id, 1, 2)
    change("update job_questions set state = 'generated' where question_id = 2")  # and a verifier works on it
    leases_run_out()
    leader = lead()
    results = []
    for seconds in (0, LIMITS.running_lease_seconds - 5, LIMITS.running_lease_seconds):
        change("update leader set since = now() - make_interval(secs => :seconds)", seconds=seconds)
        did = feeder.step(LIMITS, leader)
        results.append((did.taken_back, did.renudged))
    assert results == [(0, 0), (0, 0), (1, 1)]  # the message of the third question still waits in Redis


def test_a_feeder_that_has_just_begun_to_lead_sends_traces_that_no_verifier_works_on(clean: Stack) -> None:
    fill(additions(1), "sums")
    change("update job_questions set state = 'generated', lease_until = now()")
    leader = lead()
    change("update leader set since = now()")
    assert feeder.step(LIMITS, leader).renudged == 1


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_another_feeder_leads_when_the_leader_is_killed_or_frozen(
    clean: Stack, processes: Processes, fault: signal.Signals
) -> None:
    names = ("one", "two")
    for name in names:
        processes.start(name, "producer", TRACEMILL_FEEDER__WINDOW="10", TRACEMILL_FEEDER__LEADER_LEASE_SECONDS="2")

    def leaders() -> set[str]:
        return {name for name in names if "this feeder leads" in processes.log(name).read_text()}

    fill(additions(30), "sums")
    wait_until(lambda: states("sums") == {"queued": 10, "pending": 20}, 120, lambda: states("sums"))
    (first,) = leaders()
    processes.running[first].send_signal(fault)
    settle(1, 10)
    # Frozen in a transaction, the leader keeps its row until Postgres ends its session.
    wait_until(lambda: states("sums") == {"done": 10, "queued": 10, "pending": 10}, seconds=BROKEN + 5)
    (second,) = leaders() - {first}
    if fault is signal.SIGSTOP:
        fence = value("select fence from leader")
        processes.running[first].send_signal(signal.SIGCONT)
        wait_until(
            lambda: value("select count(*) from processes where kind = 'producer' and not leads and not is_hidden") == 1
        )
        assert value("select fence from leader") == fence
    assert processes.stop(second) == 0
