"""A round that trains all weights: the trainer fits, a worker serves the new model, and the round measures it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.jobs import progress
from db.diagnosis import why_idle
from db.session import transaction
from tests.conftest import forget
from tests.integration.factory import Processes, change, rows, value, wait_until
from tests.integration.rounds import finish, job, question, round_row, round_spec, trace
from tests.tiny import byte_model
from tracemill.settings import settings
from tracemill.stack import Stack
from trainer.spec import RoundSpec
from trainer.submit import queue_round

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ANSWER = "The answer is 7."
FIT = {"tuning": "full", "quantisation": "none", "learning_rate": 2e-4, "epochs": 300, "batch_size": 4}


@pytest.fixture
def processes(clean: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    """The feeder, a verify worker and a trainer. The student is tiny and random."""
    weights = byte_model(tmp_path / "student", width=128)
    engine = {"max_model_len": 256, "kv_cache_gib": 0.25}
    tuned = settings().data_dir.resolve() / "rounds" / "r1" / "model"
    aliases = {name: {"model": str(path), "vllm": engine} for name, path in (("student", weights), ("tuned", tuned))}
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps(aliases))
    forget()
    started = Processes(tmp_path, {})
    started.start("producer", "producer")
    started.start("verify", "worker", "verify")
    started.start("train", "worker", "train")
    yield started
    started.stop_all()
    forget()


@pytest.fixture
def spec(processes: Processes) -> RoundSpec:
    """A round whose traces all have one answer, and a finished evaluation in which the student did not give it."""
    with transaction() as connection:
        evaluated = [question(connection, f"What is {n} + 1?") for n in range(4)]
        before = job(connection, "before", evaluated, evaluate=True)
        for question_id in evaluated:
            trace(connection, before, question_id, "?", accepted=False)
        finish(connection, before)
        taught = [question(connection, f"What is {n} + 2?") for n in range(8)]
        teach = job(connection, "teach", taught)
        for question_id in taught:
            trace(connection, teach, question_id, ANSWER)
    change("update questions set gold = '7'")
    made = round_spec(fit=FIT)
    return made.model_copy(update={"evaluate": made.evaluate.model_copy(update={"served_by": "tuned"})})


def test_the_whole_model_of_a_round_is_fitted_served_and_measured(processes: Processes, spec: RoundSpec) -> None:
    round_id = queue_round(spec)
    wait_until(lambda: round_row(round_id)["state"] in ("evaluating", "failed"), 400)
    row = round_row(round_id)
    assert row["error"] is None
    assert row["metrics"]["loss"][-1][1] < row["metrics"]["loss"][0][1] / 10
    assert Path(row["adapter_path"]).name == "model"
    wait_until(lambda: "r1/before: no worker serves tuned: tracemill worker generate --model tuned" in idle(), 60)
    processes.start("generate", "worker", "generate", "--model", "tuned")
    wait_until(lambda: round_row(round_id)["state"] in ("done", "failed"), 400)
    assert round_row(round_id)["error"] is None
    assert {row.text.strip() for row in rows("select text from trace_scores where job = 'r1/before'")} == {ANSWER}
    stages = rows("select stage, model, correct from evaluations join jobs on jobs.id = job_id order by correct")
    assert [tuple(row) for row in stages] == [("before", "student", 0), ("after", "tuned", 4)]
    assert value("select count(*) from round_lineage where round = 'r1' and evaluation_stage = 'after'") == 8


def idle() -> list[str]:
    return why_idle(progress())
