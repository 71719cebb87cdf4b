"""`tracemill jobs delete`: a job goes with its traces, unless something depends on them."""

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from cli.main import app
from db import deletion
from db.session import transaction
from tests.integration.factory import additions, change, fill, job_state, rows, value
from tests.integration.feeding import step
from tests.integration.rounds import job, question, trace
from tracemill.errors import UsageError
from tracemill.settings import FeederSettings
from tracemill.stack import Stack

pytestmark = pytest.mark.integration


def delete(name: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["jobs", "delete", name, "--yes", *words])


def ended(name: str, questions: int = 3, samples: int = 2, state: str = "done") -> int:
    """Store a job that has ended, with traces and verdicts."""
    with transaction() as connection:
        ids = [question(connection, f"What is {n} + 1?", name) for n in range(questions)]
        job_id = job(connection, name, ids)
        for question_id in ids:
            for index in range(samples):
                trace(connection, job_id, question_id, f"{question_id} by way {index}", index=index)
        connection.execute(text("update job_questions set state = 'done' where job_id = :id"), {"id": job_id})
        connection.execute(text("update jobs set state = :state where id = :id"), {"id": job_id, "state": state})
    return job_id


def counts() -> tuple[int, ...]:
    tables = ("jobs", "job_questions", "job_prompts", "traces", "verdicts", "questions")
    return tuple(value(f"select count(*) from {table}") for table in tables)


def test_a_job_goes_with_its_traces_and_its_questions_stay(clean: Stack) -> None:
    ended("kept")
    before = counts()
    ended("gone", state="cancelled")
    done = delete("gone")
    assert (done.exit_code, done.stdout) == (0, "gone is deleted: 6 traces\n")
    assert counts() == (*before[:-1], before[-1] + 3)
    assert rows("select job, traces from job_progress") == [("kept", 6)]


def test_deleting_asks_before_it_deletes(clean: Stack) -> None:
    ended("kept")
    refused = CliRunner().invoke(app, ["jobs", "delete", "kept"], input="n\n")
    assert "Delete job kept with its 6 traces?" in refused.stdout
    assert (refused.exit_code, job_state("kept")) == (1, "done")


@pytest.mark.parametrize("state", ["filling", "running", "paused", "over_budget"])
def test_a_job_that_has_not_ended_is_not_deleted(clean: Stack, state: str) -> None:
    ended("busy", state=state)
    before = counts()
    for words in (["jobs", "delete", "busy"], ["jobs", "delete", "busy", "--yes"]):
        refused = CliRunner().invoke(app, words)
        assert str(refused.exception) == f"job busy is {state}: end it first with `tracemill jobs cancel busy`"
        assert refused.stdout == ""  # no question
    assert counts() == before


@pytest.mark.parametrize("name", ["teach", "held-out"])
def test_a_job_of_a_round_is_deleted_only_with_force(rounds: Stack, name: str) -> None:
    refused = delete(name)
    assert isinstance(refused.exception, UsageError)
    assert f"job {name} was used by round round-1. --force deletes it all the same" in str(refused.exception)
    before = value("select count(*) from round_lineage")
    assert before > 0
    assert delete(name, "--force").exit_code == 0
    assert value("select count(*) from jobs where name = :name", name=name) == 0
    assert value("select count(*) from rounds") == 1
    # Traces of other jobs keep their lineage.
    assert (value("select count(*) from examples") == 0) == (name == "teach")


def test_a_job_that_an_unfinished_round_needs_is_never_deleted(rounds: Stack) -> None:
    change("delete from examples")
    change("delete from evaluations")
    assert value("select count(*) from rounds where spec #> '{select,jobs}' ? 'teach'") == 1
    change("update rounds set state = 'queued'")
    for words in ((), ("--force",)):
        assert "job teach is in use by round round-1: wait" in str(delete("teach", *words).exception)
    assert job_state("teach") == "done"


def test_a_job_whose_traces_another_job_quotes_is_protected(clean: Stack) -> None:
    quoted = ended("quoted")
    fill(additions(1), "quoting", from_job_id=quoted)
    assert "job quoted is in use by job quoting: wait" in str(delete("quoted", "--force").exception)
    change("update jobs set state = 'done' where name = 'quoting'")
    assert "job quoted was used by job quoting" in str(delete("quoted").exception)
    assert delete("quoted", "--force").exit_code == 0
    assert rows("select name, from_job_id from jobs") == [("quoting", None)]


def test_a_job_of_a_running_loop_is_protected(clean: Stack) -> None:
    ended("star-1-attempt")
    change("insert into loops (name, awaits, spec, shots) values ('star', 'star-1-rationalize', '{}', '[]')")
    assert "job star-1-attempt is in use by loop star" in str(delete("star-1-attempt").exception)
    change("update loops set state = 'stopped'")
    assert delete("star-1-attempt").exit_code == 0


def test_the_same_command_completes_an_interrupted_deletion(clean: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "FIRST_BATCH", 1)
    job_id = ended("gone", questions=40)
    deletion.begin("gone", job_id, "done", force=False)
    next(deletion.delete(job_id))
    assert (job_state("gone"), value("select count(*) from traces")) == ("deleting", 78)
    with pytest.raises(UsageError, match="is being deleted"):
        fill(additions(1), "gone")
    assert delete("gone").stdout == "gone is deleted: 78 traces\n"
    assert counts()[:5] == (0, 0, 0, 0, 0)


def test_a_trace_that_comes_during_the_deletion_goes_too(clean: Stack) -> None:
    job_id = ended("gone")
    deletion.begin("gone", job_id, "done", force=False)
    batches = deletion.delete(job_id)
    next(batches)
    with transaction() as connection:
        trace(connection, job_id, value("select min(id) from questions"), "a late answer", index=7)
    assert list(batches) == []
    assert counts()[:5] == (0, 0, 0, 0, 0)


def test_the_feeder_works_between_the_transactions_of_a_deletion(clean: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "FIRST_BATCH", 8)
    monkeypatch.setattr(deletion, "BATCH_SECONDS", 0)  # each transaction is too slow, so the next one is smaller
    job_id = ended("large", questions=20)
    deletion.begin("large", job_id, "done", force=False)
    fill(additions(20), "sums")
    sizes = []
    for deleted in deletion.delete(job_id):
        sizes.append((deleted.questions, deleted.traces))
        assert step(FeederSettings(window=len(sizes))).queued == 1
    assert sizes == [(n, 2 * n) for n in (8, 4, 2, 1, 1, 1, 1, 1, 1)]
