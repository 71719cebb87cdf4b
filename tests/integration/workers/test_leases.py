"""Leases and heartbeats: their length, their exact end, and a visit longer than its lease."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from db.queries import Q
from db.session import transaction
from tests.integration.factory import ROOT, additions, change, fill, rows, states, value, wait_until
from tests.integration.feeding import step
from tests.integration.rounds import new_round, round_spec
from tests.integration.statements import claim, count_changed, fetch, insert_trace
from tests.scripted_server import ScriptedServer
from tracemill.settings import FeederSettings, settings
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

#: The ends of a lease, by the clock when the statement runs.
ENDS = {"in a moment": "clock_timestamp() + interval '0.5 seconds'", "a moment ago": "clock_timestamp()"}


@pytest.mark.parametrize(
    ("name", "table", "state", "values"),
    [
        ("take_back", "job_questions", "queued", {"job_id": 1, "max_attempts": 5}),
        ("take_back", "job_questions", "running", {"job_id": 1, "max_attempts": 5}),
        ("overdue_verifications", "job_questions", "generated", {"job_id": 1, "lease": 60, "takes_back": True}),
        ("overdue_rounds", "rounds", "fitting", {}),
        ("claim_round", "rounds", "fitting", {"round_id": 1, "owner": "next", "lease": 60}),
    ],
)
def test_a_lease_has_run_out_only_after_its_last_moment(
    clean: Stack, name: str, table: str, state: str, values: dict[str, Any]
) -> None:
    fill(additions(1), "sums")
    with transaction() as connection:
        new_round(connection, round_spec("r1"))
    changed = {}
    for end, moment in ENDS.items():
        with transaction() as connection:
            connection.execute(text(f"update {table} set state = '{state}', owner = 'w', lease_until = {moment}"))
            changed[end] = count_changed(connection, name, **values)
    assert changed == {"in a moment": 0, "a moment ago": 1}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("take_back", {"job_id": 1, "max_attempts": 5}),
        ("overdue_verifications", {"job_id": 1, "lease": 60, "takes_back": True}),
    ],
)
def test_a_lease_is_counted_by_the_clock_and_not_from_the_start_of_the_transaction(
    clean: Stack, name: str, values: dict[str, Any]
) -> None:
    fill(additions(1), "sums")
    state = "queued" if name == "take_back" else "generated"
    with transaction() as connection:
        connection.execute(text(f"update job_questions set state = '{state}', lease_until = now()"))
        assert count_changed(connection, name, **values) == 1


@pytest.fixture
def process(clean: Stack) -> Iterator[Connection]:
    """A transaction with one known process that takes ten tasks of one queue concurrently."""
    with transaction() as connection:
        connection.execute(text("delete from processes"))
        beat = {"name": "p", "kind": "generate", "host": "h", "queues": '["q"]', "concurrency": 10, "leads": False}
        beat["is_hidden"] = False
        connection.execute(Q["beat"], beat | {"trouble": None})
        yield connection
        connection.rollback()


def silent_for(connection: Connection, seconds: float) -> None:
    connection.execute(text("update processes set seen_at = now() - make_interval(secs => :s)"), {"s": seconds})


def test_a_process_counts_until_it_was_silent_for_too_long(process: Connection) -> None:
    places = {}
    for seconds in (0, 29.999, 30, 31):
        silent_for(process, seconds)
        places[seconds] = [row.places for row in process.execute(Q["listening"], {"silent": 30})]
    assert places == {0: [10], 29.999: [10], 30: [], 31: []}


def test_a_process_is_forgotten_after_ten_minutes_of_silence(process: Connection) -> None:
    silent_for(process, 599.999)
    assert len(process.execute(Q["processes"], {"host": None}).all()) == 1
    silent_for(process, 600)
    assert process.execute(Q["processes"], {"host": None}).all() == []
    assert process.execute(Q["forget_processes"], {"lease": 30}).rowcount == 0
    silent_for(process, 600.001)
    assert process.execute(Q["forget_processes"], {"lease": 601}).rowcount == 0
    assert process.execute(Q["forget_processes"], {"lease": 30}).rowcount == 1


def test_a_beat_renews_its_own_process_alone(process: Connection) -> None:
    silent_for(process, 100)
    beat = {"kind": "generate", "host": "h", "queues": "[]", "concurrency": 1, "leads": True, "trouble": "slow"}
    for _ in range(2):
        process.execute(Q["beat"], beat | {"name": "another", "is_hidden": False})
    processes = process.execute(text("select name, leads, seen_at >= now() from processes order by name")).all()
    assert processes == [("another", True, True), ("p", False, False)]


LIMITS = FeederSettings(queued_lease_seconds=111, verify_lease_seconds=333)
QUICK = FeederSettings(running_lease_seconds=2)


def seconds_left(column: str = "updated_at") -> float:
    return float(value(f"select extract(epoch from lease_until - {column}) from job_questions"))


def test_each_state_has_the_lease_of_its_own_setting(clean: Stack) -> None:
    job_id = fill(additions(1), "sums", samples=1).job_id
    step(LIMITS)
    assert 111 <= seconds_left() < 112
    claim(job_id, 1)
    assert value("select lease_until from job_questions") is None  # its process sends heartbeats
    insert_trace(job_id, 1)
    fetch("generated", job_ids=[job_id], question_ids=[1], lease=55)
    assert 55 <= seconds_left() < 56
    change("update job_questions set lease_until = now() - interval '1 second'")
    assert step(LIMITS).renudged == 1
    assert 332 < seconds_left("now()") <= 333


ONE_VISIT = "import sys; from workers.generate import generate; generate(int(sys.argv[1]), [int(sys.argv[2])])"
SETTINGS = (
    '[models.teacher]\nengine = "openai"\nmodel = "scripted"\nopenai.base_url = "{}"\n'
    "[feeder]\nrunning_lease_seconds = 2\n"
)


def test_a_visit_three_times_as_long_as_the_lease_is_one_visit(clean: Stack, tmp_path: Path) -> None:
    config = tmp_path / "tracemill.toml"
    with ScriptedServer(lambda _: "The answer is 1.", latency=6.5) as server:
        config.write_text(SETTINGS.format(server.base_url))
        job_id = fill(additions(1), "slow", samples=2).job_id
        step(LIMITS)
        worker = subprocess.Popen(
            [sys.executable, "-c", ONE_VISIT, str(job_id), "1"],
            cwd=ROOT,
            env=os.environ
            | {"TRACEMILL_CONFIG": str(config), "TRACEMILL_DATA_DIR": str(settings().data_dir.absolute())},
        )
        try:
            wait_until(lambda: states("slow") == {"running": 1})
            begin = time.monotonic()
            while states("slow") == {"running": 1}:
                assert step(QUICK).taken_back == 0
                assert claim(job_id, 1, owner="another") == []
                time.sleep(0.1)
            assert worker.wait(10) == 0
        finally:
            worker.kill()
            worker.wait()
        assert time.monotonic() - begin > 3 * 2
        assert len(server.requests) == 1
    assert states("slow") == {"generated": 1}
    assert rows("select sample_index from traces order by 1") == [(0,), (1,)]
