"""A round from its claim to its evaluations, with a real Postgres and a real NF4 fit of the embedded model."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from db.queries import Q
from db.session import transaction
from tests.conftest import forget
from tests.integration.factory import wait_until
from tests.integration.rounds import ASK, finish, job, question, round_row, round_spec, trace
from tests.tiny import byte_model
from tracemill.errors import UsageError
from tracemill.model_settings import EMBEDDED_MODEL
from tracemill.processes import is_alive
from tracemill.stack import Stack
from tracemill.weights import resolve
from trainer.service import run_round
from trainer.spec import RoundSpec
from trainer.submit import queue_round

pytestmark = pytest.mark.integration

QUESTIONS = 32
QUICK = {"epochs": 1, "batch_size": 4, "max_tokens": 64}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return byte_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def _student(clean: Stack, tiny: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Point the student's alias at a tiny model."""
    use(tiny, monkeypatch)
    yield
    forget()


def use(student: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the student's alias at this model."""
    vllm = {"adapters": True}
    aliases = {"student": {"model": student, "vllm": vllm}, "teacher": {"vllm": vllm}, "plain": {}}
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps(aliases))
    forget()


@pytest.fixture
def before(_student: None) -> int:
    """A finished evaluation of the student (2 of 4 right, 1 in the requested form) and a job of accepted traces."""
    with transaction() as connection:
        questions = [question(connection, f"What is {n} + 50?") for n in range(4)]
        job_id = job(connection, "before", questions, evaluate=True)
        for question_id, right, form in zip(
            questions, (True, True, False, False), ("stated", "last number") * 2, strict=True
        ):
            trace(connection, job_id, question_id, "?", accepted=right, form=form)
        finish(connection, job_id)
        taught = [question(connection, f"What is {n} + 1?") for n in range(QUESTIONS)]
        teach = job(connection, "teach", taught)
        for number, question_id in enumerate(taught):
            trace(connection, teach, question_id, f"{number} + 1 = {number + 1}. The answer is {number + 1}.")
    return job_id


def _answer_everything_right(round_id: int, trainer: threading.Thread) -> None:
    """Act as the feeder and the workers for the jobs that the trainer opens after its fit."""

    def opened() -> list[int]:
        with transaction() as connection:
            rows = connection.execute(text("select id from jobs where round_id = :id"), {"id": round_id})
            return [row.id for row in rows]

    # On a busy machine the fit takes minutes. pytest's own timeout ends a hang.
    wait_until(lambda: opened() or not trainer.is_alive(), math.inf)
    for job_id in opened():
        with transaction() as connection:
            question_ids = connection.execute(
                text("select question_id from job_questions where job_id = :id"), {"id": job_id}
            )
            for row in question_ids.all():
                trace(connection, job_id, row.question_id, "!")
            finish(connection, job_id)


def _set(round_id: int, **values: Any) -> None:
    """Leave the round as a lost trainer would."""
    assigned = ", ".join(f"{name} = :{name}" for name in values)
    with transaction() as connection:
        connection.execute(text(f"update rounds set {assigned} where id = :id"), {"id": round_id, **values})


def test_a_round_fits_a_real_adapter_and_measures_before_and_after(
    before: int, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    use(resolve(EMBEDDED_MODEL, models), monkeypatch)
    round_id = queue_round(round_spec(fit=QUICK))
    trainer = threading.Thread(target=run_round, args=(round_id,))
    trainer.start()
    _answer_everything_right(round_id, trainer)
    trainer.join(60)

    row = round_row(round_id)
    assert (row["state"], row["error"], row["owner"]) == ("done", None, None)
    metrics = row["metrics"]
    assert metrics["selection"]["examples"] == metrics["examples"] == QUESTIONS
    assert metrics["step"] == metrics["steps"] == QUESTIONS / QUICK["batch_size"]
    losses = [loss for _, loss in metrics["loss"]]
    assert losses[-1] < losses[0] / 2
    adapter = Path(row["adapter_path"])
    assert json.loads((adapter / "adapter_config.json").read_text())["r"] == 16
    learnt = [w for name, w in load_file(adapter / "adapter_model.safetensors").items() if "lora_B" in name]
    assert len(learnt) == 30 * 7  # every linear layer of 30 blocks; B starts as zeros
    assert all(w.abs().max() > 0 for w in learnt)

    with transaction() as connection:
        evaluations = connection.execute(text("select * from evaluations order by stage desc")).mappings().all()
        lineage = connection.execute(
            text("select distinct trace_id, accuracy from round_lineage where evaluation_stage = 'after'")
        ).all()
        repeated = connection.execute(Q["job_by_name"], {"name": "r1/before"}).mappings().one()
    assert [(e["stage"], e["questions"], e["correct"], e["correct_strict"]) for e in evaluations] == [
        ("before", 4, 2, 1),
        ("after", 4, 4, 4),
    ]
    assert evaluations[0]["low"] < evaluations[0]["accuracy"] == 0.5 < evaluations[0]["high"]
    assert (len(lineage), lineage[0].accuracy) == (QUESTIONS, 1.0)
    assert (repeated["purpose"], repeated["samples"]) == ("evaluate", 1)
    with transaction() as connection:
        prompts = connection.execute(Q["prompts_asked"], {"job_id": repeated["id"]}).all()
    assert [row.hash for row in prompts] == [ASK.hash]


def test_a_failed_fit_stores_its_reason_and_can_be_retried(before: int) -> None:
    with transaction() as connection:
        for number in range(3):
            question_id = question(connection, f"long {number}: " + "word " * 100)
            teach = connection.execute(Q["job_by_name"], {"name": "teach"}).mappings().one()["id"]
            trace(connection, teach, question_id, "word")
        connection.execute(
            text("update verdicts set accepted = false where trace_id in (select id from traces where text <> 'word')")
        )
    spec = round_spec(fit=QUICK)
    round_id = queue_round(spec)
    run_round(round_id)
    row = round_row(round_id)
    assert row["state"] == "failed"
    assert "longer than fit.max_tokens = 64" in row["error"]
    assert queue_round(spec) == round_id
    assert (round_row(round_id)["state"], round_row(round_id)["error"]) == ("queued", None)


def test_a_round_left_with_its_adapter_saved_is_not_fitted_again(before: int, tmp_path: Path) -> None:
    round_id = queue_round(round_spec(fit=QUICK))
    _set(round_id, state="fitting", adapter_path=str(tmp_path), owner="a lost trainer")
    trainer = threading.Thread(target=run_round, args=(round_id,))
    trainer.start()
    _answer_everything_right(round_id, trainer)
    trainer.join(60)
    assert (round_row(round_id)["state"], round_row(round_id)["adapter_path"]) == ("done", str(tmp_path))


def test_no_other_trainer_claims_a_round_during_its_lease(before: int) -> None:
    round_id = queue_round(round_spec())
    claim = {"round_id": round_id, "owner": "somebody", "lease": 600}
    with transaction() as connection:
        assert connection.execute(Q["claim_round"], claim).rowcount == 1
    run_round(round_id)
    assert (round_row(round_id)["state"], round_row(round_id)["owner"]) == ("selecting", "somebody")
    with transaction() as connection:
        assert connection.execute(Q["overdue_rounds"]).all() == []
        connection.execute(text("update rounds set lease_until = now() - interval '1 second'"))
        assert connection.execute(Q["overdue_rounds"]).scalars().all() == [round_id]
        assert connection.execute(Q["renew_round"], claim).rowcount == 0
        assert connection.execute(Q["claim_round"], {**claim, "owner": "another"}).rowcount == 1


def test_a_killed_trainer_ends_its_fit_and_another_can_continue(before: int) -> None:
    round_id = queue_round(round_spec(fit={**QUICK, "max_tokens": 128, "epochs": 500}))
    code = f"from trainer.service import run_round; run_round({round_id})"
    trainer = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
    fit = wait_until(lambda: psutil.Process(trainer.pid).children(), math.inf)[0]
    wait_until(lambda: round_row(round_id)["metrics"].get("step"), math.inf)
    trainer.send_signal(signal.SIGKILL)
    trainer.wait()
    wait_until(lambda: not is_alive(fit), 10)
    row = round_row(round_id)
    assert (row["state"], row["adapter_path"]) == ("fitting", None)
    with transaction() as connection:
        connection.execute(text("update rounds set lease_until = now()"))
    with transaction() as connection:
        claim = {"round_id": round_id, "owner": "the next one", "lease": 30}
        assert connection.execute(Q["claim_round"], claim).mappings().one()["state"] == "fitting"


def test_a_cancelled_evaluation_fails_the_round(before: int, tmp_path: Path) -> None:
    round_id = queue_round(round_spec())
    _set(round_id, state="evaluating", adapter_path=str(tmp_path))
    with transaction() as connection:
        connection.execute(text("update jobs set state = 'cancelled' where name = 'before'"))
    run_round(round_id)
    assert round_row(round_id)["state"] == "failed"
    assert "'before' was cancelled" in round_row(round_id)["error"]


def _spec(**changes: Any) -> RoundSpec:
    return RoundSpec.model_validate(round_spec().model_dump() | changes)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (_spec(student="pupil"), "unknown model alias 'pupil'"),
        (_spec(student="teacher"), "'before' did not ask 'teacher'"),
        (_spec(student="plain"), "set adapters = true"),
        (_spec(select={"jobs": ["lost"]}), "select.jobs: there is no job 'lost'"),
        (_spec(select={"jobs": ["before"]}), "no evaluation is trained on"),
        (_spec(evaluate={"jobs": ["teach"]}), "not 'evaluate'"),
        (_spec(fit={"objective": "telepathy"}), "no objective 'telepathy'"),
    ],
)
def test_a_wrong_round_is_refused_before_anything_runs(before: int, spec: RoundSpec, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        queue_round(spec)
    with transaction() as connection:
        assert connection.execute(text("select count(*) from rounds")).scalar() == 0


def test_a_round_is_queued_once_and_its_name_belongs_to_its_settings(before: int) -> None:
    round_id = queue_round(round_spec())
    assert queue_round(round_spec()) == round_id
    with pytest.raises(UsageError, match=r"fit\.epochs: 3, not 1"):
        queue_round(round_spec(fit={"epochs": 1}))
