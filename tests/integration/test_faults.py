"""Faults on a question's way: killed workers, killed data services, broken and unreachable servers."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path

import psycopg
import pytest
import redis

from db import migrate, schema
from tests import ROOT
from tests.integration.factory import (
    Processes,
    additions,
    change,
    fill,
    rows,
    set_read_only,
    states,
    value,
    wait_until,
)
from tests.integration.scripted import Teacher, check, command, everything_came, start_all, traces, wait_for
from tests.scripted_server import Fault
from tracemill import stack as local
from tracemill.policy import Policy
from tracemill.settings import settings
from tracemill.stack import Stack
from tracemill.stack.postgres import answers
from tracemill.stack.state import folder_of
from tracemill.stack.supervise import Supervisor

pytestmark = pytest.mark.integration

FULL_DISK = """
create or replace function full_disk() returns trigger language plpgsql as $$
begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$
"""
OTHERS_END = """
select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tracemill' and pid <> all(%s)
"""


def test_a_generate_worker_that_is_killed_costs_nothing_but_time(factory: Processes, teacher: Teacher) -> None:
    teacher.latency = 0.1
    fill(additions(100), "killed-generate")
    wait_until(lambda: traces("killed-generate") >= 100)
    teacher.latency = 60  # the worker holds all requests from now on when it is killed
    # It asks 8 questions concurrently, and may have claimed a few more.
    wait_until(lambda: states("killed-generate").get("running", 0) >= 8, what=lambda: states("killed-generate"))
    factory.kill("generate")
    assert states("killed-generate")["running"] > 0
    teacher.latency = 0
    start_all(factory)
    wait_for("killed-generate")
    check("killed-generate", 100)


def test_a_verify_worker_that_is_killed_costs_nothing_but_time(factory: Processes) -> None:
    factory.stop("verify")
    fill(additions(100), "killed-verify")
    wait_until(lambda: states("killed-verify") == {"generated": 100}, what=lambda: states("killed-verify"))
    start_all(factory)
    wait_until(lambda: states("killed-verify").get("done", 0) >= 10)
    factory.kill("verify")
    left = states("killed-verify").get("generated", 0)
    assert 0 < left < 100
    # Simulates two minutes.
    change("update job_questions set lease_until = now() where state = 'generated'")
    start_all(factory)
    wait_for("killed-verify")
    check("killed-verify", 100)


def test_an_emptied_redis_costs_nothing_but_time(factory: Processes, teacher: Teacher, stack: Stack) -> None:
    teacher.latency = 0.2
    fill(additions(100), "flushed")
    wait_until(lambda: traces("flushed") >= 80)
    redis.Redis.from_url(stack.redis_url).flushall()
    assert states("flushed").get("done", 0) < 100
    wait_until(lambda: everything_came("flushed"), what=lambda: states("flushed"))
    # Simulates two minutes, for the verifier's tasks that were in Redis.
    change("update job_questions set lease_until = now() where state = 'generated'")
    wait_for("flushed")
    check("flushed", 100)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seconds", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_processes_survive_a_redis_outage_and_then_continue(
    factory: Processes, teacher: Teacher, stack: Stack, seconds: float
) -> None:
    teacher.latency = 0.5
    job = f"redis-away-{seconds}"
    fill(additions(100), job)
    wait_until(lambda: traces(job) >= 8)
    assert states(job).get("running", 0) > 0
    supervisor = Supervisor(folder_of(settings().data_dir), Path(stack.run_dir))
    supervisor.stop(["redis"], 6)
    try:
        time.sleep(seconds)
        assert states(job).get("done", 0) < 100
        assert all(process.poll() is None for process in factory.running.values())
    finally:
        supervisor.apply()
        supervisor.settle(["redis"], 10)
    n_requests = teacher.n_requests
    wait_until(lambda: teacher.n_requests > n_requests, 10)
    wait_for(job)
    check(job, 100)
    assert all(process.poll() is None for process in factory.running.values())


@pytest.mark.parametrize("table", ["traces", "verdicts"])
def test_a_full_disk_costs_nothing_but_time(factory: Processes, teacher: Teacher, table: str) -> None:
    """Postgres reports a full disk with SQLSTATE 53100; here a trigger raises it."""
    teacher.latency = 0.1
    job = f"full-{table}"
    change(FULL_DISK)
    change(f"create trigger full_disk before insert on {table} for each row execute function full_disk()")
    try:
        before = teacher.n_requests
        fill(additions(20), job)
        worker = "generate" if table == "traces" else "verify"
        wait_until(lambda: factory.log(worker).read_text().count("No space left on device") >= 10)
    finally:
        change("drop function full_disk cascade")
    wait_for(job)
    check(job, 20)
    assert teacher.n_requests - before == 20  # paid traces were kept until they could be stored


def test_exhausted_postgres_connections_cost_nothing_but_time(
    factory: Processes, teacher: Teacher, stack: Stack
) -> None:
    teacher.latency = 0.1
    fill(additions(60), "crowded")
    crowd = []

    def is_refused() -> bool:
        logs = factory.log("generate").read_text() + factory.log("producer").read_text()
        return "too many clients" in logs or "connection slots are reserved" in logs

    try:
        deadline = time.monotonic() + 60
        while not is_refused():
            assert time.monotonic() < deadline
            with suppress(psycopg.OperationalError):
                while True:
                    crowd.append(psycopg.connect(stack.database_url.replace("+psycopg", ""), autocommit=True))
            # End the factory's connections and take their slots.
            crowd[0].execute(OTHERS_END, [[member.info.backend_pid for member in crowd]])
            time.sleep(0.5)
    finally:
        for connection in crowd:
            connection.close()
    wait_for("crowded")
    check("crowded", 60)


@pytest.mark.parametrize("service", ["redis", "postgres"])
def test_a_data_service_that_is_killed_costs_nothing_but_time(
    factory: Processes, teacher: Teacher, service: str
) -> None:
    teacher.latency = 0.2
    job = f"killed-{service}"
    fill(additions(100), job)
    wait_until(lambda: traces(job) >= 80)
    (pid,) = [process.pid for process in local.status(settings().data_dir) if process.name == service]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: everything_came(job), what=lambda: states(job))
    # Simulates two minutes, for the verifier's lost tasks.
    change("update job_questions set lease_until = now() where state = 'generated'")
    wait_for(job)
    check(job, 100)
    # No process had to be restarted.
    assert [name for name, process in factory.running.items() if process.poll() is not None] == []


def test_an_outage_longer_than_a_lease_takes_no_claim_from_a_living_worker(
    factory: Processes, teacher: Teacher, stack: Stack
) -> None:
    """The feeder finds Postgres sooner than the worker, which is frozen for that moment."""
    teacher.latency = 9
    before = teacher.n_requests
    fill(additions(32), "outage", samples=1)
    wait_until(lambda: states("outage") == {"running": 32}, 30)
    supervisor = Supervisor(folder_of(settings().data_dir), Path(stack.run_dir))
    supervisor.stop(["postgres"], 10)
    time.sleep(4)
    factory.running["generate"].send_signal(signal.SIGSTOP)
    supervisor.apply()
    wait_until(lambda: answers(stack), 30)
    time.sleep(1.5)
    held = states("outage")
    factory.running["generate"].send_signal(signal.SIGCONT)
    assert held == {"running": 32}
    wait_for("outage")
    assert teacher.n_requests - before == 32
    assert [name for name, process in factory.running.items() if process.poll() is not None] == []


@contextmanager
def read_only(stack: Stack) -> Iterator[None]:
    """Every new transaction is read-only until the block ends."""
    set_read_only(stack, True)
    wait_until(lambda: value("show default_transaction_read_only") == "on", 10)
    try:
        yield
    finally:
        set_read_only(stack, False)
        wait_until(lambda: value("show default_transaction_read_only") == "off", 10)


def test_answers_that_arrive_at_a_read_only_postgres_are_kept(
    factory: Processes, teacher: Teacher, stack: Stack
) -> None:
    teacher.latency = 4
    before = teacher.n_requests
    fill(additions(32), "read-only", samples=1)
    wait_until(lambda: states("read-only") == {"running": 32}, 30)
    with read_only(stack):
        wait_until(lambda: teacher.n_requests - before == 32, 30)
        time.sleep(1)
        assert states("read-only") == {"running": 32}
    for name in ("generate", "producer"):
        assert "read-only transaction" in factory.log(name).read_text()
    wait_for("read-only")
    assert teacher.n_requests - before == 32
    assert [name for name, process in factory.running.items() if process.poll() is not None] == []


def test_a_worker_that_starts_at_a_read_only_postgres_waits_for_it(factory: Processes, stack: Stack) -> None:
    factory.stop("generate")
    with read_only(stack):
        log = len(factory.log("generate").read_text())
        start_all(factory)
        wait_until(lambda: "read-only transaction" in factory.log("generate").read_text()[log:])
    fill(additions(8), "after-read-only")
    wait_for("after-read-only")
    assert [name for name, process in factory.running.items() if process.poll() is not None] == []


def test_only_the_unanswerable_question_fails_and_a_retry_repeats_it(factory: Processes, teacher: Teacher) -> None:
    questions = additions(10)
    teacher.broken_question = questions[3].text
    fill(questions, "broken")
    wait_for("broken", 60)
    assert states("broken") == {"done": 9, "failed": 1}
    (failed,) = rows(
        "select q.question, jq.last_error, jq.attempts from job_questions jq join questions q on q.id = jq.question_id "
        "where jq.state = 'failed'"
    )
    assert (failed.question, failed.attempts) == (teacher.broken_question, 2)
    assert "answered 500" in failed.last_error
    teacher.broken_question = ""
    retried = command(factory, "jobs", "retry", "broken")
    assert (retried.returncode, retried.stdout) == (0, "broken: 1 failed questions are pending again\n")
    wait_for("broken")
    check("broken", 10)


def test_no_question_fails_while_the_server_is_unreachable(factory: Processes, away: int) -> None:
    fill(additions(10), "away", model="away")
    visited = "select count(*) from job_questions where last_error like 'EngineAway%'"
    wait_until(lambda: value(visited) >= 5)
    assert "failed" not in states("away")
    with Teacher(port=away):
        wait_for("away")
    check("away", 10)


def test_a_rejected_key_pauses_its_alias_until_a_worker_restarts(factory: Processes, teacher: Teacher) -> None:
    policy = Policy(judge="verifier")
    factory.stop("verify")
    fill(additions(3), "answered", policy=policy)
    wait_until(lambda: states("answered") == {"generated": 3})
    teacher.faults = repeat(Fault.UNAUTHORIZED)
    fill(additions(3), "asked", policy=policy)
    factory.start("verify", "worker", "verify", "--judge", "verifier")
    wait_until(lambda: value("select count(*) from model_pauses") == 2)
    wait_until(lambda: states("asked") == {"pending": 3})
    assert states("answered") == {"generated": 3}
    assert "answered 401" in value("select distinct reason from model_pauses")
    teacher.faults = iter(())
    for name in ("generate", "verify"):
        assert factory.running[name].poll() is None
        factory.stop(name)
    start_all(factory)
    # Simulates two minutes, for the task of the refused judge.
    change("update job_questions set lease_until = now() where state = 'generated'")
    for job in ("answered", "asked"):
        wait_for(job)
        check(job, 3)


@pytest.mark.slow
def test_a_server_that_answers_500_fails_no_question(factory: Processes, teacher: Teacher) -> None:
    teacher.faults = repeat(Fault.BROKEN)
    fill(additions(40), "broken-server", purpose="evaluate")
    wait_until(lambda: value("select count(*) from job_questions where absences > 1") >= 20)
    assert "failed" not in states("broken-server")
    teacher.faults = iter(())
    wait_for("broken-server")
    check("broken-server", 40)


def test_the_schema_is_migrated_under_load(factory: Processes, teacher: Teacher, stack: Stack) -> None:
    *_, before, _ = schema.revisions()
    teacher.latency = 0.2
    fill(additions(200), "migrated")
    wait_until(lambda: traces("migrated") >= 8)
    for _ in range(3):
        migrate.downgrade(stack.database_url, before)
        migrate.upgrade(stack.database_url)
        time.sleep(0.5)
    assert states("migrated").get("done", 0) < 200
    wait_for("migrated")
    check("migrated", 200)
    assert all(process.poll() is None for process in factory.running.values())


NEXT_RELEASE = '''
"""Questions have hints."""

import sqlalchemy as sa
from alembic import op

revision, down_revision, is_additive = "9999", "{head}", True


def upgrade() -> None:
    op.add_column("job_questions", sa.Column("hints", sa.SmallInteger(), server_default="0", nullable=False))
    op.create_table("hints", sa.Column("id", sa.BigInteger(), primary_key=True))


def downgrade() -> None:
    op.drop_table("hints")
    op.drop_column("job_questions", "hints")
'''


WORKERS_OF = """
select count(distinct t.worker) from traces t join jobs j on j.id = t.job_id where j.name = 'side-by-side'
"""


def test_old_and_new_code_work_side_by_side(factory: Processes, teacher: Teacher, stack: Stack, tmp_path: Path) -> None:
    head = schema.revisions()[-1]
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    (tmp_path / "migrations" / "versions" / "9999_hints.py").write_text(NEXT_RELEASE.format(head=head))
    new = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    teacher.latency = 1
    fill(additions(400), "side-by-side")
    wait_until(lambda: traces("side-by-side") >= 8)
    try:
        assert command(factory, "db", "upgrade", **new).returncode == 0
        assert value("select version_num from alembic_version") == "9999"
        factory.start("generate-new", "worker", "generate", "--model", "teacher", **new)
        factory.stop("generate")
        start_all(factory)
        wait_until(lambda: value(WORKERS_OF) == 3, what=lambda: factory.log("generate").read_text())
        teacher.latency = 0
        wait_for("side-by-side")
        check("side-by-side", 400)
        factory.stop("generate-new")
    finally:
        assert command(factory, "db", "downgrade", head, "--yes", **new).returncode == 0
        migrate.upgrade(stack.database_url)
