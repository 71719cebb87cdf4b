"""JSON files that are one object: rows under a key, columns, or rows by name.

Such an object is read at once, so its size has a limit. JSON Lines and arrays have none.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TypeGuard

from producer.sources.lines import DECODER, RepeatedKeyError, open_bytes
from tracemill.errors import UsageError
from tracemill.verification.foreign_rows import QUESTION_COLUMNS

#: The largest file in bytes, decompressed.
MAX_BYTES = 2**28
#: Keys under which files keep their rows, if several keys hold lists of objects.
ROW_KEYS = ("data", "rows", "questions", "examples", "instances", "problems", "items", "samples", "train", "test")


def read_document(path: Path) -> list[Mapping[str, object]] | None:
    """The rows of a file that is one JSON object; None if it is no JSON.

    Raises UsageError if it is too large, or if several keys may hold the rows.
    """
    with open_bytes(path) as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{path} is one JSON object of more than {MAX_BYTES // 2**20} MB. Write a row on each line: "
            f"jq -c '.data[]' {quote(str(path))} > rows.jsonl"
        )
    try:
        document = DECODER.decode(data.decode("utf-8-sig"))
    except RepeatedKeyError as error:
        raise UsageError(f"{path}: {error}: give each its own name") from None
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            return None
        raise UsageError(
            f"{path} holds objects of several lines. Write each on one line: jq -c . {quote(str(path))} > rows.jsonl"
        ) from None
    except (ValueError, RecursionError):
        return None
    return _rows(path, document)


def _rows(path: Path, document: Mapping[str, object]) -> list[Mapping[str, object]]:
    arrays = {key: cell for key, cell in document.items() if key not in QUESTION_COLUMNS and _is_objects(cell)}
    if arrays:
        return _unwrapped(arrays[_row_key(path, list(arrays))])
    columns, data = document.get("columns"), document.get("data")
    if isinstance(columns, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return [dict(zip(map(str, columns), row, strict=False)) for row in data]  # pandas: orient="split"
    cells = list(document.values())
    if not any(name in QUESTION_COLUMNS for name in document):
        if not _is_objects(cells) or len(cells) == 1:
            return [document]
        return [{"id": key, **cell} for key, cell in zip(document, cells, strict=True)]
    lists = [cell for cell in cells if isinstance(cell, list)]
    if len(lists) == len(cells) and len({len(cell) for cell in lists}) == 1:
        return [dict(zip(document, row, strict=True)) for row in zip(*lists, strict=True)]
    objects = {name: cell for name, cell in document.items() if isinstance(cell, dict)}
    return _transposed(objects) if len(objects) == len(cells) else [document]


def _is_objects(value: object) -> TypeGuard[list[Mapping[str, object]]]:
    """Whether this is a list of JSON objects, which may be rows."""
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _row_key(path: Path, keys: list[str]) -> str:
    """The key that holds the rows. Raises UsageError if that is not clear."""
    usual = [key for key in ROW_KEYS if key in keys]
    if len(keys) > 1 and not usual:
        raise UsageError(
            f"{path} is one object with rows in {' and '.join(map(repr, keys))}. Write those of one to a file: "
            f"jq {quote('.[' + json.dumps(keys[0]) + ']')} {quote(str(path))} > rows.json"
        )
    return usual[0] if usual else keys[0]


def _unwrapped(rows: list[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """The rows; those of the hub's data set viewer are in `row`."""
    inner = [row.get("row") for row in rows]
    return inner if _is_objects(inner) else rows


def _transposed(columns: Mapping[str, Mapping[str, object]]) -> list[Mapping[str, object]]:
    """The rows of columns that are objects by row name, as pandas writes them."""
    names = {name: None for column in columns.values() for name in column}
    return [{column: cells.get(name) for column, cells in columns.items()} for name in names]
