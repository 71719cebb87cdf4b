"""Columns of every type mean the same in every kind of file; mappings take paths and templates."""

import bz2
import datetime
import decimal
import gzip
import json
import lzma
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from producer.sources import Problem, Question, open_source
from tracemill.errors import UsageError

ROWS = [{"question": "What is 1 + 1?", "answer": "2"}, {"question": "What is 2 + 2?", "answer": "4"}]


def read(path: Path | str, **mapping: str) -> list[Question | Problem]:
    return list(open_source(str(path), mapping=mapping))


def golds(path: Path | str, **mapping: str) -> list[str | None]:
    return [item.gold if isinstance(item, Question) else item.what for item in read(path, **mapping)]


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def parquet(path: Path, gold: pyarrow.Array) -> Path:
    table = pyarrow.table({"question": ["?"] * len(gold), "answer": gold})
    pyarrow.parquet.write_table(table, path)
    return path


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        (pyarrow.array([decimal.Decimal("1.50")]), "1.50"),
        (pyarrow.array([decimal.Decimal("51.00")]), "51"),
        (pyarrow.array([0.1], pyarrow.float32()), "0.1"),
        (pyarrow.array([0.1], pyarrow.float16()), "0.1"),
        (pyarrow.array([[2.5]], pyarrow.list_(pyarrow.float32())), "2.5"),
        (pyarrow.array([datetime.date(2024, 2, 29)]), "2024-02-29"),
        (pyarrow.array([1709164800000000001], pyarrow.timestamp("ns")), "2024-02-29T00:00:00"),
        (pyarrow.array([b"seven"]), "seven"),
        (pyarrow.array(["seven"]).dictionary_encode(), "seven"),
        (pyarrow.array([["42"]]), "42"),
        (pyarrow.array([["3", "4"]]), "3, 4"),
        (pyarrow.array([[[1, 2], [3, 4]]]), "[[1, 2], [3, 4]]"),
        (pyarrow.array([None], pyarrow.list_(pyarrow.string())), None),
        (pyarrow.array([[]], pyarrow.list_(pyarrow.string())), None),
    ],
    ids=str,
)
def test_a_typed_gold_answer_is_read_as_people_write_it(tmp_path: Path, gold: pyarrow.Array, text: str | None) -> None:
    assert golds(parquet(tmp_path / "q.parquet", gold)) == [text]


@pytest.mark.parametrize("gold", [["42"], [42], ["3", "4"], [[1, 2], [3, 4]], [1, 2], None, "notfound", 0.5])
def test_json_and_parquet_give_the_same_gold_answer(tmp_path: Path, gold: Any) -> None:
    row = {"question": "?", "answer": gold}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path := tmp_path / "q.parquet")
    assert golds(path) == golds(jsonl(tmp_path / "q.jsonl", row))


def test_a_gold_answer_that_is_nan_or_binary_is_a_problem_of_its_row(tmp_path: Path) -> None:
    nan = parquet(tmp_path / "a.parquet", pyarrow.array([float("nan"), 1.0], pyarrow.float32()))
    assert golds(nan) == ["'answer' is nan, which is not an answer", "1"]
    binary = parquet(tmp_path / "b.parquet", pyarrow.array([b"\xff\xfe"]))
    assert golds(binary) == ["'answer' is binary data, not text or a number"]


def test_a_gold_column_may_first_appear_after_many_rows(tmp_path: Path) -> None:
    rows = [{"question": f"q{n}"} | ({"answer": str(n)} if n >= 150 else {}) for n in range(160)]
    path = jsonl(tmp_path / "q.jsonl", *rows)
    assert golds(path)[148:152] == [None, None, "150", "151"]
    rows = [{"question": f"q{n}"} | ({"key": str(n)} if n >= 150 else {}) for n in range(160)]
    assert golds(jsonl(tmp_path / "r.jsonl", *rows), gold="key")[-1] == "159"


def test_a_repeated_column_is_refused_in_every_kind_of_file(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "a", "answer": "1", "answer": "2"}\n{"question": "b", "answer": "3"}')
    assert golds(path) == ["an object has the key 'answer' more than once", "3"]
    names = ["question", "answer", "answer"]
    pyarrow.parquet.write_table(
        pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 3, names), path := tmp_path / "q.parquet"
    )
    with pytest.raises(UsageError, match="more than one column 'answer'"):
        read(path)


@pytest.mark.parametrize(
    "document",
    [
        {"version": 2, "data": ROWS},
        {"info": [{"name": "own"}], "questions": ROWS},
        {"features": [{"name": "question"}], "rows": [{"row_idx": n, "row": row} for n, row in enumerate(ROWS)]},
        {name: [row[name] for row in ROWS] for name in ROWS[0]},
        {name: {str(n): row[name] for n, row in enumerate(ROWS)} for name in ROWS[0]},
        {str(n): row for n, row in enumerate(ROWS)},
        {"columns": list(ROWS[0]), "index": [0, 1], "data": [list(row.values()) for row in ROWS]},
    ],
    ids=["data", "known key", "viewer", "columns", "columns of pandas", "rows by name", "split of pandas"],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_object_around_the_rows_is_unpacked(tmp_path: Path, document: Any, indent: int | None) -> None:
    path = tmp_path / "q.json"
    path.write_text(json.dumps(document, indent=indent))
    assert golds(path) == ["2", "4"]


def test_an_indented_json_object_may_be_one_question(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    path.write_text(json.dumps(ROWS[0], indent=2))
    assert golds(path) == ["2"]


def test_json_that_cannot_be_unpacked_is_wrong_use_with_a_command(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    path.write_text(json.dumps({"left": ROWS, "right": ROWS}))
    with pytest.raises(UsageError, match=rf"""in 'left' and 'right'.*: jq '\.\["left"\]' {path} > rows\.json$"""):
        read(path)
    path.write_text("\n".join(json.dumps(row, indent=1) for row in ROWS))
    with pytest.raises(UsageError, match=rf"objects of several lines.*: jq -c \. {path} > rows\.jsonl$"):
        read(path)


def test_a_jsonl_file_may_hold_an_array(tmp_path: Path) -> None:
    for indent in (None, 2):
        (path := tmp_path / "q.jsonl").write_text(json.dumps(ROWS, indent=indent))
        assert golds(path) == ["2", "4"]


def test_compressed_files_are_read_like_plain_ones(tmp_path: Path) -> None:
    data = "\n".join(map(json.dumps, ROWS)).encode()
    packed = {
        "gz": gzip.compress(data),
        "bz2": bz2.compress(data),
        "xz": lzma.compress(data),
        "zst": pyarrow.compress(data, "zstd", asbytes=True),
    }
    for ending, content in packed.items():
        (path := tmp_path / f"q.jsonl.{ending}").write_bytes(content)
        assert golds(path) == ["2", "4"], ending
        path.write_bytes(b"plain text")
        with pytest.raises(UsageError, match=f"not a readable .{ending} file"):
            read(path)


def test_arrow_files_are_read_as_file_stream_and_feather(tmp_path: Path) -> None:
    table = pyarrow.Table.from_pylist(ROWS)
    with pyarrow.ipc.new_stream(tmp_path / "stream.arrow", table.schema) as writer:
        writer.write_table(table)
    with pyarrow.ipc.new_file(tmp_path / "file.arrow", table.schema) as writer:
        writer.write_table(table)
    pyarrow.feather.write_feather(table, str(tmp_path / "q.feather"))
    for path in tmp_path.iterdir():
        assert golds(path) == ["2", "4"], path.name
    (tmp_path / "q.arrow").write_bytes(b"ARROW1 and more")
    with pytest.raises(UsageError, match="not a readable Arrow file"):
        read(tmp_path / "q.arrow")


def test_a_wrong_offset_in_an_arrow_file_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "q.arrow"
    pyarrow.feather.write_feather(
        pyarrow.table({"question": ["one?", "three?"]}), str(path), compression="uncompressed"
    )
    offsets, wrong = struct.pack("<3i", 0, 4, 10), struct.pack("<3i", 0, 4, 10**8)
    path.write_bytes(path.read_bytes().replace(offsets, wrong))
    (problem,) = open_source(str(path), mapping={})
    assert isinstance(problem, Problem)
    assert "the file is damaged" in problem.what


def test_an_arrow_file_with_a_column_of_unknown_width_is_wrong_use(tmp_path: Path) -> None:
    path = tmp_path / "q.arrow"
    pyarrow.feather.write_feather(
        pyarrow.table({"question": ["one?"], "n": [1]}), str(path), compression="uncompressed"
    )
    data = path.read_bytes()
    for position in (index for index, byte in enumerate(data) if byte == 64):  # bits of an integer
        path.write_bytes(data[:position] + b"\xff" + data[position + 1 :])
        with suppress(UsageError):
            read(path)


def test_a_csv_file_may_have_semicolons_or_tabs(tmp_path: Path) -> None:
    for sign in ";\t":
        (path := tmp_path / "q.csv").write_text(
            f'"question"{sign}"a, b"{sign}answer\nWhat is 1,5 + 1,5?{sign}x{sign}3\n'
        )
        assert golds(path) == ["3"]


def test_gold_indices_count_from_0_or_from_1(tmp_path: Path) -> None:
    options = {"question": "?", "choices": ["red", "blue", "green"]}
    from_0 = jsonl(tmp_path / "a.jsonl", *(options | {"answer": n} for n in (0, 1, 2)))
    from_1 = jsonl(tmp_path / "b.jsonl", *(options | {"answer": str(n)} for n in (1, 2, 3)))
    assert golds(from_0) == golds(from_1) == ["A", "B", "C"]
    assert golds(jsonl(tmp_path / "c.jsonl", *(options | {"answer": n} for n in (0, 3, -1)))) == [
        "A",
        "'answer' is 3, and there are 3 choices",
        None,
    ]


def test_a_domain_column_with_other_words_is_left_alone(tmp_path: Path) -> None:
    rows = [{"question": "?", "domain": domain} for domain in (["Mathematics -> Sums"], "Physics", "legal")]
    items = read(jsonl(tmp_path / "q.jsonl", *rows))
    assert [(item.domain, item.meta) for item in items if isinstance(item, Question)] == [
        (None, {}),
        (None, {"domain": "Physics"}),
        ("legal", {}),
    ]


def test_a_mapping_takes_paths_templates_and_several_columns(tmp_path: Path) -> None:
    row = {
        "task": {"text": "Which?", "hints": ["none", "two"]},
        "key": {"right": "B"},
        "x": "red",
        "y": "blue",
        "no": "",
    }
    path = jsonl(tmp_path / "q.jsonl", row)
    [item] = read(path, question=r"{no}\n{task.text}\nHint {{{task.hints.1}}}: {x}", gold="key.right", choices="x,y")
    assert isinstance(item, Question)
    assert (item.text, item.gold) == ("Which?\nHint {two}: red\nA) red\nB) blue", "B")


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("{tsk}", r"no column 'tsk'.*Did you mean --map 'question=\{task\}'\?"),
        ("{task", "expected '}'"),
        ("{}", "write {COLUMN} for a value"),
        ("a {{b}}", "names no column"),
        ("tsk.text", r"no column 'tsk'.*Did you mean --map question=task\.text\?"),
    ],
)
def test_a_wrong_path_or_template_is_wrong_use_with_a_hint(tmp_path: Path, field: str, says: str) -> None:
    path = jsonl(tmp_path / "q.jsonl", {"task": {"text": "Which?"}})
    with pytest.raises(UsageError, match=says):
        read(path, question=field)


def test_a_conversation_of_several_turns_is_a_problem_that_says_so(tmp_path: Path) -> None:
    turns = [{"role": role, "content": "hm"} for role in ("user", "assistant", "user")]
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]
    items = read(jsonl(tmp_path / "q.jsonl", {"messages": turns}, {"messages": picture}, {"messages": "text"}))
    assert [item.what if isinstance(item, Problem) else item.text for item in items] == [
        "'messages' is a conversation with 2 messages of a user, and a question has 1",
        "'messages' has a part that is no text, such as a picture",
        "text",
    ]


def test_the_hint_for_a_folder_names_files_that_are_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder without question files"):
        read(tmp_path)
    jsonl(tmp_path / "q.ndjson", *ROWS)
    with pytest.raises(UsageError, match=rf"is a folder: name its files, for example '{tmp_path}/\*\.ndjson'$"):
        read(tmp_path)
    assert len(read(tmp_path / "*.ndjson")) == 2


def test_a_gold_answer_may_have_more_digits_than_a_float(tmp_path: Path) -> None:
    digits = "7" * 400
    (path := tmp_path / "q.jsonl").write_text(f'{{"question": "How many?", "answer": {digits}}}')
    assert golds(path) == [digits]


def test_a_list_that_python_cannot_hash_is_a_text(tmp_path: Path) -> None:
    rows = ({"question": "f?", "answer": "[{[1]: 2}]"}, {"question": "g?", "answer": "['2']"})
    assert golds(jsonl(tmp_path / "q.jsonl", *rows)) == ["[{[1]: 2}]", "2"]
