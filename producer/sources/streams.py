"""Streamed tables of Arrow record batches, for local Parquet files and the hub.

`datasets` is imported only if such a table is opened, because the import takes a second. Four of its features are off:
torch (several seconds more), progress bars, messages, and a download counter that calls a server even for local files.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from producer.sources.rows import Row, Table
from tracemill.errors import UsageError

BATCH_ROWS = 1000


def quiet_datasets() -> Any:
    """The `datasets` module without its messages. Raises UsageError if it is not installed."""
    try:
        import datasets
    except ImportError:
        raise UsageError(
            "Parquet and hub sources need the `datasets` library: pip install 'tracemill[sources]'"
        ) from None
    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity(datasets.utils.logging.CRITICAL)
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    datasets.config.TORCH_AVAILABLE = False
    return datasets


def stream_table(
    name: str,
    features: Mapping[str, Any],
    batches: Callable[[list[str]], Iterator[Any]],
    on_break: Callable[[int, Exception], Iterator[Row]],
) -> Table:
    """A table of Arrow record batches. `batches(columns)` reads those columns from the start.

    `features` are those of the `datasets` library. Only scalar columns are read, no lists or images. Class labels
    become their names. If reading fails at a row, `on_break(row, error)` gives a last row with the reason, or raises.
    """
    datasets = quiet_datasets()
    plain = [key for key, kind in features.items() if isinstance(kind, datasets.Value | datasets.ClassLabel)]
    labels = {key: kind for key, kind in features.items() if isinstance(kind, datasets.ClassLabel)}

    def rows() -> Iterator[Row]:
        number = 0
        try:
            for batch in batches(plain):
                for row in batch.to_pylist():
                    number += 1
                    yield number, _named(row, labels) if labels else row
        except Exception as error:  # errors of Arrow, HTTP and codecs
            yield from on_break(number + 1, error)

    if not features:
        raise UsageError(f"{name} has no columns")
    return Table(name, tuple(plain or features), rows)


def _named(row: Mapping[str, object], labels: Mapping[str, Any]) -> Mapping[str, object]:
    """The row with the names of its class labels; -1 and null both mean an unknown label."""
    names = {
        key: kind.int2str(value) if isinstance(value := row.get(key), int) and value >= 0 else None
        for key, kind in labels.items()
    }
    return {**row, **names}
