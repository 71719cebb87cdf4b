"""A loop's next step depends only on its snapshot."""

from typing import Any

import pytest

from trainer.loop import LoopSpec
from trainer.loop_steps import Decision, Snapshot, next_step

SPEC = LoopSpec.model_validate(
    {
        "name": "star",
        "rounds": 3,
        "attempt": {"source": "x"},
        "rationalize": {},
        "evaluate": {"jobs": ["before"]},
        "dev": {"jobs": ["dev"]},
    }
)


def move(step: Any, state: str | None, **changes: Any) -> Decision:
    return next_step(
        Snapshot(**{"spec": SPEC, "round": 1, "step": step, "awaits": "x", "awaited_state": state} | changes)
    )


@pytest.mark.parametrize("step", ["attempt", "rationalize"])
@pytest.mark.parametrize("state", ["filling", "running", "paused"])
def test_a_loop_waits_for_its_job(step: str, state: str) -> None:
    assert move(step, state, n_unsolved=3).move == "wait"


@pytest.mark.parametrize("state", ["queued", "selecting", "fitting", "evaluating"])
def test_a_loop_waits_for_its_round(state: str) -> None:
    assert move("train", state).move == "wait"


@pytest.mark.parametrize("state", ["done", "over_budget"])
def test_failed_questions_are_rationalised_before_the_round_is_trained(state: str) -> None:
    assert move("attempt", state, n_unsolved=3).move == "rationalize"
    assert move("rationalize", state, n_unsolved=3).move == "train"


def test_rationalisation_needs_a_failed_question_and_its_table() -> None:
    assert move("attempt", "done", n_unsolved=0).move == "train"
    plain = SPEC.model_copy(update={"rationalize": None})
    assert move("attempt", "done", n_unsolved=3, spec=plain).move == "train"


def test_attempts_are_scored_before_the_round_if_the_objective_has_a_teacher() -> None:
    def own(objective: str) -> LoopSpec:
        content = {"name": "own", "attempt": {"source": "x"}, "evaluate": {"jobs": ["before"]}}
        return LoopSpec.model_validate(content | {"fit": {"objective": objective}})

    for objective in ("on_policy", "self_distill", "gold"):
        assert move("attempt", "running", spec=own(objective)).move == "wait"
        assert move("attempt", "done", spec=own(objective)).move == "score"
        assert move("score", "running", spec=own(objective)).move == "wait"
        assert move("score", "done", spec=own(objective)).move == "train"
    assert move("attempt", "done", spec=own("grpo"), n_unsolved=3).move == "train"


def test_a_round_that_gains_on_the_dev_set_is_followed_by_the_next() -> None:
    assert move("train", "done", dev=(0.1, 0.3)).move == "attempt"


def test_a_loop_ends_when_its_round_gains_nothing_on_the_dev_set() -> None:
    assert move("train", "done", round=2, dev=(0.1, 0.3, 0.3)) == ("end", "round 2 gained no more than 0.5 points")


def test_a_loop_ends_after_its_last_round() -> None:
    assert move("train", "done", round=3, dev=(0.1, 0.2, 0.3, 0.4)) == ("end", "all 3 rounds are done")


def test_a_failed_round_fails_its_loop_with_the_same_error() -> None:
    assert move("train", "failed", awaited_error="out of memory") == ("fail", "round x failed: out of memory")


@pytest.mark.parametrize(("state", "reason"), [("cancelled", "x was cancelled"), (None, "x no longer exists")])
def test_a_job_that_never_ends_fails_its_loop(state: str | None, reason: str) -> None:
    decision = move("attempt", state)
    assert decision.move == "fail"
    assert reason in decision.reason
