"""The policy: the requirements on an accepted trace."""

from typing import Any

import pytest
from pydantic import ValidationError

from tracemill.errors import UsageError
from tracemill.policy import Gate, Policy, Threshold
from tracemill.statistics import Interval

GOOD: dict[str, Any] = {
    "correct": True, "majority": None, "equations_false": 0, "ungrounded": 0, "concludes": True, "steps": 3
}  # fmt: skip
STRICT = Policy(grounded=True, concludes=True, finished=True, steps=2)


def test_a_right_stated_answer_without_false_equations_is_accepted() -> None:
    assert Policy().passes(GOOD | {"ungrounded": 2, "concludes": None, "steps": 1}, stated=True, finished=False)


def test_a_trace_that_meets_every_requirement_passes_a_strict_policy() -> None:
    assert STRICT.passes(GOOD, stated=True, finished=True)


@pytest.mark.parametrize(
    ("fault", "stated", "finished"),
    [
        ({"correct": False}, True, True),
        ({"correct": None}, True, True),
        ({"equations_false": 1}, True, True),
        ({}, False, True),
        ({"ungrounded": 1}, True, True),
        ({"ungrounded": None}, True, True),
        ({"concludes": False}, True, True),
        ({"concludes": None}, True, True),
        ({}, True, False),
        ({"steps": 1}, True, True),
    ],
    ids=[
        "wrong answer", "undecided answer", "false equation", "answer guessed from the last number",
        "ungrounded number",
        "numbers not checked", "another answer than derived", "nothing derived", "cut off", "one step",
    ],
)  # fmt: skip
def test_a_trace_that_misses_one_requirement_is_not_accepted(
    fault: dict[str, Any], stated: bool, finished: bool
) -> None:
    assert not STRICT.passes(GOOD | fault, stated=stated, finished=finished)


def test_a_requirement_can_be_dropped() -> None:
    assert Policy(equations=False).passes(GOOD | {"equations_false": 3}, stated=True, finished=True)


def test_a_vote_replaces_the_gold_answer_only_if_the_policy_has_a_majority() -> None:
    vote = GOOD | {"correct": None, "majority": 0.75}
    assert not Policy().passes(vote, stated=True, finished=True)
    assert Policy(majority=0.75).passes(vote, stated=True, finished=True)
    assert not Policy(majority=0.8).passes(vote, stated=True, finished=True)


def test_a_vote_never_overrules_a_gold_answer() -> None:
    assert not Policy(majority=0.5).passes(GOOD | {"correct": False}, stated=True, finished=True)


def test_a_signal_at_the_gate_passes() -> None:
    policy = Policy(judge="verifier", gates={"rating": 0.7})
    assert policy.passes_gates({"rating": 0.7})
    assert not policy.passes_gates({"rating": 0.69})


def test_a_missing_signal_does_not_pass_its_gate() -> None:
    assert not Policy(judge="verifier", gates={"rating": 0.0}).passes_gates({})


def test_a_gate_on_an_uninformative_signal_refuses_nothing() -> None:
    policy = Policy(judge="verifier", gates={"rating": 0.7}, uninformative={"rating": "not calibrated"})
    assert policy.passes_gates({"rating": 0.1})
    assert policy.passes_gates({})


def test_a_gate_by_precision_has_the_threshold_of_the_calibration() -> None:
    threshold = Threshold(0.6, Interval(0.9, 0.8, 0.95), Interval(0.7, 0.6, 0.8))
    policy = Policy(judge="verifier", gates={"rating": Gate(precision=0.8)})
    with pytest.raises(UsageError, match="the gate on rating takes its threshold from a calibration"):
        policy.passes_gates({"rating": 1.0})
    calibrated = policy.model_copy(update={"thresholds": {"rating": threshold}})
    assert calibrated.passes_gates({"rating": 0.6})
    assert not calibrated.passes_gates({"rating": 0.59})
    assert Policy.model_validate_json(calibrated.model_dump_json()) == calibrated


def test_a_stored_gate_of_an_older_release_is_a_number() -> None:
    assert Policy.model_validate({"judge": "v", "gates": {"rating": 0.7}}).gates == {"rating": Gate(least=0.7)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"gates": {"rating": 0.5}},
        {"judge": "v", "gates": {"coherence": 0.5}},
        {"judge": "v", "gates": {"rating": 0.5}, "judge_share": 0.1},
        {"judge": "v", "gates": {"rating": {}}},
        {"judge": "v", "gates": {"rating": {"precision": 0.9, "least": 0.5}}},
        {"judge": "v", "signals": ["mood"]},
        {"majority": 2},
        {"unknown": 1},
    ],
    ids=[
        "no judge",
        "signal not requested",
        "judge sees only a share",
        "empty gate",
        "two requirements of one gate",
        "no such signal",
        "share above 1",
        "no such key",
    ],
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Policy.model_validate(wrong)


def test_the_judge_sees_the_configured_share_and_always_the_same_questions() -> None:
    policy = Policy(judge="verifier", judge_share=0.1)
    rated = [number for number in range(10_000) if policy.judges(number)]
    assert 900 < len(rated) < 1100
    assert [number for number in rated if number < 60] == [0, 5, 13, 26, 34, 47]


def test_a_question_exactly_at_the_share_is_not_judged() -> None:
    policy = Policy(judge="verifier", judge_share=0.5)
    assert [policy.judges(number) for number in (2**31, 2**31 + 1, 2**32)] == [False, True, True]


def test_by_default_the_judge_sees_every_question() -> None:
    assert all(Policy(judge="verifier").judges(number) for number in range(1000))


def test_by_default_a_policy_requires_a_right_stated_answer_and_equations() -> None:
    defaults = Policy().model_dump(exclude={"gates", "uninformative", "thresholds", "signals"})
    assert [name for name, value in defaults.items() if value is True] == ["correct", "equations", "stated"]
    assert defaults["steps"] == 0
    assert (defaults["judge_share"], defaults["auc_above"]) == (1, 0.5)


@pytest.mark.parametrize(
    ("field", "allowed", "refused"),
    [
        ("majority", [0.001, 1], [0, 1.001]),
        ("steps", [0, 1], [-1]),
        ("auc_above", [0.5, 0.999], [0.499, 1]),
        ("judge_share", [0.001, 1], [0, 1.001]),
    ],
)
def test_the_bounds_of_a_policy_are_exact(field: str, allowed: list[float], refused: list[float]) -> None:
    for value in allowed:
        assert getattr(Policy.model_validate({field: value}), field) == value
    for value in refused:
        with pytest.raises(ValidationError, match=field):
            Policy.model_validate({field: value})


@pytest.mark.parametrize(("steps", "passes"), [(1, False), (2, True), (3, True)])
def test_the_required_number_of_steps_is_enough(steps: int, passes: bool) -> None:
    assert Policy(steps=2).passes(GOOD | {"steps": steps}, stated=True, finished=True) is passes


def test_all_gates_must_be_passed() -> None:
    policy = Policy(judge="verifier", signals=("rating", "coherence"), gates={"rating": 0.7, "coherence": 0.5})
    assert policy.passes_gates({"rating": 0.7, "coherence": 0.5})
    assert not policy.passes_gates({"rating": 0.7, "coherence": 0.49})
    assert not policy.passes_gates({"rating": 0.69, "coherence": 0.5})


def test_without_a_judge_nothing_is_rated() -> None:
    assert not Policy().judges(1)
