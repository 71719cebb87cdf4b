"""Tables of Arrow record batches: Parquet and Arrow files, and the hub.

Values become what a JSON file would hold: a class label its name, a date its ISO text, a map an object, and a float of
16 or 32 bits the shortest number that names it. Decimals stay exact. Lists and objects are slow to convert, so only
those that a question needs are read. Pictures and sounds are not read.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeAlias

from producer.sources.rows import Broken, Row, Table, require_unique
from tracemill.errors import UsageError

BATCH_ROWS = 1000
#: Rows of a Parquet file that are unpacked at a time. A file of 1 KB can hold 1000 rows of 1 MB.
PACKED_ROWS = 50
#: Largest size of the rows that are converted at a time, in bytes.
MAX_BATCH_BYTES = 2**27
_MEDIA = {"bytes", "path"}

Convert: TypeAlias = Callable[[Any], object]


def import_pyarrow() -> Any:
    """The `pyarrow` module. Raises UsageError if it is not installed."""
    try:
        import pyarrow
    except ImportError:
        raise UsageError("Parquet and Arrow files need `pyarrow`: pip install 'tracemill[sources]'") from None
    return pyarrow


def arrow_table(
    name: str,
    schema: Any,
    batches: Callable[[list[str]], Iterator[Any]],
    on_break: Callable[[int, Exception], Iterator[Row]],
) -> Table:
    """A table of Arrow record batches. `batches(columns)` reads those columns from the start.

    `schema` is Arrow's, perhaps with the class labels of the `datasets` library. If reading fails at a row,
    `on_break(row, error)` gives a last row with the reason, or raises.
    """
    if not schema.names:
        raise UsageError(f"{name} has no columns")
    require_unique(name, schema.names)
    types = import_pyarrow().types
    labels = _class_labels(schema.metadata)
    readable = [field for field in schema if not _is_media(field.type)]
    converters = {field.name: _label_name(labels[field.name]) for field in readable if field.name in labels}
    converters |= {field.name: _converter(field.type) for field in readable if field.name not in labels}
    nested = {field.name for field in readable if types.is_nested(field.type)}

    def read(used: Collection[str]) -> Iterator[Row]:
        columns = [field.name for field in readable if field.name not in nested or field.name in used]
        number = 0
        try:
            for batch in batches(columns):
                if batch.nbytes > MAX_BATCH_BYTES:
                    megabytes = MAX_BATCH_BYTES // 2**20
                    yield number + 1, Broken(f"the {batch.num_rows} rows from here on have more than {megabytes} MB")
                    number += batch.num_rows
                    continue
                values = [_converted(batch.column(column), converters[column]) for column in columns]
                for row in zip(*values, strict=True):
                    number += 1
                    yield number, dict(zip(columns, row, strict=True))
        except Exception as error:  # errors of Arrow, HTTP and codecs
            yield from on_break(number + 1, error)

    return Table(name, tuple(schema.names), lambda: read(nested), read)


def _class_labels(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """The names of each class label, by column, as the `datasets` library stores them beside Arrow's schema."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: feature["names"]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}


def _label_name(names: list[str]) -> Convert:
    """The name of a class label; -1 and null both mean an unknown label."""
    return lambda value: names[value] if 0 <= value < len(names) else None


def _converted(column: Any, convert: Convert | None) -> list[object]:
    pyarrow = import_pyarrow()
    if pyarrow.types.is_timestamp(column.type) and column.type.unit == "ns":  # Python has microseconds
        column = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False)
    values: list[object] = column.to_pylist()
    return [None if value is None else convert(value) for value in values] if convert else values


def _is_media(kind: Any) -> bool:
    """Whether this is a picture, a sound or a film of the `datasets` library."""
    return bool(import_pyarrow().types.is_struct(kind)) and {field.name for field in kind} == _MEDIA


def _converter(kind: Any) -> Convert | None:
    """The conversion of a value that is not null; None if Arrow's own is what JSON holds."""
    types = import_pyarrow().types
    if types.is_float16(kind) or types.is_float32(kind):
        return _float_converter("float16" if types.is_float16(kind) else "float32")
    if types.is_temporal(kind):
        return lambda value: value.isoformat() if hasattr(value, "isoformat") else str(value)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return _text_of_bytes
    if types.is_dictionary(kind):
        return _converter(kind.value_type)
    if types.is_map(kind):
        item = _converter(kind.item_type) or _unchanged
        return lambda pairs: {str(key): None if value is None else item(value) for key, value in pairs}
    if types.is_struct(kind):
        inner = {field.name: convert for field in kind if (convert := _converter(field.type))}
        return _object_converter(inner) if inner else None
    if types.is_nested(kind) and hasattr(kind, "value_type"):
        element = _converter(kind.value_type)
        return element and _list_converter(element)
    return None


def _object_converter(inner: Mapping[str, Convert]) -> Convert:
    def convert(value: dict[str, Any]) -> object:
        return {name: inner[name](part) if name in inner and part is not None else part for name, part in value.items()}

    return convert


def _list_converter(element: Convert) -> Convert:
    return lambda values: [None if value is None else element(value) for value in values]


def _unchanged(value: object) -> object:
    return value


def _float_converter(kind: str) -> Convert:
    import numpy

    short = numpy.dtype(kind).type
    return lambda value: float(str(short(value)))


def _text_of_bytes(value: bytes) -> object:
    """The text in UTF-8, as old programs store it in Parquet; other bytes as they are."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
