"""ROUND.toml: what is understood, and what is said about what is not."""

from pathlib import Path

import pytest

from tracemill.errors import UsageError
from trainer.spec import RoundSpec, load

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
    ("more", "said"),
    [
        ("[fit]\nlearning_rat = 1.0\n", "fit.learning_rat"),
        ("[fit]\nepochs = 0\n", "fit.epochs"),
        ('[fit]\nquantisation = "int3"\n', "fit.quantisation"),
        ("[fit]\nlora_rank = 65\n", "fit.lora_rank"),
        ("[fit\n", "ROUND.toml"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        _load(tmp_path, LEAST + more)


def test_every_wrong_key_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"name: .*select\.jobs: .*evaluate: "):
        _load(tmp_path, 'name = "../elsewhere"\n[select]\njobs = []\n')


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")
