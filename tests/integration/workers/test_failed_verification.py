"""A verification that fails holds no other question, and a judge that is away fails none."""

import json
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

import pytest

from tests.integration.factory import change, fill, rows, states, value
from tests.integration.statements import execute
from tests.integration.verifying import right_and_wrong, store, sums
from tests.scripted_server import Fault, ScriptedServer
from tracemill.engines import openai_server
from tracemill.policy import Policy
from tracemill.stack import Stack
from tracemill.verification import Item, Verdict, Verifier
from workers.verdict_rows import StoredTrace, verdict_row
from workers.verify import verify

pytestmark = pytest.mark.integration


def test_an_error_about_one_trace_fails_its_question_and_no_other(
    judged_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = sums(16)
    job_id = fill(questions, "bug", samples=2).job_id
    store("bug", right_and_wrong(questions), check=False)
    verify_items = Verifier.verify

    def fails(self: Verifier, items: Sequence[Item], *rest: Any) -> list[Verdict]:
        if any(item.question == questions[5].text for item in items):
            raise ValueError("a bug of a check")
        return verify_items(self, items, *rest)

    monkeypatch.setattr(Verifier, "verify", fails)
    verified_until_settled("bug", job_id)
    assert states("bug") == {"done": 15, "failed": 1}
    (failed,) = rows(
        "select q.question, jq.attempts, jq.last_error from job_questions jq join questions q on q.id = jq.question_id "
        "where jq.state = 'failed'"
    )
    assert tuple(failed) == (questions[5].text, 5, "ValueError: a bug of a check")
    monkeypatch.undo()
    execute("retry_failed", job_id=job_id)
    assert states("bug") == {"done": 15, "pending": 1}


def test_a_verdict_that_postgres_refuses_fails_its_question_alone(
    judged_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = sums(3)
    job_id = fill(questions, "refused", samples=1).job_id
    store("refused", {q.text: [f"The answer is {q.gold}."] for q in questions}, check=False)

    def with_a_null_character(trace: StoredTrace, policy: Policy, verdict: Verdict) -> dict[str, Any]:
        row = verdict_row(trace, policy, verdict)
        return row | {"proof": "\0"} if trace.item.question == questions[0].text else row

    monkeypatch.setattr("workers.verify.verdict_row", with_a_null_character)
    verified_until_settled("refused", job_id)
    assert states("refused") == {"done": 2, "failed": 1}


def test_a_judge_that_breaks_at_one_trace_is_an_error_of_this_verdict(
    judged_stack: Stack, judges: dict[str, ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_server, "FIRST_PAUSE", 0.001)
    questions = sums(3)
    job_id = fill(questions, "broken", samples=1, policy=Policy(judge="firm")).job_id
    store("broken", {q.text: [f"I add them.\nThe answer is {q.gold}."] for q in questions}, check=False)
    judge = judges["firm"]

    def breaks() -> Iterator[Any]:
        while True:
            _, body = judge.requests[-1]
            yield Fault.BROKEN if questions[0].text in json.dumps(body) else None

    monkeypatch.setattr(judge, "faults", breaks())
    verified_until_settled("broken", job_id)
    assert states("broken") == {"done": 3}
    verdicts = rows("select error, signals from verdicts order by error")
    assert ["rating" in verdict.signals for verdict in verdicts] == [False, True, True]
    assert "answered 500" in verdicts[0].error


@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.MALFORMED])
def test_a_judge_that_fails_every_request_fails_no_question(
    judged_stack: Stack, judges: dict[str, ScriptedServer], monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(openai_server, "FIRST_PAUSE", 0.001)
    questions = sums(3)
    job_id = fill(questions, "down", samples=1, policy=Policy(judge="firm")).job_id
    store("down", {q.text: [f"I add them.\nThe answer is {q.gold}."] for q in questions}, check=False)
    with monkeypatch.context() as patch:
        patch.setattr(judges["firm"], "faults", repeat(fault))
        for _ in range(6):
            verify(job_id, [row.question_id for row in rows("select question_id from job_questions")])
    assert states("down") == {"generated": 3}
    assert value("select max(attempts) from job_questions") == 0
    assert value("select count(*) from verdicts") == 0
    verified_until_settled("down", job_id)
    assert states("down") == {"done": 3}


def test_a_refused_judge_is_paused_and_asked_again_after_its_pause(
    judged_stack: Stack, judges: dict[str, ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = sums(3)
    job_id = fill(questions, "paused", samples=1, policy=Policy(judge="firm")).job_id
    store("paused", {q.text: [f"I add them.\nThe answer is {q.gold}."] for q in questions}, check=False)
    question_ids = [row.question_id for row in rows("select question_id from job_questions")]
    judge = judges["firm"]
    with monkeypatch.context() as patch:
        patch.setattr(judge, "faults", repeat(Fault.UNAUTHORIZED))
        verify(job_id, question_ids)
        judge.requests.clear()
        verify(job_id, question_ids)
    assert list(judge.requests) == []
    assert "answered 401" in value("select distinct last_error from job_questions")
    change("update model_pauses set retry_at = now()")
    verify(job_id, question_ids)
    assert states("paused") == {"done": 3}
    assert value("select count(*) from model_pauses") == 0


def verified_until_settled(job: str, job_id: int) -> None:
    """Verify the questions of a job as often as the feeder sends them."""
    for _ in range(6):
        waiting = rows("select question_id from job_questions where job_id = :job and state = 'generated'", job=job_id)
        if waiting:
            verify(job_id, [row.question_id for row in waiting])
