"""Why nothing moves: the installed commands name the reason in one line, beside a real local stack."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installed import succeed, tracemill
from tests.integration.factory import wait_until
from tests.scripted_server import Fault, ScriptedServer

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


class Folder:
    """A user's folder with a stack, a scripted server and its settings file."""

    def __init__(self, path: Path, server: ScriptedServer) -> None:
        self.path, self.server = path, server
        self.questions = path / "questions.jsonl"
        self.questions.write_text(QUESTION)

    def configure(self, url: str | None = None, more: str = "") -> None:
        (self.path / "tracemill.toml").write_text(SETTINGS.format(url=url or self.server.base_url) + more)

    def enqueue(self, name: str, *words: str) -> None:
        succeed(self.path, "enqueue", "questions.jsonl", "--samples", "1", "--name", name, *words)

    def reasons(self, job: str) -> list[str]:
        rows = json.loads(succeed(self.path, "jobs", "list", "--json"))
        return next(list(row["reasons"]) for row in rows if row["job"] == job)

    def states(self) -> dict[str, str]:
        return {row["name"]: row["state"] for row in json.loads(tracemill(self.path, "status", "--json").stdout)}


@pytest.fixture(scope="module")
def folder() -> Iterator[Folder]:
    path = Path(tempfile.mkdtemp())
    with ScriptedServer(lambda _: "1 + 1 = 2. The answer is 2.") as server:
        here = Folder(path, server)
        here.configure()
        try:
            succeed(path, "up", seconds=180)
            yield here
        finally:
            succeed(path, "down")
            shutil.rmtree(path, ignore_errors=True)


def test_a_paused_job_shows_how_it_continues_in_each_command(folder: Folder) -> None:
    folder.server.latency = 20
    folder.enqueue("paused")
    succeed(folder.path, "jobs", "pause", "paused")
    expected = "paused: paused. Continue: tracemill jobs resume paused"
    for words in (["status"], ["jobs", "list"]):
        assert expected in succeed(folder.path, *words)
    parts = json.loads(succeed(folder.path, "health", "--json"))
    (part,) = [part for part in parts if part["name"] == "job paused"]
    assert (part["well"], part["about"]) == (True, "paused. Continue: tracemill jobs resume paused")
    assert "│ job paused " in (shown := tracemill(folder.path, "health", COLUMNS="80").stdout)
    assert "│ paused. Continue: tracemill jobs resume paused │" in shown
    succeed(folder.path, "jobs", "resume", "paused")
    folder.server.latency = 0


def test_a_wrong_address_is_the_reason_and_up_restarts_only_its_worker(folder: Folder) -> None:
    folder.configure("http://127.0.0.1:1/v1")
    before = {row["name"]: row["pid"] for row in json.loads(succeed(folder.path, "status", "--json"))}
    changed = tracemill(folder.path, "up")
    assert "restarted, because the settings have changed: generate\n" in changed.stderr
    after = {row["name"]: row["pid"] for row in json.loads(succeed(folder.path, "status", "--json"))}
    assert {name for name in before if before[name] != after[name]} == {"generate"}
    folder.enqueue("away")
    wait_until(
        lambda: any("no answer from base_url http://127.0.0.1:1/v1" in text for text in folder.reasons("away")), 60
    )
    assert "no answer from base_url" in tracemill(folder.path, "status").stdout
    assert tracemill(folder.path, "health").returncode == 1


def test_up_names_the_process_that_crashes_and_its_last_error(folder: Folder) -> None:
    folder.configure(more='vllm.device = "quantum"\n')
    refused = tracemill(folder.path, "restart", "generate")
    assert refused.returncode == 2  # the command reads the settings too
    folder.configure()
    folder.server.faults = iter([Fault.UNAUTHORIZED] * 1000)
    tracemill(folder.path, "up")
    wait_until(lambda: folder.states()["generate"] == "CRASHING", 60)
    shown = tracemill(folder.path, "status")
    assert shown.returncode == 1
    assert re.search(r"^generate: (crash loop|ended once).* no key in OPENAI_API_KEY: http", shown.stdout, re.MULTILINE)
    again = tracemill(folder.path, "up")
    assert again.returncode == 1
    assert "no key in OPENAI_API_KEY" in again.stdout
    folder.server.faults = iter(())


def test_up_refuses_a_key_that_the_running_stack_does_not_have(folder: Folder) -> None:
    folder.configure(more='openai.api_key_env = "MY_KEY"\n')
    refused = tracemill(folder.path, "up", MY_KEY="new")
    folder.configure()
    assert (refused.returncode, refused.stderr) == (
        2,
        "error: the running stack has another MY_KEY, or none, and keeps the variables of its start: run "
        "`tracemill down`, then `tracemill up`\n",
    )


def test_restart_starts_the_named_program_again(folder: Folder) -> None:
    unknown = tracemill(folder.path, "restart", "generat")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "error: no program 'generat' runs here. Programs: generate, producer, verify\n",
    )
    before = {row["name"]: row["pid"] for row in json.loads(tracemill(folder.path, "status", "--json").stdout)}
    assert "restarted: verify\n" in tracemill(folder.path, "restart", "verify").stderr
    after = {row["name"]: row["pid"] for row in json.loads(tracemill(folder.path, "status", "--json").stdout)}
    assert {name for name in before if before[name] != after[name]} == {"verify"}


def test_a_method_unknown_to_the_worker_is_one_error_on_the_job(folder: Folder) -> None:
    succeed(folder.path, "restart")
    folder.questions.write_text(QUESTION + QUESTION.replace("1?", "2?"))
    folder.configure(more=METHOD)
    folder.enqueue("unknown", "--method", "mine")
    wait_until(lambda: any("2 questions wait" in text for text in folder.reasons("unknown")), 40)
    (reason,) = folder.reasons("unknown")
    assert re.fullmatch(
        r"2 questions wait for traces: UnknownMethod: the generate worker on \S+ does not know the method 'mine'. "
        "Give all workers the same settings, then: tracemill restart generate",
        reason,
    )
    succeed(folder.path, "restart", "generate")
    wait_until(lambda: any("2 questions wait for verdicts" in text for text in folder.reasons("unknown")), 40)
    assert "tracemill restart verify" in succeed(folder.path, "jobs", "list")
    changed = succeed(folder.path, "up")  # verify is the last program with the old settings
    assert "verify" in changed
    wait_until(lambda: folder.reasons("unknown") == [], 40)
    assert "done" in succeed(folder.path, "jobs", "watch", "unknown")
