"""`tracemill rounds cancel`: the round ends with its evaluation jobs, and training again continues it."""

import json
import threading
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from cli.main import app
from db.queries import Q
from db.session import transaction
from tests.conftest import forget
from tests.integration.factory import rows, value, wait_until
from tests.integration.rounds import job, question, round_row, round_spec, trace
from tests.tiny import byte_model
from tracemill.errors import UsageError
from tracemill.stack import Stack
from trainer.evaluate import advance
from trainer.lease import Lease
from trainer.service import run_round
from trainer.submit import CANCELLED, queue_round

pytestmark = pytest.mark.integration


@pytest.fixture
def lease(clean: Stack) -> Lease:
    """The lease of a trainer on a round whose evaluation with the adapter is open."""
    with transaction() as connection:
        questions = [question(connection, f"What is {n} + 50?") for n in range(2)]
        job(connection, "teach", questions)
        job(connection, "before", questions, evaluate=True)
    round_id = queue_round(round_spec())
    with transaction() as connection:
        connection.execute(Q["claim_round"], {"round_id": round_id, "owner": "trainer", "lease": 60})
        advance(connection, round_id, round_spec())
    return Lease(round_id, "trainer", 60)


def jobs() -> dict[str, str]:
    return {row.name: row.state for row in rows("select name, state from jobs")}


def cancel() -> str:
    result = CliRunner().invoke(app, ["rounds", "cancel", "r1"])
    assert result.exit_code == 0, result.exception
    return result.stdout


def test_a_cancelled_round_takes_its_evaluation_with_it(lease: Lease) -> None:
    assert cancel() == (
        "round r1 is cancelled with its evaluation r1/before. To continue it: tracemill train ROUND.toml\n"
    )
    assert jobs() == {"teach": "running", "before": "running", "r1/before": "cancelled"}
    stored = rows("select state, owner, error from rounds")
    assert stored == [("failed", None, "cancelled by `tracemill rounds cancel`")]


def test_the_trainer_of_a_cancelled_round_notices_within_seconds(lease: Lease) -> None:
    with lease.renewed():
        cancel()
        wait_until(lambda: not lease.held, 10)


def test_training_again_continues_a_cancelled_round(lease: Lease) -> None:
    cancel()
    assert queue_round(round_spec()) == lease.round_id
    assert value("select state from rounds") == "queued"
    assert jobs()["r1/before"] == "running"


def test_a_round_that_has_ended_cannot_be_cancelled(lease: Lease) -> None:
    cancel()
    error = CliRunner().invoke(app, ["rounds", "cancel", "r1"]).exception
    assert isinstance(error, UsageError)
    assert str(error) == "round r1 is failed: only a round that has not ended can be cancelled"


@pytest.mark.slow
def test_cancelling_a_round_ends_its_fit_within_seconds(
    clean: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = {"model": byte_model(tmp_path / "student"), "vllm": {"adapters": True}}
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps({"student": student}))
    forget()
    with transaction() as connection:
        questions = [question(connection, f"What is {n} + 50?") for n in range(2)]
        job_id = job(connection, "teach", questions)
        for question_id in questions:
            trace(connection, job_id, question_id, "The answer is 51.")
        job(connection, "before", [question(connection, "How many legs has a spider?")], evaluate=True)
    round_id = queue_round(round_spec(fit={"epochs": 5_000, "batch_size": 1}))
    trainer = threading.Thread(target=run_round, args=(round_id,))
    trainer.start()
    wait_until(lambda: round_row(round_id)["metrics"].get("step") or not trainer.is_alive(), 300)
    started = time.monotonic()
    cancel()
    trainer.join(30)
    assert not trainer.is_alive()
    assert time.monotonic() - started < 10
    assert [child for child in psutil.Process().children() if "trainer.fit" in child.cmdline()] == []
    row = round_row(round_id)
    assert (row["state"], row["error"], row["adapter_path"]) == ("failed", CANCELLED, None)
    monkeypatch.undo()
    forget()
