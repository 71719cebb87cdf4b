"""Evaluations are repeated with the adapter and the same settings, and written when all are done."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from db.queries import Q
from db.session import transaction
from tests.integration.factory import rows
from tests.integration.rounds import finish, job, new_round, question, round_spec, trace
from tracemill.errors import TracemillError
from tracemill.stack import Stack
from trainer.evaluate import advance, measure
from trainer.spec import RoundSpec
from workers.job import worker_job

#: Columns of a job that differ in its repetition.
OWN = {"id", "name", "round_id", "created_at", "finished_at", "state"}
#: A value for settings that differ from their defaults.
SETTINGS = """
samples = 4, most = 4, enough = 2, batch = 2, priority = 3, ask_as = 'math',
sampling = '{"temperature": 0.6, "max_tokens": 99, "top_p": 0.8, "stop": ["X"]}', policy = policy || '{"steps": 7}'
"""


@pytest.fixture
def round_id(clean: Stack) -> int:
    with transaction() as connection:
        questions = [question(connection, f"What is {n} + 50?") for n in range(2)]
        job(connection, "before", questions, evaluate=True)
        return new_round(connection, round_spec())


def _advance(round_id: int) -> bool:
    with transaction() as connection:
        return advance(connection, round_id, round_spec())


def _finish(name: str, *, right: bool) -> None:
    with transaction() as connection:
        job_id = connection.execute(text("select id from jobs where name = :name"), {"name": name}).scalar_one()
        question_ids = connection.execute(
            text("select question_id from job_questions where job_id = :id"), {"id": job_id}
        )
        for question_id in question_ids.scalars().all():
            trace(connection, job_id, question_id, "?", accepted=right)
        finish(connection, job_id)


def _change(statement: str) -> None:
    with transaction() as connection:
        connection.execute(text(statement))


def test_a_repetition_asks_as_the_evaluation_did(round_id: int) -> None:
    _change(f"update jobs set {SETTINGS}")
    _advance(round_id)
    before, after = rows("select to_jsonb(jobs) as job from jobs order by id")
    assert {key: value for key, value in after.job.items() if key not in OWN} == {
        key: value for key, value in before.job.items() if key not in OWN
    }
    assert (after.job["name"], after.job["round_id"]) == ("r1/before", round_id)
    first, second = rows("select array_agg(question_id order by question_id) as ids from job_questions group by job_id")
    assert first.ids == second.ids


def test_a_whole_model_is_evaluated_by_its_own_engine(round_id: int) -> None:
    fit = {"tuning": "full", "quantisation": "none", "learning_rate": 1e-5}
    spec = RoundSpec.model_validate(
        round_spec(fit=fit).model_dump() | {"evaluate": {"jobs": ["before"], "served_by": "tuned"}}
    )
    stored = {"id": round_id, "spec": spec.model_dump_json()}
    with transaction() as connection:
        statement = "update rounds set adapter_path = '/model', spec = cast(:spec as jsonb) where id = :id"
        connection.execute(text(statement), stored)
        advance(connection, round_id, spec)
    before, after = rows("select id, model from jobs order by id")
    assert (before.model, after.model) == ("student", "tuned")
    assert worker_job(after.id).adapter is None
    with transaction() as connection:
        connection.execute(text(statement), stored | {"spec": round_spec().model_dump_json()})
    worker_job.cache_clear()
    assert worker_job(after.id).adapter == Path("/model")
    worker_job.cache_clear()


def test_a_foreign_job_is_not_used_as_a_repetition(round_id: int) -> None:
    with transaction() as connection:
        job(connection, "r1/before", [question(connection, "What is 50 + 50?")], evaluate=True)
    with pytest.raises(TracemillError, match="r1/before"):
        _advance(round_id)


def test_a_job_that_is_filling_is_repeated_once_it_is_filled(round_id: int) -> None:
    _change("update jobs set state = 'filling'")
    assert not _advance(round_id)
    assert len(rows("select id from jobs")) == 1
    _change("update jobs set state = 'running'")
    assert not _advance(round_id)
    assert not _advance(round_id)
    assert len(rows("select id from jobs")) == 2


@pytest.mark.parametrize("order", [("before", "r1/before"), ("r1/before", "before")])
def test_evaluations_are_written_when_both_sides_are_done(round_id: int, order: tuple[str, str]) -> None:
    assert not _advance(round_id)
    for name in order:
        assert not _advance(round_id)
        _finish(name, right=name == "r1/before")
    assert _advance(round_id)
    written = rows("select stage, benchmark, questions, correct, accuracy from evaluations order by stage")
    assert list(map(tuple, written)) == [("after", "before", 2, 2, 1.0), ("before", "before", 2, 0, 0.0)]


@pytest.mark.parametrize("name", ["before", "r1/before"])
def test_an_evaluation_that_was_cancelled_on_either_side_is_an_error(round_id: int, name: str) -> None:
    _advance(round_id)
    _change(f"update jobs set state = 'cancelled' where name = '{name}'")
    with pytest.raises(TracemillError, match=f"'{name}' was cancelled"):
        _advance(round_id)


def test_samples_that_stop_at_enough_right_ones_have_no_pass_at_k(round_id: int) -> None:
    _change("update jobs set samples = 4, enough = 1")
    _finish("before", right=True)
    with transaction() as connection:
        before = dict(connection.execute(Q["job_by_name"], {"name": "before"}).mappings().one())
        assert (measure(connection, before)["pass_at"], measure(connection, before)["correct"]) == ("{}", 2)
        assert measure(connection, before | {"enough": None})["pass_at"] != "{}"


def test_an_evaluation_with_failed_questions_is_not_recorded(round_id: int) -> None:
    _advance(round_id)
    for name in ("before", "r1/before"):
        _finish(name, right=True)
    _change("update job_questions set state = 'failed' where question_id = 1")
    for name, settle in (("before", "update jobs set leaves_out_failed = true where name = 'before'"),
                         ("r1/before", "update job_questions set state = 'done' where job_id = 2")):  # fmt: skip
        with pytest.raises(TracemillError, match=f"1 of 2 questions of evaluation job '{name}' failed") as caught:
            _advance(round_id)
        assert f"tracemill jobs retry {name}." in str(caught.value)
        assert f"tracemill jobs leave-out {name}." in str(caught.value)
        assert rows("select * from evaluations") == []
        _change(settle)
    assert _advance(round_id)
    recorded = rows("select benchmark, stage, questions, left_out, correct, accuracy from evaluations order by stage")
    assert recorded == [("before", "after", 2, 0, 2, 1.0), ("before", "before", 1, 1, 1, 1.0)]
    answers = rows("select stage, count(*) from round_answers group by 1 order by 1")
    assert answers == [("after", 2), ("before", 1)]


def test_samples_of_questions_that_are_left_out_do_not_count(round_id: int) -> None:
    _change("update jobs set samples = 2, leaves_out_failed = true")
    _finish("before", right=True)
    _change("update job_questions set state = 'failed' where question_id = 1")
    with transaction() as connection:
        before = dict(connection.execute(Q["job_by_name"], {"name": "before"}).mappings().one())
        measured = measure(connection, before)
    assert (measured["questions"], measured["left_out"], measured["correct"]) == (1, 1, 1)
    assert json.loads(measured["pass_at"]) == {"1": 0.5, "2": 1.0}
