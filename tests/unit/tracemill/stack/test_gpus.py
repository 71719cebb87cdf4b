"""The cards of the local generate workers."""

from pathlib import Path

import pytest

from tests.fake_cards import MIB_OF_24_GIB, path_with_cards
from tracemill import cards
from tracemill.settings import LocalSettings, Settings
from tracemill.stack.gpus import groups, label


@pytest.fixture
def four_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with four cards and a vLLM for CUDA."""
    monkeypatch.setenv("PATH", path_with_cards(tmp_path / "bin", *[MIB_OF_24_GIB] * 4))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(cards, "vllm_build", lambda: ("0.32.0", False))


def settings(*, n_cards: int = 1, **local: object) -> Settings:
    options = {"options": {"tensor_parallel_size": n_cards}}
    return Settings(models={"teacher": {"vllm": options}}, local=LocalSettings(**local))  # type: ignore[arg-type]


@pytest.mark.usefixtures("four_cards")
def test_every_card_is_used_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert groups(settings()) == [("0",), ("1",), ("2",), ("3",)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0,-1,1")
    assert groups(settings()) == [("2",), ("0",)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert groups(settings()) == []


@pytest.mark.usefixtures("four_cards")
def test_tensor_parallel_engines_take_groups_of_cards() -> None:
    assert groups(settings(n_cards=2)) == [("0", "1"), ("2", "3")]
    assert groups(settings(n_cards=3)) == [("0", "1", "2")]
    assert groups(settings(n_cards=2, gpus=[3, 1, 0])) == [("3", "1")]


@pytest.mark.usefixtures("four_cards")
def test_a_vllm_for_the_cpu_uses_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "vllm_build", lambda: ("0.32.0", True))
    assert groups(settings()) == []


@pytest.mark.parametrize(
    ("group", "name"),
    [(("0",), "gpu0"), (("2", "3"), "gpu2-3"), (("GPU-1f3a1b2c-9d0e-4c1b",), "gpu1f3a1b2c")],
)
def test_a_group_of_cards_has_a_short_name(group: tuple[str, ...], name: str) -> None:
    assert label(group) == name
