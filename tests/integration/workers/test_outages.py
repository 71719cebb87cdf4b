"""Outages of a model: no question fails for its server, and the one that breaks a working server fails alone.

The model is scripted; feeder, tasks and database are real, in this process.
"""

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pytest

from db.diagnosis import why_idle
from tests.integration.answers import answers
from tests.integration.factory import additions, change, fill, job_state, rows, states, value
from tests.integration.feeding import step
from tests.integration.statements import claim, claim_id, execute
from tests.integration.visits import Observed, work
from tests.scripted_server import Fault
from tracemill.engines import openai_server
from tracemill.settings import FeederSettings, settings
from tracemill.stack import Stack
from workers.generate import LONGEST_WAIT, generate
from workers.outages import answers_now

pytestmark = pytest.mark.integration


class Teacher(Observed):
    """Answers "What is n + 1?", and fails for the questions that contain `breaking`, or for all with `faults`."""

    breaking: str | None = None
    fault: Any = None

    def __init__(self) -> None:
        super().__init__(lambda question: list(answers(question)))

    @property
    def faults(self) -> Iterator[Any]:
        """The fault of the newest request."""
        return self._faults if self.breaking is None else self._broken()

    @faults.setter
    def faults(self, faults: Iterator[Any]) -> None:
        self._faults = faults

    def _broken(self) -> Iterator[Any]:
        question = self.requests[-1][1]["messages"][-1]["content"]
        yield self.fault if self.breaking is not None and self.breaking in question else None


@pytest.fixture(scope="module")
def teacher() -> Iterator[Teacher]:
    with Teacher() as server:
        yield server


@pytest.fixture
def database(database: Stack, teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setattr(openai_server, "FIRST_PAUSE", 0.001)
    teacher.breaking = None
    change("truncate model_pauses")
    return database


def visit_all(job: str) -> None:
    """Send the questions of a job that may be sent now, and visit each once."""
    step(settings().feeder)
    for row in rows(
        "select job_id, question_id from job_questions q join jobs j on j.id = q.job_id "
        "where j.name = :job and q.state = 'queued' order by 2",
        job=job,
    ):
        generate(row.job_id, [row.question_id])


def the_wait_is_over() -> None:
    change("update job_questions set not_before = now() - interval '1 second' where not_before is not null")


@pytest.mark.parametrize("fault", [(500, {}), (502, {}), Fault.MALFORMED, Fault.CUT_OFF], ids=str)
def test_a_server_that_fails_every_request_fails_no_question(database: Stack, teacher: Teacher, fault: Any) -> None:
    fill(additions(3), "sums", purpose="evaluate")
    teacher.faults = repeat(fault)
    for absences in range(1, settings().feeder.max_attempts + 2):
        visit_all("sums")
        stored = rows("select distinct state, attempts, absences, not_before > updated_at as waits from job_questions")
        assert stored == [("pending", 0, absences, True)]
        the_wait_is_over()
    assert job_state("sums") == "running"
    teacher.faults = iter(())
    work("sums")
    assert states("sums") == {"done": 3}
    assert rows("select distinct absences, last_error from job_questions") == [(0, None)]


@pytest.mark.parametrize(
    ("fault", "error"), [((500, {}), "answered 500"), ((502, {}), "answered 502"), (Fault.RESET, "disconnected")]
)
def test_a_question_that_breaks_a_working_server_fails_alone(
    database: Stack, teacher: Teacher, fault: Any, error: str
) -> None:
    questions = additions(3)
    fill(questions, "sums")
    teacher.breaking, teacher.fault = questions[1].text, fault
    work("sums")
    assert states("sums") == {"done": 2, "failed": 1}
    (failed,) = rows("select attempts, last_error from job_questions where state = 'failed'")
    assert failed.attempts == settings().feeder.max_attempts
    assert error in failed.last_error


def test_a_server_is_asked_one_simple_question_for_all_that_fail(database: Stack, teacher: Teacher) -> None:
    assert answers_now("teacher")
    assert [request["max_tokens"] for _, request in teacher.requests] == [1]
    teacher.faults = repeat(Fault.REFUSED)  # too long, or with parameters that it does not know: it works all the same
    assert answers_now("teacher")
    teacher.faults = repeat(Fault.UNAUTHORIZED)
    assert not answers_now("teacher")


def test_each_wait_is_twice_as_long_up_to_a_minute(clean: Stack) -> None:
    job_id = fill(additions(1), "sums").job_id
    key = {"job_id": job_id, "question_id": 1, "claim_id": claim_id("worker")}
    for longest in (1, 2, 4, 8, 16, 32, 60, 60):
        claim(job_id, 1)
        execute("put_off", **key, error="it is away", longest=LONGEST_WAIT)
        wait = value("select extract(epoch from not_before - updated_at) from job_questions")
        assert longest / 2 <= wait <= longest + 0.5


def test_questions_that_wait_are_not_sent_and_others_are(clean: Stack) -> None:
    job_id = fill(additions(3), "sums").job_id
    change("update job_questions set not_before = now() + interval '1 minute' where question_id = 1")
    assert step(FeederSettings(window=10)).queued == 2
    assert value("select state from job_questions where question_id = 1") == "pending"
    change("update job_questions set state = 'done' where question_id > 1")
    assert step(FeederSettings(window=10)).finished == 0
    the_wait_is_over()
    assert step(FeederSettings(window=10)).queued == 1
    assert claim(job_id, 1)


def test_an_outage_reaches_no_more_questions_than_the_window(clean: Stack) -> None:
    job_id = fill(additions(50), "sums").job_id
    for _ in range(4):
        step(FeederSettings(window=10))
        for row in rows("select question_id from job_questions where state = 'queued'"):
            claim(job_id, row.question_id)
            key = {"job_id": job_id, "question_id": row.question_id, "claim_id": claim_id("worker")}
            execute("put_off", **key, error="it is away", longest=LONGEST_WAIT)
    assert value("select count(*) from job_questions where absences > 0") == 10


# A key, an address or a model that is wrong.


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_alias_is_paused_with_its_reason_and_no_other(database: Stack, teacher: Teacher, status: int) -> None:
    fill(additions(3), "refused")
    fill(additions(3, first=100), "well", model="student")
    teacher.breaking, teacher.fault = "", (status, {})
    visit_all("refused")
    assert len(teacher.requests) == 1  # the other messages find the alias paused
    teacher.breaking = None
    visit_all("well")
    assert states("well") == {"generated": 3}
    assert states("refused") == {"pending": 3}
    assert rows("select distinct attempts, not_before from job_questions q join jobs j on j.id = q.job_id "
                "where j.name = 'refused'") == [(0, None)]  # fmt: skip
    (reason,) = [line for line in why_idle([dict(row._mapping) for row in rows("select * from job_progress")])
                 if line.startswith("refused: teacher is paused")]  # fmt: skip
    assert f"answered {status}" in reason


def test_a_paused_alias_gets_one_question_as_a_trial(database: Stack, teacher: Teacher) -> None:
    fill(additions(3), "refused", samples=1)
    teacher.breaking, teacher.fault = "", (401, {})
    for _ in range(3):
        visit_all("refused")
        assert step(settings().feeder).queued == 0
        change("update model_pauses set retry_at = now()")
    assert len(teacher.requests) == 3
    teacher.breaking = None
    visit_all("refused")
    assert states("refused") == {"pending": 2, "generated": 1}
    assert value("select count(*) from model_pauses") == 0
    assert step(settings().feeder).queued == 2
