"""Data sets on the Hugging Face hub, streamed: `hf:name[:config][:split]`.

A single part after the name is a configuration if the data set has one of that name, otherwise a split. The default
split is `train`. Streaming needs the network, so HF_HUB_OFFLINE refuses these sources at once. Code in a data set is
never run (`datasets` removed that in 4.0).
"""

import time
from collections.abc import Iterator
from typing import Any, NoReturn

from producer.sources.arrow_tables import BATCH_ROWS, arrow_table
from producer.sources.rows import Row, Table, family, nearest
from tracemill.errors import TracemillError, UsageError, reason_of

_REACH_SECONDS = 10.0
#: A split that is not read to its end leaves a thread of Arrow for a few milliseconds. A process that ends during that
#: time is aborted (Arrow issue 45214).
_LET_THREADS_END = 0.3


@family("hf", examples=("hf:openai/gsm8k:main:train", "hf:HuggingFaceH4/MATH-500:test"))
def open_hub(spec: str) -> list[Table]:
    """One table with the split.

    Raises UsageError for an unknown data set, configuration or split, and TracemillError if the hub cannot be reached.
    """
    name, *parts = spec.split(":")
    if not name or len(parts) > 2 or not all(parts):
        raise UsageError(f"hf:{spec}: write hf:name[:config][:split], for example hf:openai/gsm8k:main:train")
    datasets = _quiet_datasets()
    _reach(name)
    try:
        configs = datasets.get_dataset_config_names(name)
        config, split = _config_and_split(name, parts, configs)
        splits = datasets.get_dataset_split_names(name, config)
    except (OSError, RuntimeError, ValueError) as error:
        _unreachable(name, error)
    if split not in splits:
        raise UsageError(f"hf:{name}: no split {split!r} in {config!r}. There is {', '.join(splits)}")

    def batches(columns: list[str]) -> Iterator[Any]:
        stream = datasets.load_dataset(name, config, split=split, streaming=True)
        if columns:
            stream = stream.select_columns(columns)
        try:
            yield from stream.with_format("arrow").iter(BATCH_ROWS)  # three times as fast as row by row
        finally:
            time.sleep(_LET_THREADS_END)

    def lost(row: int, error: Exception) -> Iterator[Row]:
        raise TracemillError(
            f"hf:{spec}: reading stopped at row {row}: {reason_of(error)}. Run the same command again: "
            "stored questions are not stored twice"
        ) from error

    try:
        stream = datasets.load_dataset(name, config, split=split, streaming=True)
        features = stream.features
        schema = features.arrow_schema if features else next(stream.with_format("arrow").iter(1)).schema
        return [arrow_table(f"hf:{spec}", schema, batches, lost)]
    except StopIteration:
        raise UsageError(f"hf:{spec} holds no questions") from None
    except (OSError, RuntimeError, ValueError) as error:
        _unreachable(name, error)


def _quiet_datasets() -> Any:
    """The `datasets` module without its messages. Raises UsageError if it is not installed.

    It is imported only here, because the import takes a second. Four of its features are off: torch (several seconds
    more), progress bars, messages, and a download counter that calls a server.
    """
    try:
        import datasets
    except ImportError:
        raise UsageError("hub sources need the `datasets` library: pip install 'tracemill[sources]'") from None
    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity(datasets.utils.logging.CRITICAL)
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    datasets.config.TORCH_AVAILABLE = False
    return datasets


def _reach(name: str) -> None:
    """Check once with a time limit that the hub answers. `datasets` alone retries for half a minute."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    if constants.HF_HUB_OFFLINE:
        raise TracemillError(
            f"cannot reach the hub for {name!r}: HF_HUB_OFFLINE is set. Unset it, or give a file instead"
        )
    try:
        HfApi().dataset_info(name, timeout=_REACH_SECONDS)
    except HFValidationError as error:
        raise UsageError(f"hf:{name} is no name of a data set: {error}") from None
    except RepositoryNotFoundError:
        raise UsageError(
            f"the hub has no data set {name!r}, or it is private: check the name, or log in (hf auth login)"
        ) from None
    except Exception as error:  # the error classes depend on the HTTP client of huggingface_hub
        _unreachable(name, error)


def _config_and_split(name: str, parts: list[str], configs: list[str]) -> tuple[str, str]:
    if len(parts) == 2:
        config, split = parts
    elif len(parts) == 1 and parts[0] in configs:
        config, split = parts[0], "train"
    else:
        config, split = ("default" if "default" in configs else configs[0]), (parts or ["train"])[0]
        if len(configs) > 1 and "default" not in configs:
            raise UsageError(f"hf:{name} has several configurations, name one: {', '.join(configs)}")
    if config not in configs:
        close = nearest(config, configs)
        hint = f". Did you mean hf:{name}:{close}?" if close else ""
        raise UsageError(f"hf:{name}: no configuration {config!r}. There is {', '.join(configs)}{hint}")
    return config, split


def _unreachable(name: str, error: Exception) -> NoReturn:
    raise TracemillError(
        f"cannot reach the hub for {name!r} ({reason_of(error)}); give a file instead, or try again later"
    ) from error
