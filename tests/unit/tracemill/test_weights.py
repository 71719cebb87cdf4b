"""The folder or hub name of a model."""

from pathlib import Path

import pytest

from tracemill.errors import UsageError
from tracemill.weights import require, resolve


def test_a_folder_of_the_same_name_never_replaces_a_hub_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "Qwen" / "Qwen3-4B"
    folder.mkdir(parents=True)
    (folder / "config.json").touch()
    monkeypatch.chdir(tmp_path)
    for look_up in (resolve, require):
        with pytest.raises(UsageError, match=r"a hub model, and a folder here.*write \./Qwen/Qwen3-4B"):
            look_up("Qwen/Qwen3-4B", tmp_path)
    assert resolve("./Qwen/Qwen3-4B", tmp_path) == str(folder)
    assert resolve("Qwen/Qwen3-8B", tmp_path) == "Qwen/Qwen3-8B"
