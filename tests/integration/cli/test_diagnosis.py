"""Why nothing moves: `status`, `health` and `jobs list` name the reason in one line.

Heartbeats and jobs are rows of the test, and short scripts replace the workers, so no test waits for a worker.
"""

import json
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.stack import settled
from tests.conftest import forget
from tests.in_process import here
from tests.installed import environment
from tests.integration.factory import additions, change, fill, wait_until
from tracemill import stack as local
from tracemill.policy import Policy
from tracemill.settings import settings
from tracemill.stack import Program, Stack

pytestmark = pytest.mark.integration

#: A worker that fails some seconds after each start. It was started with the alias `verifier`.
CRASHES = ["sh", "-c", "sleep 2; echo 'error: the disk is full'; exit 1", "worker", "verifier"]
#: A worker that fails soon after its first heartbeat, as at its first request.
DIES_AT_ITS_FIRST_REQUEST = """
import sys, time
from db.heartbeat import present
with present("generate", queues=["generate.teacher"], concurrency=lambda: 1):
    time.sleep(1)
sys.exit("error: no key in MY_KEY")
"""
HEARTBEAT = """
insert into processes (name, kind, host, leads, queues, concurrency, started_at)
values (:name, :kind, :host, :leads, cast(:queues as jsonb), :concurrency, now() - interval '42 seconds')
"""


def start(programs: list[Program]) -> None:
    """Run these programs beside Postgres and Redis, in place of the earlier ones."""
    local.up(settings().data_dir, lambda _: programs, prepare=lambda _: None)


@pytest.fixture(scope="module")
def _programs(stack: Stack) -> Iterator[None]:
    forget()
    idle = [Program(name, ["sleep", "600"]) for name in ("producer", "generate")]
    start([*idle, Program("verify", CRASHES)])
    yield
    start([])


@pytest.fixture
def beat(_programs: None, clean: Stack) -> Iterator[Callable[..., None]]:
    """A function that stores the heartbeat of a program. The producer has sent one."""
    pids = {row.name: row.pid for row in local.status(settings().data_dir)}
    host = socket.gethostname()

    def send(kind: str, *queues: str, concurrency: int = 1) -> None:
        row = {"kind": kind, "host": host, "queues": json.dumps(queues), "concurrency": concurrency}
        row |= {"leads": kind == "producer"}
        change(HEARTBEAT, name=f"{kind}.{pids[kind]}@{host}", **row)

    change("delete from processes")
    send("producer")
    yield send
    change("delete from processes")


def tracemill(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_a_loading_worker_is_never_called_missing(beat: Callable[..., None]) -> None:
    beat("generate", "generate.teacher", concurrency=0)
    fill(additions(1), "sums")
    status = tracemill("status").stdout
    assert "LOADING" in status
    assert re.search(r"\ngenerate: loading the model \(4\d s\)\n", status)
    for words in (["status"], ["jobs", "list"]):
        assert re.search(r"\nsums: generate is loading the model \(4\d s\)\n", tracemill(*words).stdout)
    parts = {part["name"]: part for part in json.loads(tracemill("health", "--json").stdout)}
    assert re.fullmatch(r"generate is loading the model \(4\d s\)", parts["job sums"]["about"])
    assert parts["job sums"]["well"]


def test_a_paused_job_names_the_command_that_continues_it(beat: Callable[..., None]) -> None:
    fill(additions(1), "sums")
    change("update jobs set state = 'paused'")
    for words in (["status"], ["jobs", "list"]):
        assert "\nsums: paused. Continue: tracemill jobs resume sums\n" in tracemill(*words).stdout
    parts = {part["name"]: part for part in json.loads(tracemill("health", "--json").stdout)}
    assert parts["job sums"]["about"] == "paused. Continue: tracemill jobs resume sums"
    assert parts["job sums"]["well"]


def waiting_for_verdicts(policy: Policy, error: str | None = None) -> None:
    fill(additions(1), "sums", policy=policy)
    change("update job_questions set state = 'generated', last_error = :error", error=error)


def faults(job: str) -> list[str]:
    """The faults of a job in `health`, which `jobs list` and `status` show too."""
    reasons = [part["trouble"] for part in json.loads(tracemill("health", "--json").stdout) if part["name"] == job]
    for reason in reasons:
        for words in (["status"], ["jobs", "list"]):
            assert f"\n{job.removeprefix('job ')}: {reason}\n" in tracemill(*words).stdout
    return reasons


def test_a_missing_judge_is_named_with_the_command_that_starts_it(
    beat: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEMILL_LOCAL__JUDGE", "")
    forget()
    waiting_for_verdicts(Policy(judge="verifier"))
    assert faults("job sums") == ["no process judges with verifier: tracemill worker verify --judge verifier"]
    monkeypatch.undo()
    forget()


def test_a_missing_sandbox_is_named_with_its_reason(beat: Callable[..., None]) -> None:
    beat("verify", "verify")
    waiting_for_verdicts(Policy(), "no sandbox: bwrap is not installed")
    assert faults("job sums") == ["1 question waits for verdicts: no sandbox: bwrap is not installed"]


def test_a_crash_loop_is_named_with_its_last_error(beat: Callable[..., None], tmp_path: Path) -> None:
    wait_until(lambda: local.program_of(settings().data_dir, "verifier").restarts > 1, 60)  # type: ignore[union-attr]
    waiting_for_verdicts(Policy())
    for words in (["status"], ["jobs", "list"], ["health", "--json"]):
        assert re.search(r"verify: crash loop, ended \d+ times: error: the disk is full", tracemill(*words).stdout)
    assert tracemill("status").exit_code == 1
    # No command waits for such a worker.
    labelled = ({"question": "1 + 1?", "trace": "It is 2.", "correct": n % 2 == 0} for n in range(40))
    (tmp_path / "labelled.jsonl").write_text("\n".join(map(json.dumps, labelled)))
    data_dir = str(settings().data_dir.absolute())
    ended = here(tmp_path, "calibrate", "--judge", "verifier", "labelled.jsonl", TRACEMILL_DATA_DIR=data_dir)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: verify, which serves verifier, does not start: crash loop, ended ")
    assert ended.stderr.endswith(" times: error: the disk is full\n")


def test_up_waits_until_new_workers_have_met_their_first_request(clean: Stack) -> None:
    change("delete from processes")
    environment_ = {"TRACEMILL_DATA_DIR": str(settings().data_dir.absolute())} | {
        name: value for name, value in environment().items() if name == "PYTHONPATH"
    }
    start([Program("generate", [sys.executable, "-c", DIES_AT_ITS_FIRST_REQUEST], environment_)])
    try:
        (report,) = [report for report in settled() if report.name == "generate"]
        assert report.failure is not None
        assert report.failure.endswith("error: no key in MY_KEY")
    finally:
        start([])
        change("delete from processes")
