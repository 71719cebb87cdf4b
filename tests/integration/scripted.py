"""A factory with a scripted model: its settings, its answers and the expected verdicts."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

from tests import ROOT
from tests.integration.answers import answers
from tests.integration.factory import Processes, additions, job_state, rows, states, value, wait_until
from tests.scripted_server import ScriptedServer

#: Leases are short, so that a test can wait for them. Attempts are few, so that a wrong count shows.
SETTINGS = """
generate_concurrency = 32
verify_concurrency = 2
grace_seconds = 3
[models.teacher]
engine = "openai"
openai.base_url = "{teacher}"
model = "scripted"
[models.away]
engine = "openai"
openai.base_url = "{away}"
model = "scripted"
[models.verifier]
engine = "openai"
openai.base_url = "{teacher}"
model = "scripted"
[feeder]
interval_seconds = 0.2
queued_lease_seconds = 3
running_lease_seconds = 3
verify_lease_seconds = 10
max_attempts = 2
leader_lease_seconds = 2
"""


class Teacher(ScriptedServer):
    """Answers "What is n + 1?" in four ways. It can fail on one question, or give only one sample per request."""

    broken_question = ""
    #: The number of requests so far.
    n_requests = 0
    one_at_a_time = False

    def __init__(self, port: int = 0) -> None:
        super().__init__(self.say, port=port)

    def say(self, question: str) -> list[str]:
        self.n_requests += 1
        if question == self.broken_question:
            raise RuntimeError("scripted to fail")  # the server answers 500
        return list(answers(question))

    def _completion(self, request_body: dict[str, Any]) -> dict[str, Any]:
        return super()._completion(request_body | {"n": 1} if self.one_at_a_time else request_body)


@contextmanager
def scripted_factory(folder: Path) -> Iterator[Processes]:
    """A factory with a scripted teacher, whose processes the caller starts."""
    with Teacher() as teacher:
        config = folder / "tracemill.toml"
        config.write_text(SETTINGS.format(teacher=teacher.base_url, away="http://127.0.0.1:1/v1"))
        processes = Processes(folder, {"TRACEMILL_CONFIG": str(config)})
        try:
            yield processes
        finally:
            processes.stop_all()


def start_all(processes: Processes) -> None:
    processes.start("producer", "producer")
    processes.start("generate", "worker", "generate", "--model", "teacher", "--model", "away")
    processes.start("verify", "worker", "verify", "--judge", "verifier")


def wait_for(job: str, seconds: float = 120) -> None:
    wait_until(lambda: job_state(job) == "done", seconds, lambda: states(job))


def traces(job: str) -> int:
    return int(value("select traces from job_progress where job = :job", job=job))


def everything_came(job: str) -> bool:
    """True if nothing is left to generate; False while Postgres is unreachable."""
    try:
        return not {"pending", "queued", "running"} & states(job).keys()
    except OperationalError:
        return False


def check(job: str, questions: int) -> None:
    """Check that each question has its four scripted answers once, each with one right verdict."""
    assert states(job) == {"done": questions}
    scores = rows("select question, text, correct, accepted from trace_scores where job = :job", job=job)
    expected = [(q.text, *scripted) for q in additions(questions) for scripted in answers(q.text).items()]
    assert sorted((row.question, row.text, (row.correct, row.accepted)) for row in scores) == sorted(expected)
    assert value("select count(*) from verdicts v join traces t on t.id = v.trace_id "
                 "join jobs j on j.id = t.job_id where j.name = :job", job=job) == 4 * questions  # fmt: skip


def command(
    factory: Processes, *words: str, seconds: float = 60, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli", *words],
        cwd=ROOT,
        env=factory.whole_environment() | environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
