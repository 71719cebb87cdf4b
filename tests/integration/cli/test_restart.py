"""`tracemill up` and `restart` beside a running local stack, with real workers and a scripted server."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.jobs import progress
from cli.main import app
from db.diagnosis import job_reasons
from tests.conftest import forget
from tests.installed import succeed, tracemill
from tests.integration.factory import job_state, wait_until
from tests.scripted_server import Fault, ScriptedServer
from tracemill.errors import UsageError
from tracemill.stack import down, status

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SETTINGS = """
generate_concurrency = 4
[local]
generate = ["teacher"]
judge = ""
train = false
flower = false
[feeder]
interval_seconds = 0.2
verify_lease_seconds = 1
[models.teacher]
engine = "openai"
openai.base_url = "{url}"
model = "scripted"
"""
METHOD = '[methods.mine]\nuser = "{question} Think."\n'
QUESTION = '{"question": "What is 1 + 1?", "gold": "2"}\n'
NOWHERE = "http://127.0.0.1:1/v1"


class Folder:
    """A user's folder with a stack, a scripted server and its settings file. The settings of this process use it."""

    def __init__(self, path: Path, server: ScriptedServer) -> None:
        self.path, self.server = path, server
        (path / "one.jsonl").write_text(QUESTION)
        (path / "two.jsonl").write_text(QUESTION + QUESTION.replace("1?", "2?"))

    def configure(self, url: str, more: str = "") -> None:
        (self.path / "tracemill.toml").write_text(SETTINGS.format(url=url) + more)
        forget()

    def enqueue(self, file: str, name: str, *words: str) -> None:
        assert here("enqueue", str(self.path / file), "--samples", "1", "--name", name, *words).exit_code == 0

    def pids(self) -> dict[str, int | None]:
        return {row.name: row.pid for row in status(self.path / ".tracemill")}


@pytest.fixture(scope="module")
def folder() -> Iterator[Folder]:
    path = Path(tempfile.mkdtemp())
    with ScriptedServer(lambda _: "1 + 1 = 2. The answer is 2.") as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACEMILL_DATA_DIR", str(path / ".tracemill"))
        patch.setenv("TRACEMILL_CONFIG", str(path / "tracemill.toml"))
        folder = Folder(path, server)
        folder.configure(NOWHERE)
        try:
            succeed(path, "up", seconds=180)
            forget()
            yield folder
        finally:
            down(path / ".tracemill")
            shutil.rmtree(path, ignore_errors=True)
    forget()


def here(*words: str) -> Result:
    """Run a command in this process, which is faster."""
    return CliRunner().invoke(app, words)


def reasons(job: str) -> list[str]:
    return [reason.text for reason in job_reasons(progress())[job]]


def changed(before: dict[str, int | None], after: dict[str, int | None]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_a_wrong_address_is_the_reason_and_up_restarts_only_its_worker(folder: Folder) -> None:
    folder.enqueue("one.jsonl", "away")
    wait_until(lambda: any(f"no answer from base_url {NOWHERE}" in reason for reason in reasons("away")), 60)
    wait_until(lambda: here("health").exit_code == 1, 20)  # the worker's next heartbeat shows it too
    before = folder.pids()
    folder.configure(folder.server.base_url)
    restarted = tracemill(folder.path, "up")
    assert "restarted, because the settings have changed: generate\n" in restarted.stderr
    assert changed(before, folder.pids()) == {"generate"}
    wait_until(lambda: job_state("away") == "done", 60)


def test_a_method_unknown_to_the_workers_is_one_error_on_the_job(folder: Folder) -> None:
    folder.configure(folder.server.base_url, METHOD)
    folder.enqueue("two.jsonl", "unknown", "--method", "mine")
    (reason,) = wait_until(lambda: [r for r in reasons("unknown") if "2 questions wait for traces" in r], 40)
    assert re.fullmatch(
        r"2 questions wait for traces: UnknownMethod: the generate worker on \S+ does not know the method 'mine'. "
        "Give all workers the same settings, then: tracemill restart generate",
        reason,
    )
    before = folder.pids()
    assert "restarted: generate\n" in tracemill(folder.path, "restart", "generate").stderr
    assert changed(before, folder.pids()) == {"generate"}
    wait_until(lambda: any("2 questions wait for verdicts" in reason for reason in reasons("unknown")), 40)
    wait_until(lambda: "tracemill restart verify" in here("jobs", "list").stdout, 20)
    assert "verify" in succeed(folder.path, "up")  # the last program with the old settings
    wait_until(lambda: job_state("unknown") == "done", 40)


def test_an_unknown_program_is_not_restarted_and_the_known_ones_are_named(folder: Folder) -> None:
    refused = here("restart", "generat").exception
    assert isinstance(refused, UsageError)
    assert str(refused) == "no program 'generat' runs here. Programs: generate, producer, verify"


def test_up_names_a_paused_alias_with_its_reason(folder: Folder) -> None:
    folder.server.faults = iter([Fault.UNAUTHORIZED] * 1000)
    folder.enqueue("one.jsonl", "refused")
    paused = r"teacher is paused, with one try a minute: no key, set openai.api_key_env: http"
    wait_until(lambda: any(re.match(paused, reason) for reason in reasons("refused")), 60)
    before = folder.pids()
    assert re.search(rf"^refused: {paused}", tracemill(folder.path, "up").stdout, re.MULTILINE)
    assert folder.pids() == before
    folder.server.faults = iter(())
    succeed(folder.path, "restart", "generate")
    wait_until(lambda: job_state("refused") == "done", 40)


def test_up_refuses_a_key_that_the_running_stack_does_not_have(folder: Folder) -> None:
    folder.configure(folder.server.base_url, 'openai.api_key_env = "MY_KEY"\n')
    refused = tracemill(folder.path, "up", MY_KEY="new")
    folder.configure(folder.server.base_url)
    assert (refused.returncode, refused.stderr) == (
        2,
        "error: the running stack has another MY_KEY, or none, and keeps the variables of its start: run "
        "`tracemill down`, then `tracemill up`\n",
    )
