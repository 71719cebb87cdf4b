"""The counts of jobs: kept by every statement that changes what is counted, and compared with the rows."""

from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from cli import jobs
from cli.main import app
from db import counts, migrate
from db.session import transaction
from producer.upkeep import MAX_CHANGES, add_up_counts
from tests.integration.factory import additions, change, fill, rows, value, wait_until
from tests.integration.rounds import job, question, trace
from tests.integration.statements import execute, spread
from tracemill.errors import TracemillError
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

#: The counts as they were read from all rows.
TRUTH = """
select count(distinct q.question_id) as questions,
       count(distinct q.question_id) filter (where q.state = 'pending') as pending,
       count(distinct q.question_id) filter (where q.state = 'done') as done,
       count(distinct q.question_id) filter (where q.state = 'failed') as failed,
       count(t.id) as traces, count(v.id) as verified, count(*) filter (where v.correct) as correct,
       count(*) filter (where v.accepted) as accepted, coalesce(sum(t.tokens_out), 0) as tokens_out,
       min(t.created_at) as first_trace_at, max(t.created_at) as last_trace_at
from jobs j join job_questions q on q.job_id = j.id
left join traces t on t.job_id = j.id and t.question_id = q.question_id
left join verdicts v on v.trace_id = t.id and v.verifier = j.verifier
group by j.id order by j.id
"""
COUNTED = (
    "select questions, pending, done, failed, traces, verified, correct, accepted, tokens_out, first_trace_at, "
    "last_trace_at from job_progress order by job_id"
)


def differences() -> list[str]:
    with transaction() as connection:
        return counts.differences(connection)


def assert_right() -> None:
    assert rows(COUNTED) == rows(TRUTH)
    assert differences() == []


def check(*words: str) -> Result:
    return CliRunner().invoke(app, ["db", "check", *words])


@pytest.fixture
def job_id(clean: Stack) -> int:
    """A job of six questions in all six states, four traces, three of them with verdicts, and a second job."""
    fill(additions(3), "other")
    with transaction() as connection:
        ids = [question(connection, f"What is {n} + 1?") for n in range(6)]
        made = job(connection, "sums", ids)
        for n, accepted in enumerate((True, False, None, True)):
            trace(connection, made, ids[n], f"text {n}", accepted=accepted)
    spread(made)
    return made


def test_counts_follow_questions_traces_and_verdicts(job_id: int) -> None:
    assert_right()
    assert rows(COUNTED)[1][:9] == (6, 1, 1, 1, 4, 3, 2, 2, 4)


@pytest.mark.parametrize(
    "statement",
    [
        "update job_questions set state = 'done'",
        "update job_questions set state = 'pending'",
        "update job_questions set state = 'queued', attempts = 7",
        "update traces set tokens_out = tokens_out + 7, cost = 0.5",
        "update verdicts set accepted = not accepted, correct = null",
        "update verdicts set correct = true, majority = 0.5",
        "insert into verdicts (trace_id, verifier, correct, signals, findings, accepted, seconds) "
        "select id, 'another', true, '{}', '[]', true, 0 from traces",
        "insert into traces (job_id, question_id, sample_index, prompt_hash, text, steps, tokens_in, tokens_out, "
        "latency_seconds, worker) select job_id, question_id, 8, prompt_hash, 'x', '[]', 1, 9, 0, 'w' from traces "
        "on conflict do nothing",
        "insert into job_questions (job_id, question_id, wanted, state) "
        "select 1, question_id, 1, 'failed' from job_questions where job_id = 2",
    ],
)
def test_counts_stay_right_whatever_statement_changes_the_rows(job_id: int, statement: str) -> None:
    assert change(statement) > 0
    assert_right()


def test_a_change_that_is_rolled_back_is_not_counted(job_id: int) -> None:
    with transaction() as connection:
        connection.execute(text("update job_questions set state = 'failed'"))
        connection.rollback()
    assert_right()


def test_the_feeder_adds_changes_up(job_id: int) -> None:
    for n in range(MAX_CHANGES):
        change(
            "update job_questions set state = :state where job_id = :job", state=("done", "failed")[n % 2], job=job_id
        )
    change("insert into job_counts (job_id, spent) values (:job, 2), (:job, 0.5)", job=job_id)
    before = rows(COUNTED)
    assert value("select count(*) from job_counts where job_id = :job", job=job_id) > MAX_CHANGES
    add_up_counts()
    assert rows("select spent from job_counts where job_id = :job", job=job_id) == [(2.5,)]
    assert rows(COUNTED) == before
    assert_right()


def test_check_names_wrong_counts_and_corrects_them(job_id: int) -> None:
    assert check().exit_code == 0
    change("insert into job_counts (job_id, traces, accepted) values (:job, 2, -1)", job=job_id)
    wrong = check()
    assert isinstance(wrong.exception, TracemillError)
    assert "the counts of job sums are wrong: -2 traces, +1 accepted" in wrong.stdout
    assert "tracemill db check --correct" in str(wrong.exception)
    assert check("--correct").exit_code == 0
    assert check().stdout == "the schema is up to date, and the counts are right\n"
    assert_right()


def test_an_upgrade_counts_the_rows_of_an_older_release(job_id: int, stack: Stack) -> None:
    before = rows(COUNTED)
    migrate.downgrade(stack.database_url, "0013")
    migrate.upgrade(stack.database_url)
    assert rows(COUNTED) == before
    assert_right()


@pytest.mark.parametrize(
    "words",
    [("list",), ("list", "--json"), ("show", "sums"), ("pause", "sums"), ("resume", "sums"), ("cancel", "sums")],
)
def test_commands_about_jobs_read_no_trace(
    job_id: int, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(jobs, "MAX_READ", 3)
    if words[0] == "resume":
        change("update jobs set state = 'paused'")
    before = scans()
    assert CliRunner().invoke(app, ["jobs", *words]).exit_code == 0
    assert scans() == before
    assert CliRunner().invoke(app, ["jobs", "show", "sums", "--all"]).exit_code == 0
    wait_until(lambda: scans() != before)  # sessions report their scans late


def scans() -> list[Any]:
    """How often traces and verdicts were read, in the sessions that have ended and in this one."""
    with transaction() as connection:
        connection.execute(text("select pg_stat_force_next_flush()"))
    with transaction() as connection:
        query = (
            "select seq_scan, idx_scan from pg_stat_user_tables where relname in ('traces', 'verdicts') order by 1, 2"
        )
        return list(connection.execute(text(query)).all())


def test_show_prints_the_costs_of_a_large_job_on_request(job_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "tokens_per_accepted" in CliRunner().invoke(app, ["jobs", "show", "sums"], env={"COLUMNS": "200"}).stdout
    monkeypatch.setattr(jobs, "MAX_READ", 3)
    short = CliRunner().invoke(app, ["jobs", "show", "sums"]).stdout
    assert "--all also prints the cost of accepted traces: it reads all 4 traces" in short
    assert "accepted traces and their cost" not in short
    assert "accepted traces and their cost" in CliRunner().invoke(app, ["jobs", "show", "sums", "--all"]).stdout


def test_a_cancelled_job_gets_an_end_time_and_a_paused_job_does_not(clean: Stack) -> None:
    for name in ("sums", "another"):
        fill(additions(1), name, budget=10, budget_unit="tokens")
    changes: dict[str, Any] = {"name": "sums", "allowed": ["running"], "budget": None}
    assert execute("set_job_state", changes | {"state": "paused"}) == 1
    assert rows("select state, finished_at, budget from jobs where name = 'sums'") == [("paused", None, 10)]
    assert execute("set_job_state", changes | {"state": "cancelled"}) == 0
    assert execute("set_job_state", changes | {"state": "cancelled", "allowed": ["paused"], "budget": 20}) == 1
    stored = rows("select name, state, finished_at is null, budget from jobs order by name")
    assert stored == [("another", "running", True, 10), ("sums", "cancelled", False, 20)]
