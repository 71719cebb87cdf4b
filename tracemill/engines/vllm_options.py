"""The options of a vLLM engine: its arguments, its cores, and the number of sequences that keep it busy."""

import os
from pathlib import Path
from typing import Any

from tracemill.errors import UsageError
from tracemill.model_settings import ModelSettings
from tracemill.settings import is_file_of_folder
from tracemill.weights import resolve

#: A machine with at most this number of cores computes on all of them.
FEW_CORES = 4
#: The longest sequence of a model, divided by one of usual length.
USUAL_SHARE = 8


def engine_options(model: ModelSettings, data_dir: Path, *, on_cpu: bool) -> dict[str, Any]:
    """The arguments of vLLM's engine for a model alias. vLLM has its own defaults for all others."""
    require_trusted(model)
    settings = model.vllm
    options: dict[str, Any] = {
        "model": resolve(model.model, data_dir),
        "max_model_len": settings.max_model_len,
        "enable_prefix_caching": True,
        "enable_lora": settings.adapters,
        "max_lora_rank": settings.max_lora_rank,
        "trust_remote_code": False,
        "enable_log_requests": False,
        "disable_log_stats": True,
    }
    if on_cpu:
        options |= {
            "dtype": "bfloat16",
            "enforce_eager": True,
            "kv_cache_memory_bytes": int(settings.kv_cache_gib * 2**30),
            # vLLM caches only complete blocks of a shared prompt. With the default of 128 tokens, every sample
            # computes most of its few-shot examples again. The whole generation then takes more than twice as long.
            "block_size": 32,
        }
    return options | settings.options


def require_trusted(model: ModelSettings) -> None:
    """Raise UsageError if a settings file that nobody has named lets a model's own code run."""
    if model.vllm.options.get("trust_remote_code") and is_file_of_folder():
        raise UsageError(
            f"tracemill.toml of this folder sets trust_remote_code, which runs code of {model.model}. "
            "If you trust both, name the file: --config tracemill.toml"
        )


def sequences(cache_tokens: int | None, max_model_len: int, max_num_seqs: int) -> int:
    """The sequences that an engine holds at a time, from the key-value cache that it reports.

    Most sequences are far shorter than the longest one. Those that do not fit wait inside vLLM.

    >>> sequences(45_000, 2048, 256), sequences(70_000, 16384, 256), sequences(None, 2048, 256)
    (175, 34, 256)
    """
    if cache_tokens is None:  # the model has no such cache
        return max_num_seqs
    return max(1, min(max_num_seqs, cache_tokens * USUAL_SHARE // max_model_len))


def share_cores() -> None:
    """Compute on every core of a small machine. By default vLLM keeps one core for its front end.

    Waiting threads must then sleep and not spin, because they would slow down the front end.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) <= FEW_CORES:
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, cores)))
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
