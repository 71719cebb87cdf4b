"""The shares of a card that the engines of one worker get."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import forget
from tests.fake_cards import MIB_OF_24_GIB, path_with_cards
from tracemill import cards
from tracemill.engines.memory_plan import worker_shares
from tracemill.engines.registry import with_options
from tracemill.errors import UsageError
from tracemill.settings import model

SHAPE = {"hidden_size": 1024, "num_hidden_layers": 28, "intermediate_size": 3072, "num_attention_heads": 16,
         "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": True}  # fmt: skip
SETTINGS = """
[models]
teacher = {{ model = "{folder}/large", vllm.adapters = false }}
student = {{ model = "{folder}/small" }}
verifier = {{ model = "{folder}/small" }}
"""
ALL = ["teacher", "student", "verifier"]


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine with a card of 24 GB, a vLLM for CUDA, and models of 0.6B and 1.6B parameters."""
    for name, layers in (("small", 28), ("large", 94)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(SHAPE | {"num_hidden_layers": layers}))
    (tmp_path / "tracemill.toml").write_text(SETTINGS.format(folder=tmp_path))
    monkeypatch.setenv("TRACEMILL_CONFIG", str(tmp_path / "tracemill.toml"))
    monkeypatch.setenv("PATH", path_with_cards(tmp_path / "bin", MIB_OF_24_GIB))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(cards, "vllm_build", lambda: ("0.32.0", False))
    forget()
    yield tmp_path
    monkeypatch.undo()
    forget()


@pytest.mark.usefixtures("card")
def test_engines_of_one_worker_share_its_card() -> None:
    shares = worker_shares(ALL)
    assert shares["student"] == shares["verifier"]  # one engine
    assert shares["teacher"] > shares["student"] > 0.1
    assert 0.85 < shares["teacher"] + shares["student"] < 0.95


def test_memory_that_other_programs_use_is_not_planned_with(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_with_cards(card / "bin", MIB_OF_24_GIB, used_mib=MIB_OF_24_GIB // 2))
    shares = worker_shares(ALL)
    assert 0.35 < shares["teacher"] + shares["student"] < 0.46
    monkeypatch.setenv("PATH", path_with_cards(card / "bin", MIB_OF_24_GIB, used_mib=MIB_OF_24_GIB * 3 // 4))
    with pytest.raises(UsageError, match="the engines do not fit on a card of"):
        worker_shares(ALL)


@pytest.mark.usefixtures("card")
def test_a_single_engine_and_engines_on_the_cpu_keep_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker_shares(["student", "verifier"]) == {}
    monkeypatch.setattr(cards, "vllm_build", lambda: ("0.32.0", True))
    assert worker_shares(ALL) == {}


@pytest.mark.usefixtures("card")
def test_an_option_of_the_settings_wins_over_a_planned_one() -> None:
    config = model("teacher")
    planned = with_options(config, {"gpu_memory_utilization": 0.5})
    assert planned.vllm.options == {"gpu_memory_utilization": 0.5}
    assert with_options(planned, {"gpu_memory_utilization": 0.7, "seed": 1}).vllm.options == {
        "gpu_memory_utilization": 0.5,
        "seed": 1,
    }
