"""Tiers of `tracemill enqueue --escalate`: what one model fails, the next one answers, each question once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from cli.main import app
from db.queries import Q
from producer.enqueue import enqueue, enqueue_from, open_tier
from tests.integration.factory import additions, change, fill, job_spec, job_state, rows, states
from tests.integration.feeding import step
from tests.integration.statements import STATES, execute, fetch, spread, state_of
from tests.integration.visits import in_this_process, work
from tests.scripted_server import ScriptedServer
from tracemill.settings import settings
from tracemill.stack import Stack
from workers.verify import verify

pytestmark = pytest.mark.integration


def _two_tiers(count: int = 4) -> tuple[int, int]:
    """A job `cheap` with so many questions, and its next tier `strong`."""
    cheap = fill(additions(count), "cheap", samples=1).job_id
    return cheap, _tier("strong", cheap)


def _tier(name: str, from_job_id: int) -> int:
    spec = job_spec(name, model="student", samples=2, from_job_id=from_job_id, escalates=True)
    return open_tier(spec).job_id


def _end(job_id: int, accepted: dict[int, int]) -> None:
    """Let questions of a job end with so many accepted traces."""
    for question_id, count in accepted.items():
        change(
            "update job_questions set state = 'done', settled = 1, accepted = :n "
            "where job_id = :job and question_id = :id",
            n=count,
            job=job_id,
            id=question_id,
        )


def _escalate(job_id: int, *question_ids: int) -> int:
    """Move the named questions of a job, or all; return how many were moved."""
    (row,) = fetch("escalate", job_id=job_id, question_ids=list(question_ids) or None)
    return int(row.questions)


def _run(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.stdout


# The statement and its guards.


def test_only_answered_questions_without_an_accepted_trace_move(clean: Stack) -> None:
    cheap, strong = _two_tiers(6)
    spread(cheap)
    assert [_escalate(cheap), state_of(strong)] == [1, {STATES.index("done") + 1: "pending"}]
    _end(cheap, {1: 1, 2: 0})
    assert [_escalate(cheap, 1), _escalate(cheap, 2, 3)] == [0, 1]
    moved = rows("select question_id, state, wanted from job_questions where job_id = :job order by 1", job=strong)
    assert moved == [(2, "pending", 2), (5, "pending", 2)]
    assert state_of(cheap)[2] == "done"


def test_a_question_that_the_next_tier_has_is_not_added_again(clean: Stack) -> None:
    cheap, strong = _two_tiers(2)
    enqueue(additions(1), job_spec("strong", model="student", samples=2, from_job_id=cheap, escalates=True),
            dataset="cheap", domain="math")  # fmt: skip
    change("update job_questions set state = 'queued' where job_id = :job", job=strong)
    _end(cheap, {1: 0, 2: 0})
    assert [_escalate(cheap), _escalate(cheap)] == [1, 0]
    assert state_of(strong) == {1: "queued", 2: "pending"}


@pytest.mark.parametrize("tier", ["cheap", "strong"])
@pytest.mark.parametrize("state", ["paused", "cancelled", "deleting"])
def test_a_halted_tier_moves_nothing(clean: Stack, tier: str, state: str) -> None:
    cheap, strong = _two_tiers()
    _end(cheap, {1: 0})
    change("update jobs set state = :state where name = :name", state=state, name=tier)
    assert [_escalate(cheap), state_of(strong)] == [0, {}]


def test_a_job_that_only_copies_failed_questions_gets_no_later_ones(clean: Stack) -> None:
    cheap = fill(additions(2), "cheap", samples=1).job_id
    _end(cheap, {1: 0})
    copy = enqueue_from(job_spec("copy", from_job_id=cheap), accepted=False, limit=None).job_id
    _end(cheap, {2: 0})
    assert [_escalate(cheap), state_of(copy)] == [0, {1: "pending"}]


def test_a_tier_ends_after_the_tier_before_it(clean: Stack) -> None:
    cheap, strong = _two_tiers(1)
    for state, ended in (("filling", 0), ("running", 0), ("paused", 0), ("over_budget", 1)):
        change("update jobs set state = :state where id = :id", state=state, id=cheap)
        assert execute("finish_job", job_id=strong) == ended
    change("update jobs set state = 'running' where id = :id", id=cheap)
    _end(cheap, {1: 0})
    _escalate(cheap)
    assert rows("select state, finished_at from jobs where id = :id", id=strong) == [("running", None)]


def test_the_end_of_a_tier_moves_what_was_settled_during_a_pause(clean: Stack) -> None:
    cheap, strong = _two_tiers(2)
    stronger = _tier("stronger", strong)
    _end(cheap, {1: 0, 2: 1})  # nobody has moved it
    step(settings().feeder)
    assert [job_state(name) for name in ("cheap", "strong", "stronger")] == ["done", "running", "running"]
    assert state_of(strong).keys() == {1}
    _end(strong, {1: 0})
    step(settings().feeder)
    assert [job_state(name) for name in ("strong", "stronger")] == ["done", "running"]
    assert state_of(stronger).keys() == {1}


def test_a_resumed_tier_gets_what_ended_meanwhile(clean: Stack) -> None:
    cheap, strong = _two_tiers(1)
    _run("jobs", "pause", "strong")
    _end(cheap, {1: 0})
    step(settings().feeder)
    assert [job_state("cheap"), state_of(strong)] == ["done", {}]
    _run("jobs", "resume", "strong")
    assert state_of(strong) == {1: "pending"}


# The whole way, with scripted models.


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        yield scripted


@pytest.fixture
def database(clean: Stack, server: ScriptedServer, tmp_path: Path) -> Iterator[Stack]:
    with in_this_process(clean, server, tmp_path) as stack:
        yield stack


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps({"question": f"What is {n} + 1?", "gold": str(n + 1)}) + "\n" for n in range(4)))
    return path


def _weak(question: str) -> str:
    """Answers only "What is 0 + 1?" right."""
    return "0 + 1 = 1. The answer is 1." if "is 0" in question else "It is 5 + 5 = 10. The answer is 10."


def _strong(question: str) -> str:
    """Answers all but "What is 3 + 1?" right."""
    n = int(question.split()[2])
    return f"{n} + 1 = {n + 1}. The answer is {n + 1}." if n < 3 else "I do not know that one."


def _routed(source: Path) -> str:
    words = (
        "enqueue",
        str(source),
        "--name",
        "routed",
        "--model",
        "student",
        "--escalate",
        "teacher",
        "--samples",
        "2",
    )
    return _run(*words)


def test_the_stronger_model_gets_what_the_cheap_one_failed(
    database: Stack, server: ScriptedServer, source: Path
) -> None:
    assert "job routed-tier2: teacher answers each question that ends without an accepted trace in routed" in (
        _routed(source)
    )
    server.answer = _weak
    work("routed")
    assert [states("routed"), states("routed-tier2")] == [{"done": 4}, {"queued": 3}]
    assert "4 questions read, 0 new" in _routed(source)
    server.answer = _strong
    change("update job_questions set state = 'pending' where state = 'queued'")
    work("routed-tier2")
    assert [job_state("routed"), job_state("routed-tier2")] == ["done", "done"]
    shown = json.loads(_run("jobs", "show", "routed-tier2", "--json"))["tiers"]
    assert [(row["tier"], row["model"], row["questions"], row["solved"], row["accepted"]) for row in shown] == [
        (1, "student", 4, 1, 2),
        (2, "teacher", 3, 2, 4),
    ]
    traces = rows("select job, sum(tokens_out) as tokens, sum(cost) as cost from trace_scores group by 1 order by 1")
    for row, (_, tokens, cost) in zip(shown, traces, strict=True):
        assert row["tokens_per_accepted"] == tokens / row["accepted"]
        assert row["cost_per_accepted"] == pytest.approx(cost / row["accepted"], rel=1e-4)
    assert "routed-tier2" in _run("jobs", "show", "routed")


def test_a_tier_may_have_the_settings_of_another_job(database: Stack, source: Path) -> None:
    _routed(source)
    _run("enqueue", "job:routed?escalated", "--like", "routed", "--name", "like")
    tiers = rows("select job, tier, model from job_tiers where first_job = 'routed' order by 1")
    assert list(map(tuple, tiers)) == [("like", 2, "student"), ("routed", 1, "student"), ("routed-tier2", 2, "teacher")]


def test_a_question_is_settled_and_moved_in_one_transaction(
    database: Stack, server: ScriptedServer, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _routed(source)
    server.answer = _weak
    with monkeypatch.context() as killed:  # the worker dies between the two statements
        killed.setitem(Q, "escalate", text("select 1 / (:job_id - :job_id) where :question_ids is not null"))
        work("routed")
    waiting: dict[str, Any] = states("routed")
    assert waiting == {"done": 1, "generated": 3} or waiting == {"generated": 4}
    assert states("routed-tier2") == {}
    verify(1, [2, 3, 4])
    assert [states("routed")["done"], states("routed-tier2")] == [4, {"pending": 3}]
