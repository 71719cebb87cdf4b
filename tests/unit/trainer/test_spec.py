"""ROUND.toml: valid files, and the errors for invalid ones."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tracemill.errors import UsageError
from trainer.spec import RoundSpec, load

FULL = '[fit]\ntuning = "full"\nquantisation = "none"\n'
LEAST = 'name = "round-1"\n[select]\njobs = ["teach"]\n[evaluate]\njobs = ["student-before"]\n'


def _load(folder: Path, text: str) -> RoundSpec:
    path = folder / "ROUND.toml"
    path.write_text(text)
    return load(path)


def test_jobs_and_a_name_are_enough_for_a_round(tmp_path: Path) -> None:
    spec = _load(tmp_path, LEAST)
    assert (spec.name, spec.student, spec.select.jobs, spec.evaluate.jobs) == (
        "round-1",
        "student",
        ["teach"],
        ["student-before"],
    )
    assert (spec.fit.objective, spec.fit.quantisation, spec.fit.lora_rank) == ("sft", "nf4", 16)


def test_a_round_survives_its_way_through_the_database(tmp_path: Path) -> None:
    spec = _load(tmp_path, LEAST + "[fit]\nlearning_rate = 3e-4\n")
    assert RoundSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[fit]\nlearning_rat = 1.0\n", "fit.learning_rat"),
        ("[fit]\nepochs = 0\n", "fit.epochs"),
        ('[fit]\nquantisation = "int3"\n', "fit.quantisation"),
        ("[fit]\nlora_rank = 513\n", "fit.lora_rank: .*vLLM serves no adapter of a rank above 512"),
        ('[fit]\ntuning = "full"\nlearning_rate = 1e-5\n', "set quantisation = 'none'"),
        (FULL, "learning_rate = 0.001 is for adapters. .* at most 0.0002"),
        (FULL + "learning_rate = 1e-5\nmerge = true\n", "makes no adapter to merge"),
        ("[fit]\nshard = true\n", "set processes to the number of GPUs"),
        (FULL + "learning_rate = 1e-5\nprocesses = 2\nshard = true\n", "set tuning = 'lora'"),
        ("[fit\n", "ROUND.toml"),
        ('[curriculum]\nby = "mood"\n', "curriculum.by"),
        ('[curriculum]\nby = "length"\nepochs = [1, 0, 1]\n', "curriculum.epochs.1"),
        ("samples = 4\ntemperature = 0\n", "set temperature"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _load(tmp_path, LEAST + more)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("at_least = { beauty = 1 }", r"select\.at_least\.beauty"),
        ("ngram = 1", r"select\.ngram"),
        ("overlap = 0", r"select\.overlap"),
        ('accepted = "maybe"', r"select\.accepted"),
        ("balance = 2", r"select\.balance"),
        ("label_balance = 2", r"select\.label_balance"),
        ('prefer = "longest"', r"select\.prefer: Input should be 'random', 'shortest', 'score' or 'diverse'"),
        ('prefer = "score"', r'select: .*prefer = "score" needs the score: score = "rating"'),
        ('score = "rating"', r'select: .*score = "rating" needs prefer = "score"'),
        ('prefer = "score"\nscore = "beauty"', r"select\.score: .*there is no score 'beauty', only .*rating"),
        ("pass_rate = [0.1, 0.7]", r"select\.pass_rate: there is no such key"),
    ],
)
def test_a_wrong_filter_is_named(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _load(tmp_path, LEAST.replace("[evaluate]", f"{more}\n[evaluate]"))


@pytest.mark.parametrize(("by", "stages"), [("length", 3), ("complexity", 4), ("pass_rate", 3)])
def test_a_curriculum_has_as_many_stages_as_epochs_are_given(tmp_path: Path, by: str, stages: int) -> None:
    more = f'[curriculum]\nby = "{by}"\n'
    default, given = _load(tmp_path, LEAST + more), _load(tmp_path, LEAST + more + "epochs = [2, 1]\n")
    assert default.curriculum is not None
    assert given.curriculum is not None
    assert (default.curriculum.epochs, given.curriculum.epochs) == ([1] * stages, [2, 1])
    assert RoundSpec.model_validate_json(default.model_dump_json()) == default


def test_a_date_without_a_time_zone_is_in_utc(tmp_path: Path) -> None:
    spec = _load(
        tmp_path, LEAST.replace("[evaluate]", "since = 2026-11-01\nuntil = 2026-11-02T01:00:00+01:00\n[evaluate]")
    )
    assert spec.select.since == datetime(2026, 11, 1, tzinfo=UTC)
    assert spec.select.until == datetime(2026, 11, 2, tzinfo=UTC)


def test_every_wrong_key_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"name: .*select\.jobs: .*evaluate: "):
        _load(tmp_path, 'name = "../elsewhere"\n[select]\njobs = []\n')


def test_a_round_that_measures_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"evaluate: .*name the evaluations"):
        _load(tmp_path, LEAST.replace('jobs = ["student-before"]', ""))


def test_benchmarks_are_enough_for_an_evaluation(tmp_path: Path) -> None:
    spec = _load(tmp_path, LEAST.replace('jobs = ["student-before"]', 'benchmarks = ["gsm8k"]'))
    assert (spec.evaluate.benchmarks, spec.evaluate.jobs) == (["gsm8k"], [])


def test_the_file_of_a_loop_is_not_taken_for_a_round(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"describes a loop.*: run `tracemill loop .*ROUND\.toml`"):
        _load(tmp_path, LEAST + '[attempt]\nsource = "questions.jsonl"\n')


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")
