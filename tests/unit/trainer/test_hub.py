"""The model card, and the upload to a hub."""

from pathlib import Path

import pytest

from tests.hub import Hub
from tests.integration.rounds import round_spec
from tracemill.errors import TracemillError
from trainer.hub import card, evaluated, merged_card, upload

OUTCOME = {"examples": 90, "too_long": 3, "tokens": 12_345}
SOURCE = {
    "job": "gsm",
    "model": "teacher",
    "method": "cot",
    "dataset": "gsm8k",
    "role": "sft",
    "examples": 90,
    "tokens": 9_000,
    "prompts": ["p1:aa"],
}
MEASURED = [
    {"job": "before", "stage": "before", "questions": 40, "correct": 10, "accuracy": 0.25, "low": 0.14, "high": 0.4},
    {"job": "r1/before", "stage": "after", "questions": 40, "correct": 20, "accuracy": 0.5, "low": 0.35, "high": 0.65},
]


def test_a_card_names_the_training_data_and_the_settings() -> None:
    text = card(round_spec(), "Qwen/Qwen3-0.6B", "p1:bb", [SOURCE], OUTCOME)
    assert "base_model: Qwen/Qwen3-0.6B" in text
    assert "| gsm | teacher | cot | gsm8k | sft | 90 | 9000 | p1:aa |" in text
    assert "90 examples, 12345 tokens an epoch; 3 more were left out" in text
    assert "prompt `p1:bb`" in text
    assert "Not evaluated yet." in text


def test_no_path_of_the_machine_is_in_a_card() -> None:
    assert "/data" not in card(round_spec(), "/data/models/mine", "p1:bb", [SOURCE], OUTCOME)


def test_measured_text_fills_its_block_and_can_be_replaced() -> None:
    text = card(round_spec(), "a/b", "p1:bb", [SOURCE], OUTCOME)
    assert evaluated(text, []) == text
    once = evaluated(text, MEASURED)
    assert "Not evaluated yet." not in once
    assert "| r1/before | yes | 40 | 20 | 50.0 % [35.0, 65.0] |" in once
    assert evaluated(once, MEASURED) == once


def test_the_card_of_a_merged_model_carries_no_figure_of_the_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    adapter, merged = tmp_path / "adapter", tmp_path / "merged"
    for folder in (adapter, merged):
        folder.mkdir()
        text = card(round_spec(), "a/b", "p1:bb", [SOURCE], OUTCOME)
        (folder / "README.md").write_text(text if folder == adapter else merged_card(text))
    (adapter / "adapter_model.safetensors").touch()
    assert upload(adapter, merged, MEASURED, "me/mine", "secret", private=True) == "hub/me/mine"
    assert Hub.calls == [
        ("token", "secret"),
        ("me/mine", True),
        (".", ["README.md", "adapter_model.safetensors"]),
        ("merged", ["README.md"]),
    ]
    assert "50.0 %" in (adapter / "README.md").read_text()
    of_merged = (merged / "README.md").read_text()
    assert "library_name: transformers" in of_merged
    assert "were not evaluated" in of_merged
    assert "%" not in of_merged


def test_a_hub_that_refuses_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(Hub):
        def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> str:
            raise OSError("no route to the hub")

    monkeypatch.setattr("huggingface_hub.HfApi", Closed)
    with pytest.raises(TracemillError, match="did not take me/mine: no route to the hub"):
        upload(tmp_path, tmp_path / "merged", [], "me/mine", "secret", private=True)
