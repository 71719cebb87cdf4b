"""`tracemill health`, and the shutdown of workers."""

import json
import re
import time
from typing import Any

import pytest

from tests.in_process import here
from tests.integration.factory import Processes, additions, change, fill, rows, states, value, wait_until
from tests.integration.scripted import Teacher, check, start_all, wait_for

pytestmark = pytest.mark.integration


def health(factory: Processes, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the exit code, and each part by its name without pid and host."""
    done = here(factory.folder, "health", "--json", *words, **factory.environment)
    return done.returncode, {part["name"].split(".")[0]: part for part in json.loads(done.stdout)}


def present(kind: str) -> int:
    return int(value("select count(*) from processes where kind = :kind", kind=kind))


@pytest.fixture
def whole(factory: Processes) -> Processes:
    """A factory in which every process works."""
    change("delete from processes")
    for kind in ("producer", "generate", "verify"):
        wait_until(lambda kind=kind: present(kind) == 1)
    wait_until(lambda: rows("select 1 from processes where leads"))
    wait_until(lambda: not rows("select 1 from processes where kind <> 'producer' and concurrency = 0"))
    return factory


def test_a_healthy_factory_lists_its_processes(whole: Processes) -> None:
    code, parts = health(whole)
    assert code == 0, parts
    assert set(parts) == {"postgres", "redis", "producer", "generate", "verify"}
    assert parts["producer"]["about"] == "leads"
    assert parts["generate"]["about"] == "up to 64 at a time, from generate.teacher, generate.away"


def test_a_killed_worker_is_reported_and_a_stopped_worker_is_not(whole: Processes) -> None:
    whole.kill("verify")
    change("update processes set seen_at = now() - interval '40 seconds' where kind = 'verify'")
    changed = time.monotonic()
    assert whole.stop("producer") == 0
    code, parts = health(whole)
    assert code == 1
    (silent_seconds,) = map(int, re.findall(r"^no heartbeat for (\d+) s", parts["verify"]["trouble"]))
    assert 40 <= silent_seconds <= 41 + time.monotonic() - changed
    assert parts["feeder"]["trouble"] == "no producer leads, so no questions are handed out"
    assert "producer" not in parts
    code, parts = health(whole, "--here")
    assert code == 1
    assert "feeder" not in parts  # it may be on another host
    start_all(whole)
    wait_until(lambda: rows("select 1 from processes where leads"))
    wait_until(lambda: health(whole)[0] == 0)  # its successor on this host removed the dead process


def test_a_worker_reports_that_its_engine_does_not_answer(whole: Processes) -> None:
    fill(additions(1), "nobody-answers", model="away")
    wait_until(lambda: rows("select 1 from processes where kind = 'generate' and trouble is not null"))
    code, parts = health(whole)
    assert code == 1
    assert parts["generate"]["trouble"].startswith("away: ")
    change("update jobs set state = 'cancelled' where name = 'nobody-answers'")


def test_jobs_names_a_model_without_a_worker(whole: Processes) -> None:
    whole.stop("generate")
    fill(additions(2), "unserved")
    done = here(whole.folder, "jobs", "list", **whole.environment)
    assert "no worker serves teacher: tracemill worker generate --model teacher" in done.stdout
    start_all(whole)
    wait_for("unserved")


def test_a_worker_finishes_its_questions_at_shutdown(whole: Processes, teacher: Teacher) -> None:
    teacher.latency = 1
    fill(additions(30), "finished")
    wait_until(lambda: states("finished").get("running", 0) >= 8)
    assert whole.stop("generate") == 0
    assert value("select count(*) from traces t join jobs j on j.id = t.job_id where j.name = 'finished'") >= 32
    assert not {"running"} & states("finished").keys()
    assert not present("generate")
    start_all(whole)
    wait_for("finished")
    check("finished", 30)


def test_a_worker_hands_back_unfinished_questions_at_shutdown(whole: Processes, teacher: Teacher) -> None:
    teacher.latency = 60
    fill(additions(30), "handed-back")
    wait_until(lambda: states("handed-back").get("running", 0) >= 8)
    assert whole.stop("generate") == 0
    assert not {"running"} & states("handed-back").keys()
    assert value("select max(q.attempts) from job_questions q join jobs j on j.id = q.job_id "
                 "where j.name = 'handed-back'") == 0  # fmt: skip
    teacher.latency = 0
    start_all(whole)
    wait_for("handed-back")
    check("handed-back", 30)
