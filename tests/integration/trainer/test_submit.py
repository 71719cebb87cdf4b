"""Checks of a round before it is stored, with a real Postgres and without a model."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from db.session import transaction
from tests.conftest import forget
from tests.integration.rounds import ASK, TEACH, job, new_round, question, round_row, round_spec
from tracemill.errors import UsageError
from tracemill.settings import settings
from tracemill.stack import Stack
from trainer.fit import round_folder
from trainer.spec import RoundSpec
from trainer.submit import checked, queue_round

MODELS = {
    "student": {"vllm": {"adapters": True, "max_lora_rank": 16}},
    "plain": {"vllm": {"max_lora_rank": 16}},
    "elsewhere": {"engine": "openai", "openai": {"base_url": "http://127.0.0.1:9/v1"}},
}


@pytest.fixture(autouse=True)
def _jobs(clean: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A job `teach`, and evaluations `before` and `after` with the same prompt."""
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps(MODELS))
    forget()
    with transaction() as connection:
        job(connection, "teach", [question(connection, "What is 1 + 1?")])
        for name in ("before", "other"):
            job(connection, name, [question(connection, f"What is {name}?")], evaluate=True)
    yield
    forget()


def _spec(**changes: Any) -> RoundSpec:
    return RoundSpec.model_validate(round_spec().model_dump() | changes)


def _change(statement: str, **values: Any) -> None:
    with transaction() as connection:
        connection.execute(text(statement), values)


def _checked(spec: RoundSpec) -> str:
    with transaction() as connection:
        return checked(connection, spec)


def test_a_round_is_trained_on_the_prompt_of_its_evaluations() -> None:
    assert _checked(_spec(evaluate={"jobs": ["before", "other"]})) == ASK.hash


def test_an_adapter_may_have_exactly_the_rank_that_the_student_serves() -> None:
    assert _checked(_spec(fit={"lora_rank": 16})) == ASK.hash
    with pytest.raises(UsageError, match=r"cannot serve an adapter of rank 17: .* max_lora_rank = 32 under"):
        _checked(_spec(fit={"lora_rank": 17}))
    with pytest.raises(UsageError, match="max_lora_rank = 128 under"):
        _checked(_spec(fit={"lora_rank": 65}))


FULL = {"tuning": "full", "quantisation": "none", "learning_rate": 1e-5}


def test_a_whole_model_needs_an_engine_that_loads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = round_folder(settings().data_dir, "r1") / "model"
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps(MODELS | {"tuned": {"model": str(folder)}}))
    forget()
    evaluate = {"jobs": ["before"], "served_by": "tuned"}
    assert _checked(_spec(fit=FULL, evaluate=evaluate)) == ASK.hash
    for wrong in (None, "plain"):
        with pytest.raises(UsageError, match=f'model = "{folder}", .* served_by = "{wrong or "tuned"}"'):
            _checked(_spec(fit=FULL, evaluate=evaluate | {"served_by": wrong}))
    with pytest.raises(UsageError, match=r"set fit\.tuning = 'full', or remove it"):
        _checked(_spec(evaluate=evaluate))


@pytest.mark.parametrize("objective", ["preference", "features"])
def test_a_whole_model_is_not_trained_beside_a_second_one(objective: str) -> None:
    with pytest.raises(UsageError, match=f"cannot learn '{objective}'"):
        _checked(_spec(fit=FULL | {"objective": objective}))


@pytest.mark.parametrize("objective", ["preference", "features"])
def test_a_sharded_student_learns_neither_pairs_nor_from_a_teacher(objective: str) -> None:
    fit = {"objective": objective, "processes": 2}
    assert _checked(_spec(fit=fit)) == ASK.hash
    with pytest.raises(UsageError, match=f"shard cannot learn '{objective}'"):
        _checked(_spec(fit=fit | {"shard": True}))


def test_a_model_without_adapters_is_no_student() -> None:
    with pytest.raises(UsageError, match=r"set adapters = true .* under \[models\.plain\.vllm\]"):
        _checked(_spec(student="plain"))


def test_a_model_on_a_server_elsewhere_is_no_student() -> None:
    with pytest.raises(UsageError, match="its engine is a server elsewhere"):
        _checked(_spec(student="elsewhere"))


@pytest.mark.parametrize("accepted", [False, "any"])
def test_pairs_need_accepted_traces(accepted: bool | str) -> None:
    fit = {"objective": "preference"}
    assert _checked(_spec(fit=fit)) == ASK.hash
    with pytest.raises(UsageError, match="need accepted traces"):
        _checked(_spec(fit=fit, select={"jobs": ["teach"], "accepted": accepted}))


def test_a_round_is_like_one_that_is_there() -> None:
    spec = _spec(select={"jobs": ["teach"], "like": "r0"})
    with pytest.raises(UsageError, match="there is no round 'r0'"):
        _checked(spec)
    with transaction() as connection:
        new_round(connection, round_spec("r0"))
    assert _checked(spec) == ASK.hash


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("state = 'cancelled'", "'before' was cancelled"),
        ("model = 'teacher'", "did not ask 'student' without an adapter"),
        ("round_id = :round", "did not ask 'student' without an adapter"),
    ],
)
def test_an_evaluation_that_cannot_be_repeated_is_refused(change: str, message: str) -> None:
    with transaction() as connection:
        earlier = new_round(connection, round_spec("r0"))
    _change(f"update jobs set {change} where name = 'before' and :round > 0", round=earlier)
    with pytest.raises(UsageError, match=message):
        _checked(_spec())


@pytest.mark.parametrize("content", ["Think.", "{question} {gold}", "{question} {trace}"])
def test_a_student_is_trained_on_a_prompt_of_the_question_alone(content: str) -> None:
    messages = json.dumps([{"role": "user", "content": content}])
    _change(
        "update prompts set messages = cast(:messages as jsonb) where hash = :hash", messages=messages, hash=ASK.hash
    )
    with pytest.raises(UsageError, match="holds the question and nothing else"):
        _checked(_spec())


def test_evaluations_that_ask_in_different_ways_are_refused() -> None:
    _change(
        "update job_prompts set prompt_hash = :hash where job_id = (select id from jobs where name = 'other')",
        hash=TEACH.hash,
    )
    with pytest.raises(UsageError, match=rf"'before' with {ASK.hash}, 'other' with {TEACH.hash}"):
        _checked(_spec(evaluate={"jobs": ["before", "other"]}))


def test_evaluations_with_different_variables_of_the_chat_template_are_refused() -> None:
    sampling = '{"chat_template_kwargs": {"enable_thinking": false}}'
    _change("update jobs set sampling = sampling || cast(:more as jsonb) where name = 'other'", more=sampling)
    assert _checked(_spec(evaluate={"jobs": ["other"]})) == ASK.hash
    with pytest.raises(UsageError, match="'before' and 'other' differ"):
        _checked(_spec(evaluate={"jobs": ["before", "other"]}))


def test_an_evaluation_without_questions_is_refused() -> None:
    _change("delete from job_questions")
    with pytest.raises(UsageError, match="there is no question"):
        _checked(_spec())


def test_a_failed_round_that_is_queued_again_is_tried_again() -> None:
    round_id = queue_round(_spec())
    _change("update rounds set state = 'failed', error = 'no luck' where id = :id", id=round_id)
    assert queue_round(_spec()) == round_id
    assert (round_row(round_id)["state"], round_row(round_id)["error"]) == ("queued", None)
