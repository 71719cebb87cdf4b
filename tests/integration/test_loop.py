"""`tracemill loop` against a real Postgres: a thread plays the workers, and what a trainer would fit is left out."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from cli.main import app
from db.queries import Q
from db.session import transaction
from tests.conftest import forget
from tests.integration.factory import rows, value
from tests.integration.rounds import finish, job, question, trace
from tracemill.stack import Stack
from trainer import service

pytestmark = pytest.mark.integration

#: Of four held-out questions the model of each round gets so many right.
RIGHT = {"star-1": 2, "star-2": 3, "star-3": 3}
LOOP = """
name = "star"
rounds = 5
[attempt]
source = "{folder}/sums.jsonl"
samples = 1
examples = "shots.jsonl"
[rationalize]
samples = 1
[select]
max_per_question = 1
[evaluate]
jobs = ["before"]
"""


@pytest.fixture
def file(clean: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A loop over six questions, with its held-out ones asked already (1 of 4 right)."""
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps({"student": {"adapters": True}}))
    forget()
    monkeypatch.setattr(service, "fit_in_child", fit)
    monkeypatch.setattr(service, "POLL_SECONDS", 0.1)
    with transaction() as connection:
        asked = [question(connection, f"What is {n} + 50?") for n in range(4)]
        before = job(connection, "before", asked, evaluate=True)
        for place, question_id in enumerate(asked):
            trace(connection, before, question_id, "?", accepted=place < 1)
        finish(connection, before)
    sums = [{"question": f"How much is {n} and one more?", "gold": str(n + 1)} for n in range(6)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, sums)))
    (tmp_path / "shots.jsonl").write_text(json.dumps({"question": "1 + 1?", "answer": "The answer is 2."}))
    (tmp_path / "star.toml").write_text(LOOP.format(folder=tmp_path))
    yield tmp_path / "star.toml"
    forget()


def fit(round_id: int, *_: Any) -> bool:
    with transaction() as connection:
        saved = {"round_id": round_id, "adapter_path": f"/adapter-{round_id}", "metrics": "{}"}
        connection.execute(Q["round_adapter"], saved)
    return True


@contextmanager
def everybody_at_work() -> Iterator[None]:
    """Answer what is asked: the attempts of round n get n + 2 questions right, a hint helps with all but the last."""
    stopped = threading.Event()

    def trainer() -> None:
        while not stopped.wait(0.1):
            for row in rows("select id from rounds where state = 'queued'"):
                service.run_round(row.id)

    def workers() -> None:
        while not stopped.wait(0.1):
            for found in rows("select id, name from jobs where state = 'running'"):
                answer(found.id, found.name)

    threads = [threading.Thread(target=work) for work in (trainer, workers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def answer(job_id: int, name: str) -> None:
    asked = rows("select question_id from job_questions where job_id = :id order by 1", id=job_id)
    right = RIGHT.get(name.partition("/")[0]) or (int(name.split("-")[1]) + 2 if "attempt" in name else 5)
    with transaction() as connection:
        for place, row in enumerate(asked):
            accepted = place < right if "rationalize" not in name else place < len(asked) - 1
            trace(connection, job_id, row.question_id, f"{name} {place}", accepted=accepted)
            change = "update job_questions set accepted = :accepted where job_id = :job and question_id = :question"
            connection.execute(text(change), {"accepted": int(accepted), "job": job_id, "question": row.question_id})
        finish(connection, job_id)


def run(file: Path) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["loop", str(file), "--json"])
    assert done.exception is None, done.output
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_each_round_is_taught_by_the_model_of_the_round_before_until_it_gains_no_more(file: Path) -> None:
    with everybody_at_work():
        found = run(file)
    assert found["ended"] == "round 3 gained less than 0.5 points"
    assert [each["after"]["value"] for each in found["rounds"]] == [0.5, 0.75, 0.75]
    assert found["rounds"][0]["before"]["value"] == 0.25
    asked = rows(
        "select j.name, r.name as model, (select count(*) from job_questions where job_id = j.id) as questions "
        "from jobs j left join rounds r on r.id = j.round_id where j.purpose = 'teach' order by j.id"
    )
    assert [tuple(row) for row in asked] == [
        ("star-1-attempt", None, 6),
        ("star-1-rationalize", None, 3),
        ("star-2-attempt", "star-1", 6),
        ("star-2-rationalize", "star-1", 2),
        ("star-3-attempt", "star-2", 6),
        ("star-3-rationalize", "star-2", 1),
    ]
    learnt = rows("select round, job from round_lineage group by 1, 2 order by 1, 2")
    assert {row.round: {r.job for r in learnt if r.round == row.round} for row in learnt}["star-3"] <= {
        row.name for row in asked
    }
    assert [each["questions with one"] for each in found["rounds"]] == [5, 5, 5]
    # Examples are shown to the base model, which does not know the form, and beside every hint.
    shown = rows(
        "select distinct j.name from jobs j join job_prompts jp on j.id = jp.job_id "
        "join prompts p on p.hash = jp.prompt_hash where p.messages::text like '%The answer is 2.%' order by 1"
    )
    assert [row.name for row in shown] == ["star-1-attempt"] + [f"star-{n}-rationalize" for n in (1, 2, 3)]


def test_a_loop_that_was_broken_off_goes_on_and_one_that_has_ended_is_found(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with everybody_at_work():
        with monkeypatch.context() as breaking:
            breaking.setattr("cli.loop.follow", interrupted)
            assert CliRunner().invoke(app, ["loop", str(file)]).exit_code != 0
        found = run(file)
        assert found["ended"] == "round 3 gained less than 0.5 points"
        traces = value("select count(*) from traces")
        assert run(file) == found
    assert value("select count(*) from traces") == traces
    assert value("select count(*) from rounds") == 3


def interrupted(name: str) -> None:
    raise KeyboardInterrupt
