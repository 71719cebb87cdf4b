"""A question's whole way with real processes (feeder, generate worker, verify worker) and a scripted model."""

import base64
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pytest
from flower.urls import handlers

from tests import ROOT
from tests.integration.factory import Processes, additions, fill, job_state, rows, states, wait_until
from tests.integration.scripted import Teacher, check, wait_for
from tracemill.interpreter import python
from tracemill.policy import Policy
from tracemill.stack import Stack
from tracemill.stack.flower import flower_command, flower_login

TRACEMILL = python("cli")
#: Every address of Flower that changes something.
CHANGES = [rule[0] for rule in handlers if isinstance(rule, tuple) and "api" in rule[0] and "post" in vars(rule[1])]


def connections(pid: int, port: int) -> int:
    """Count the connections of a process and its children to a port."""
    count = 0
    with suppress(psutil.NoSuchProcess):  # a child has just ended
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            made = [c for c in process.net_connections("tcp") if c.status == psutil.CONN_ESTABLISHED]
            count += sum(c.raddr.port == port for c in made)
    return count


pytestmark = pytest.mark.integration


def test_four_samples_of_100_questions_are_400_traces_with_right_verdicts(
    factory: Processes,
) -> None:
    fill(additions(100), "hundred")
    wait_for("hundred")
    check("hundred", 100)
    progress = rows("select questions, done, failed, traces, verified, correct, accepted from job_progress")
    assert [tuple(row) for row in progress] == [(100, 100, 0, 400, 400, 300, 100)]


def test_a_busy_process_has_few_connections_to_postgres_and_redis(factory: Processes, stack: Stack) -> None:
    fill(additions(200), "free", policy=Policy(judge="verifier", judge_refused=True))
    fill(additions(100), "budgeted", budget=1_000_000, budget_unit="tokens")
    peaks: dict[tuple[str, int], int] = {}

    def is_done() -> bool:
        for name, process in factory.running.items():
            for port in (stack.postgres_port, stack.redis_port):
                peaks[name, port] = max(peaks.get((name, port), 0), connections(process.pid, port))
        return job_state("free") == job_state("budgeted") == "done"

    wait_until(is_done)
    limits = {stack.postgres_port: 2, stack.redis_port: 3}
    assert [key for key, peak in peaks.items() if peak > limits[key[1]]] == [], peaks


def test_all_samples_come_from_a_server_that_gives_one_at_a_time(factory: Processes, teacher: Teacher) -> None:
    teacher.one_at_a_time = True
    fill(additions(20), "singles")
    wait_for("singles")
    assert states("singles") == {"done": 20}
    counts = rows(
        "select question_id, array_agg(sample_index order by sample_index) as numbers from trace_scores "
        "where job = 'singles' and accepted is not null group by 1"
    )
    assert [row.numbers for row in counts] == [[0, 1, 2, 3]] * 20


def test_a_judges_rating_of_each_trace_is_stored_as_signal_and_score(factory: Processes) -> None:
    fill(additions(10), "judged", policy=Policy(judge="verifier", judge_refused=True))
    wait_for("judged")
    check("judged", 10)
    scores = rows("select verifier, answer, signals, faithfulness, error from trace_scores where job = 'judged'")
    assert {row.verifier for row in scores} == {"checks+verifier"}
    for row in scores:
        assert row.error is None
        # The scripted first words: yes at log-probability -0.5, no at -1.5.
        assert row.signals["rating"] == pytest.approx(0.7311, abs=1e-4)
        assert row.faithfulness == pytest.approx(0.7311, abs=1e-4)


def test_an_ordinary_celery_worker_with_processes_verifies_as_well(factory: Processes) -> None:
    factory.stop("verify")
    factory.start(
        "celery", "-A", "tracemill", "worker", "-Q", "verify", "--concurrency=2", "--loglevel=WARNING", module="celery"
    )
    try:
        fill(additions(40), "prefork")
        wait_for("prefork")
        check("prefork", 40)
    finally:
        factory.stop("celery")


def test_celery_inspect_finds_the_workers(factory: Processes) -> None:
    def nodes() -> set[str]:
        result = subprocess.run(
            [sys.executable, "-m", "celery", "-A", "tracemill", "inspect", "active", "--json"],
            cwd=ROOT, env=factory.whole_environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return {name.split(".")[0] for name in json.loads(result.stdout)} if result.returncode == 0 else set()

    wait_until(lambda: nodes() == {"generate", "verify"})


@pytest.fixture(scope="module")
def flower(processes: Processes, stack: Stack) -> Iterator[Callable[..., tuple[int, str]]]:
    """Runs Flower; the function sends it a request, and returns the status and the text of the answer."""
    words = flower_command(stack.flower_port)
    assert words[: len(TRACEMILL)] == TRACEMILL
    processes.start("flower", *words[len(TRACEMILL) :], **flower_login(stack))

    def send(path: str, password: str | None = stack.flower_password, method: str = "GET") -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{stack.flower_port}{path}", method=method)
        if password is not None:
            login = base64.b64encode(f"{stack.flower_user}:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {login}")
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    wait_until(lambda: send("/", None)[0] != 0)
    yield send
    processes.stop("flower")


def worker(kind: str, flower: Callable[..., tuple[int, str]]) -> str | None:
    """The name of a worker of this kind that Flower shows now."""
    status, text = flower("/api/workers?refresh=true")
    return next((name for name in json.loads(text) if name.startswith(kind)), None) if status == 200 else None


def test_flower_shows_the_workers_only_with_the_password(
    factory: Processes, flower: Callable[..., tuple[int, str]]
) -> None:
    for path in ("/", "/api/workers", "/tasks", "/metrics"):
        assert flower(path, None)[0] == 401
        assert flower(path, "wrong")[0] == 401
        assert flower(path)[0] == 200
    wait_until(lambda: worker("generate", flower))


def test_flower_changes_no_worker_and_no_task(factory: Processes, flower: Callable[..., tuple[int, str]]) -> None:
    name = wait_until(lambda: worker("verify", flower))
    assert {"/api/worker/shutdown/(.+)", "/api/task/apply/(.+)", "/api/task/revoke/(.+)"} <= set(CHANGES)
    for path in CHANGES:
        assert flower(path.replace("(.+)", name), method="POST") == (403, "Read only mode is enabled")
    assert "Shut Down" not in flower(f"/worker/{name}")[1]
    assert factory.running["verify"].poll() is None


def test_a_worker_ends_with_exit_code_0_and_leaves_no_child_behind(factory: Processes) -> None:
    fill(additions(2), "last")
    wait_for("last")
    for name in ("verify", "generate", "producer"):
        children = psutil.Process(factory.running[name].pid).children(recursive=True)
        process = factory.running[name]
        process.terminate()
        assert process.wait(15) == 0, factory.log(name).read_text()[-2000:]
        assert psutil.wait_procs(children, timeout=5)[1] == []
