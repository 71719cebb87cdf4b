"""Small files that unpack to huge ones are read in bounded memory, and the rows around them are kept."""

import gzip
from pathlib import Path

import pyarrow
import pytest
from pyarrow.parquet import write_table

from producer.sources import Problem, open_source


def problems(path: Path) -> tuple[list[str], list[str]]:
    """The questions that can be read, and the reasons against the others."""
    items = list(open_source(str(path), mapping={}))
    return [item.text for item in items if not isinstance(item, Problem)], [
        f"{item.where}: {item.what}" for item in items if isinstance(item, Problem)
    ]


@pytest.mark.parametrize("content", [b"0" * 5000, b"," * 5000, b'"a' + b" " * 5000 + b'",2'])
def test_a_csv_line_without_end_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("producer.sources.lines.LONGEST", 2**20)
    path = tmp_path / "q.csv.gz"
    path.write_bytes(gzip.compress(b"question,answer\n1+1?,2\n" + content * 1000 + b"\n2+2?,4\n", 1))
    good, bad = problems(path)
    assert good == ["1+1?", "2+2?"]
    assert bad == [f"{path}:3: not CSV: this line is longer than 1 MB"]


def test_a_parquet_file_is_unpacked_a_few_rows_at_a_time(tmp_path: Path) -> None:
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 1000, "int32"), ["What? " + "x" * 2**17])
    path = tmp_path / "q.parquet"
    write_table(pyarrow.table({"question": text.cast("string")}), path, compression="zstd")
    assert path.stat().st_size < 2**14
    before = pyarrow.total_allocated_bytes()
    rows = iter(open_source(str(path), mapping={}))
    next(rows)
    assert pyarrow.total_allocated_bytes() - before < 2**25  # all rows have 2**27


def test_rows_of_a_columnar_file_that_are_too_large_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producer.sources.arrow_tables.MAX_BATCH_BYTES", 2**20)
    path = tmp_path / "q.parquet"
    texts = ["first?"] * 50 + ["x" * 2**17] * 50 + ["last?"] * 50
    write_table(pyarrow.table({"question": texts}), path)
    good, bad = problems(path)
    assert good == ["first?"] * 50 + ["last?"] * 50
    assert bad == [f"{path}:51: the 50 rows from here on have more than 1 MB"]
