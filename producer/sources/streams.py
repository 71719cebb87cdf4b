"""Tables of Arrow record batches, always streamed: local Parquet files and the hub share this.

`datasets` is imported only when such a table is opened (it takes a second), and kept light and quiet: no torch (which
takes seconds more), no progress bars, no retry chatter, and no download counter, which would call a server even for a
local file.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from producer.sources.rows import Row, Table
from tracemill.errors import UsageError

BATCH_ROWS = 1000


def quiet_datasets() -> Any:
    """The `datasets` module, silenced. Raises UsageError when it is not installed."""
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
    """A table of Arrow record batches: `batches(columns)` reads those columns, from the start each time.

    `features` are of the `datasets` library. Only scalar columns are read: lists, images and the like never leave the
    file. Class labels become their names. `on_break(row, error)` says what follows when reading fails at a row: a last
    row that tells why, or an exception.
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
        except Exception as error:  # the library raises whatever Arrow, HTTP or a codec raised
            yield from on_break(number + 1, error)

    if not features:
        raise UsageError(f"{name} has no columns")
    return Table(name, tuple(plain or features), rows)


def _named(row: Mapping[str, object], labels: Mapping[str, Any]) -> Mapping[str, object]:
    """-1 and null both mean that a label is not known."""
    names = {
        key: kind.int2str(value) if isinstance(value := row.get(key), int) and value >= 0 else None
        for key, kind in labels.items()
    }
    return {**row, **names}
