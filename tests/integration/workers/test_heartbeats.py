"""Claims last as long as the heartbeats of their process, and no longer than their task."""

import os
import socket
import subprocess
import sys
from uuid import uuid4

import pytest
from sqlalchemy.exc import ProgrammingError

from db import heartbeat as heartbeats
from db.heartbeat import Heartbeat, heartbeat, present, process_name
from db.queries import Q
from db.session import statement
from tests import ROOT
from tests.conftest import forget
from tests.integration.factory import additions, change, fill, rows, states, value, wait_until
from tests.integration.feeding import step
from tests.integration.statements import alive, beat, claim, claim_id, execute, fetch, keys
from tests.integration.visits import Observed
from tracemill.settings import FeederSettings
from tracemill.stack import Stack
from workers import claims, generate
from workers.claims import ClaimKey, holding

pytestmark = pytest.mark.integration

LIMITS = FeederSettings(running_lease_seconds=30)


def listed() -> set[str]:
    """The processes that people see."""
    return {row.name for row in fetch("processes", host=None)}


# The claims of a process that is lost.


@pytest.mark.parametrize("state", ["running", "generated"])
def test_the_claims_of_a_process_end_one_lease_after_its_last_heartbeat(clean: Stack, state: str) -> None:
    job_id = fill(additions(4), "sums").job_id
    for question_id, owner in enumerate(("fresh", "quiet", "silent", "deleted"), 1):
        claim(job_id, question_id, owner=owner)
    change("update job_questions set state = :state", state=state)
    alive("quiet", seconds_ago=20)
    alive("silent", seconds_ago=31)
    change("delete from processes where name = 'deleted'")
    owners = [row.owner for row in fetch("lost_owners", lease=30)]
    assert owners == ["deleted", "silent"]
    assert execute("end_lost_claims", owners=[*owners, "fresh", "quiet"], lease=30) == 2  # these two send again
    assert execute("end_lost_claims", owners=owners, lease=30) == 0
    ended = rows("select question_id from job_questions where lease_until <= now() order by 1")
    assert ended == [(3,), (4,)]


def test_the_feeder_takes_back_what_a_lost_worker_held_and_nothing_else(clean: Stack) -> None:
    job_id = fill(additions(3), "sums").job_id
    step(LIMITS)
    for question_id, owner in enumerate(("fresh", "lost", "lost"), 1):
        claim(job_id, question_id, owner=owner)
    change("update job_questions set state = 'generated' where question_id = 3")  # a lost verifier
    assert step(LIMITS).taken_back == 0
    alive("lost", seconds_ago=31)
    did = step(LIMITS)
    assert (did.taken_back, did.renudged) == (1, 1)
    assert rows("select question_id, owner, attempts from job_questions order by 1") == [
        (1, "fresh", 1),
        (2, None, 1),
        (3, None, 1),
    ]


def test_a_successor_with_the_same_pid_does_not_keep_the_claims_of_the_dead(
    clean: Stack,
) -> None:
    job_id = fill(additions(1), "sums").job_id
    step(LIMITS)
    dead = process_name("generate")
    claim(job_id, 1, owner=dead)
    heartbeats._random.cache_clear()
    assert process_name("generate") != dead
    alive(process_name("generate"))
    alive(dead, seconds_ago=31)
    assert step(LIMITS).taken_back == 1
    heartbeats._random.cache_clear()


def test_a_claim_that_an_older_release_renews_lasts_until_its_own_lease(clean: Stack) -> None:
    job_id = fill(additions(1), "sums").job_id
    step(LIMITS)
    claim(job_id, 1, owner="host:1:ab")
    change("delete from processes where name = 'host:1:ab'")
    change("update job_questions set lease_until = now() + interval '1 minute'")
    assert step(LIMITS).taken_back == 0
    change("update job_questions set lease_until = now()")
    assert step(LIMITS).taken_back == 1


# Claims that their process has forgotten.


def fails(*values: object) -> None:
    raise ProgrammingError("update job_questions", {}, Exception("column does not exist"))


@pytest.mark.parametrize("names", [("_visit",), ("_store", "_change")])
def test_a_visit_that_ends_without_a_result_gives_its_question_back(
    database: Stack, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TRACEMILL_FEEDER__RUNNING_LEASE_SECONDS", "1.1")  # the process looks this often
    forget()
    job_id = fill(additions(1), "sums").job_id
    step(LIMITS)
    for name in names:
        monkeypatch.setattr(generate, name, fails)
    with pytest.raises(ProgrammingError):
        generate.generate(job_id, [1])
    assert states("sums") == {"running": 1}
    wait_until(lambda: step(LIMITS).taken_back == 1)


def test_a_claim_that_reaches_postgres_after_its_visit_goes_back(database: Stack) -> None:
    job_id = fill(additions(1), "sums").job_id
    with holding([ClaimKey(job_id, 1, claim_id("slow"))]):
        pass
    with statement() as connection:
        connection.execute(Q["claim"], keys(job_id, 1, claim="slow") | {"owner": claims.owner()})
    claims.end_forgotten()
    assert step(LIMITS).taken_back == 1


def test_claims_of_visits_that_last_are_not_given_back(database: Stack, teacher: Observed) -> None:
    job_id = fill(additions(1), "sums", samples=1).job_id
    step(LIMITS)
    taken_back: list[int] = []

    def during() -> None:
        claims.end_forgotten()
        taken_back.append(step(LIMITS).taken_back)

    teacher.during = during
    generate.generate(job_id, [1])
    assert taken_back == [0]
    assert states("sums") == {"generated": 1}
    assert claims.held == set()


def test_forgotten_claims_wait_for_postgres(database: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "statement", fails)
    claims.end_forgotten()


def test_a_late_answer_of_a_question_that_failed_meanwhile_is_verified(database: Stack, teacher: Observed) -> None:
    job_id = fill(additions(2), "sums", samples=1).job_id
    step(LIMITS)

    def lose() -> None:
        change("update job_questions set attempts = 5, lease_until = now() - interval '1 s' where question_id = 1")
        step(LIMITS)
        assert states("sums") == {"failed": 1, "queued": 1}

    teacher.during = lose
    generate.generate(job_id, [1])
    assert states("sums") == {"generated": 1, "queued": 1}


# The heartbeats of a process.


def test_a_process_that_was_frozen_sends_a_heartbeat_before_its_next_claim(database: Stack, teacher: Observed) -> None:
    job_id = fill(additions(1), "sums", samples=1).job_id
    step(LIMITS)
    alive(heartbeat().name, seconds_ago=40)
    heartbeat()._sent_at -= 40
    taken_back: list[int] = []
    teacher.during = lambda: taken_back.append(step(LIMITS).taken_back)
    generate.generate(job_id, [1])
    assert taken_back == [0]


def test_a_fault_of_the_reported_state_does_not_end_the_heartbeats(clean: Stack) -> None:
    states = iter([{"concurrency": 0, "leads": False, "trouble": None}])
    sent = Heartbeat(process_name("verify"), "verify", [], lambda: next(states)).start()
    try:
        sent.send()
        assert sent._thread._thread.is_alive()
    finally:
        sent.stop()


def test_a_dead_process_is_hidden_until_its_next_heartbeat(clean: Stack) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    host = socket.gethostname()
    dead, living = (f"verify.{pid}.{uuid4().hex[:8]}@{host}" for pid in (child.pid, os.getppid()))
    same_pid, older = f"verify.{os.getpid()}.before@{host}", f"verify.{child.pid}@{host}"
    for name in (dead, living, same_pid, older):
        beat(name, host=host, is_hidden=False)
    with present("verify"):
        shown = listed()
        assert {living, process_name("verify")} <= shown
        assert not {dead, same_pid, older} & shown
        assert value("select count(*) from processes where name = :name", name=dead) == 1
        beat(dead, is_hidden=False)  # it is alive, in another container with this host name
        assert dead in listed()
    assert process_name("verify") not in listed()


FORKED = """
import os, sys
from db.heartbeat import heartbeat, present, process_name
with present("verify"):
    if (child := os.fork()) == 0:
        os.write(1, heartbeat().name.encode())
        os._exit(0)
    os.waitpid(child, 0)
    print("", heartbeat().name)
"""


def test_a_forked_worker_has_heartbeats_of_its_own_that_people_do_not_see(clean: Stack) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], cwd=ROOT, capture_output=True, text=True, check=True)
    child, parent = done.stdout.split()
    assert child != parent
    assert value("select is_hidden from processes where name = :name", name=child) is True
    assert value("select count(*) from processes where name = :name", name=parent) == 0
