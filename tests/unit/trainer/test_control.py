"""The control arm: the round's twin without its filter."""

from typing import Any

import pytest

from tests.integration.rounds import round_spec
from tracemill.errors import UsageError
from trainer.submit import control_of

#: A value other than the default for every key of [select].
POOL: dict[str, Any] = {
    "jobs": ["one", "two"],
    "methods": ["cot"],
    "models": ["teacher"],
    "domains": ["math"],
    "datasets": ["d"],
    "since": "2026-01-01T00:00:00Z",
    "until": "2026-02-01T00:00:00Z",
    "near_duplicates": 0.9,
    "max_per_question": 7,
    "ngram": 9,
    "overlap": 0.3,
    "seed": 5,
}
FILTER: dict[str, Any] = {
    "finished": False,
    "accepted": False,
    "correct": True,
    "concludes": True,
    "at_least": {"steps": 2},
    "at_most": {"unused": 0},
    "prefer": "score",
    "score": "rating",
    "balance": 0.5,
    "label_balance": 0.5,
    "tokens": 1000,
    "limit": 10,
    "like": "another",
}


def test_a_control_has_the_rounds_sources_and_no_filter() -> None:
    spec = round_spec("r1", select=POOL | FILTER, fit={"epochs": 7})
    twin = control_of(spec)
    assert (twin.name, twin.fit, twin.evaluate, twin.student) == ("r1-control", spec.fit, spec.evaluate, spec.student)
    expected = round_spec("r1", select=POOL | {"accepted": "any", "like": "r1"})
    assert twin.select == expected.select


def test_every_key_of_select_is_either_kept_or_dropped_in_a_control() -> None:
    spec = round_spec("r1", select=POOL | FILTER)
    assert set(POOL) | set(FILTER) == set(type(spec.select).model_fields)
    default = round_spec("r1").select
    assert all(getattr(spec.select, key) != getattr(default, key) for key in POOL | FILTER)


def test_pairs_have_no_control() -> None:
    with pytest.raises(UsageError, match="unfiltered traces have none"):
        control_of(round_spec(fit={"objective": "preference"}))
