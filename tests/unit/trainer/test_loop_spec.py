"""The end of a loop, and the content of its file."""

import doctest
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tracemill.errors import UsageError
from trainer import loop
from trainer.loop import LoopSpec, ended, load, round_of

FILE = """
name = "star"
rounds = 3
[attempt]
source = "sums.jsonl"
[select]
max_per_question = 2
[evaluate]
jobs = ["before"]
"""


def spec(**changes: Any) -> LoopSpec:
    return LoopSpec.model_validate(
        {"name": "star", "attempt": {"source": "x"}, "evaluate": {"jobs": ["before"]}, "dev": {"jobs": ["dev"]}}
        | changes
    )


def test_the_examples_of_the_documentation_hold() -> None:
    assert doctest.testmod(loop).failed == 0


@pytest.mark.parametrize(
    ("settings", "after", "reason"),
    [
        ({"rounds": 3}, [], None),
        ({"rounds": 3}, [0.3, 0.4], None),
        ({"rounds": 3}, [0.3, 0.4, 0.5], "all 3 rounds are done"),
        ({}, [0.1], "round 1 gained no more than 0.5 points"),
        ({"plateau": 0}, [0.3, 0.3], "round 2 gained no more than 0.0 points"),
        ({"plateau": 0}, [0.3, 0.301], None),
        ({"plateau": -1}, [0.3, 0.2], None),
        ({"plateau": 0.02}, [0.3, 0.4, 0.41], "round 3 gained no more than 2.0 points"),
        ({"target": 0.4}, [0.3, 0.4], "the target of 40.0 % is reached"),
        ({"target": 0.4}, [0.3, 0.399], None),
        ({"target": 0.05}, [], None),
        # Exactly representable: a gain of a quarter is not more than a quarter.
        ({"plateau": 0.25}, [0.25, 0.5], "round 2 gained no more than 25.0 points"),
        ({"plateau": 0.25}, [0.25, 0.5625], None),
        # The best before counts, whether of an earlier round or of the base model.
        ({}, [0.5, 0.3, 0.4], "round 3 gained no more than 0.5 points"),
        ({}, [0.05, 0.09], "round 2 gained no more than 0.5 points"),
        ({"rounds": 2}, [0.3, 0.4], "all 2 rounds are done"),
    ],
)
def test_a_loop_ends_at_its_target_on_a_plateau_or_after_its_rounds(
    settings: dict[str, Any], after: list[float], reason: str | None
) -> None:
    assert ended(spec(**settings), len(after), [0.1, *after]) == reason


def test_a_loop_without_a_dev_set_runs_all_its_rounds() -> None:
    alone = spec(dev=None, rounds=3)
    assert [ended(alone, finished) for finished in range(4)] == [None, None, None, "all 3 rounds are done"]


@pytest.mark.parametrize("key", [{"target": 0.5}, {"plateau": 0.01}, {"plateau": 0}])
def test_an_early_end_without_a_dev_set_is_refused(key: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=r"add a table \[dev\]"):
        spec(dev=None, **key)


@pytest.mark.parametrize(
    "dev", [{"jobs": ["before"]}, {"jobs": ["dev", "before"]}, {"benchmarks": ["svamp"], "jobs": ["dev"]}]
)
def test_a_loop_must_not_end_on_the_set_that_it_reports(dev: dict[str, list[str]]) -> None:
    with pytest.raises(ValidationError, match="what decides must not be what is reported"):
        spec(dev=dev, evaluate={"jobs": ["before"], "benchmarks": ["svamp"]})


def test_every_round_is_measured_on_both_sets() -> None:
    assert round_of(spec(), 1, ["star-1-attempt"]).evaluate.jobs == ["before", "dev"]


def test_a_stored_loop_is_read_back_as_it_was() -> None:
    for loop_spec in (spec(), spec(dev=None), spec(target=0.5, plateau=-1)):
        assert LoopSpec.model_validate(loop_spec.model_dump(mode="json")) == loop_spec


@pytest.mark.parametrize("selected", ['[select]\njobs = ["first"]\n', '[[teach]]\nname = "a"\nsource = "b.jsonl"\n'])
def test_the_file_of_a_round_is_not_taken_for_a_loop(tmp_path: Path, selected: str) -> None:
    file = tmp_path / "round.toml"
    file.write_text(f'name = "round-1"\n{selected}[evaluate]\njobs = ["before"]\n')
    with pytest.raises(UsageError, match=r"describes a round.*: run `tracemill train .*round\.toml`"):
        load(file)


def test_every_round_starts_from_the_base_and_learns_from_all_jobs_so_far(tmp_path: Path) -> None:
    (tmp_path / "star.toml").write_text(FILE)
    made = round_of(load(tmp_path / "star.toml"), 2, ["star-1-attempt", "star-2-attempt"])
    assert (made.name, made.student, made.select.jobs) == ("star-2", "student", ["star-1-attempt", "star-2-attempt"])
    assert made.select.max_per_question == 2


@pytest.mark.parametrize("objective", ["on_policy", "self_distill", "grpo"])
def test_a_round_on_own_words_continues_the_adapter_of_the_round_before(objective: str) -> None:
    own = spec(fit={"objective": objective}, start="warm")
    first, second = (round_of(own, number, [f"star-{number}-score"]) for number in (1, 2))
    assert (first.start, second.start) == ("warm", "star-1")
    chosen = second.select
    assert (chosen.accepted, chosen.finished, chosen.max_per_question) == ("any", False, 0)
    assert round_of(spec(fit={"objective": objective}, select={"finished": True}), 1, ["x"]).select.finished
    assert round_of(spec(), 2, ["x"]).start is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "warm"}, "always trains a new adapter"),
        ({"fit": {"objective": "on_policy"}, "rationalize": {}}, r"\[rationalize\]: .* own attempts alone"),
        (
            {"fit": {"objective": "grpo"}, "attempt": {"source": "x", "temperature": 0.7}},
            "temperature = 0.7: .* at temperature 1",
        ),
        ({"fit": {"objective": "grpo"}, "attempt": {"source": "x", "examples": "y"}}, "no prompt has examples"),
    ],
)
def test_keys_that_own_words_cannot_use_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(**changes)


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ('[select]\njobs = ["others"]', "select.jobs: a round of a loop learns from the loop's own jobs"),
        ("[select]\nbalanse = 1", "select.balanse"),
        ("[fit]\nepochs = 0", "fit.epochs"),
        ("rounds = 0", "rounds"),
        ("nonsense", "cannot read the loop file"),
    ],
)
def test_a_wrong_loop_is_refused_before_anything_runs(tmp_path: Path, added: str, message: str) -> None:
    file = tmp_path / "star.toml"
    head, tables = FILE.replace("rounds = 3\n", "").split("[select]\nmax_per_question = 2\n")
    file.write_text(added + head + tables if not added.startswith("[") else head + tables + added)
    with pytest.raises(UsageError, match=r"star\.toml") as error:
        load(file)
    assert message in str(error.value)
