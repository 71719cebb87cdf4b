"""Question files: questions, Problems and wrong use."""

import gzip
import json
import random
import subprocess
import sys
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest

from producer.sources import Problem, Question, open_source
from tracemill.errors import UsageError


def read(path: Path | str, **mapping: str) -> tuple[list[Question], list[Problem]]:
    items = list(open_source(str(path), mapping=mapping))
    return [i for i in items if isinstance(i, Question)], [i for i in items if isinstance(i, Problem)]


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def good(count: int) -> list[str]:
    return [json.dumps({"question": f"What is {i} + 1?", "answer": str(i + 1)}) for i in range(count)]


def test_a_jsonl_file_gives_questions_with_gold_meta_and_line(tmp_path: Path) -> None:
    row = {"question": " What? ", "answer": "so\n#### 1,200", "level": 3, "ok": True, "tags": ["x"], "note": "n" * 3000}
    path = write(tmp_path / "q.jsonl", f"\n{json.dumps(row)}\n")
    assert read(path) == (
        [Question("What?", "1200", None, None, {"level": 3, "ok": True, "note": "n" * 2000}, line=2)],
        [],
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"question": "tru', "not JSON"),
        (b"[1, 2]", "not an object"),
        (b'"text"', "not an object"),
        (b'{"question": "caf\xe9"}', "not UTF-8: byte 0xe9 at byte 18"),
        (b'{"question": ""}', "empty"),
        (b'{"question": "  "}', "empty"),
        (b'{"question": null}', "null"),
        (b'{"question": 5}', "a number"),
        (b'{"question": NaN}', "a number"),
        (b'{"question": ["a"]}', "a list"),
        (b'{"question": {"a": 1}}', "an object"),
        (b'{"prompt": "a"}', "no 'question'"),
        (b'{"question": "a\\ud800b"}', "surrogate"),
        (b'{"question": "a", "note": "\\udfff"}', "'note'"),
        (b'{"question": "a", "\\ud800": "n"}', "surrogate"),
        (b'{"question": "a\\u0000b"}', "NUL"),
        (b'{"question": "a", "answer": "\\u0000"}', "NUL"),
        (b"\0\0\0\0", "not JSON"),
        (b'{"question": "a", "answer": NaN}', "nan"),
        (b'{"question": "a", "answer": 1e999}', "inf"),
        (b'{"question": "a", "answer": {"b": 1}}', "an object"),
        (b'{"question": "a", "id": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_line_is_a_problem_with_its_number_and_the_rest_is_read(tmp_path: Path, line: bytes, says: str) -> None:
    first, last = (text.encode() for text in good(2))
    path = write(tmp_path / "q.jsonl", b"\n".join([first, line, last]))
    questions, problems = read(path)
    assert [question.line for question in questions] == [1, 3]
    assert [problem.where for problem in problems] == [f"{path}:2"]
    assert says in problems[0].what


def test_a_file_of_broken_lines_only_gives_problems_and_no_exception(tmp_path: Path) -> None:
    questions, problems = read(write(tmp_path / "q.jsonl", "nope\n" * 300))
    assert (len(questions), len(problems)) == (0, 300)


def test_a_truncated_last_line_is_the_only_problem(tmp_path: Path) -> None:
    questions, problems = read(write(tmp_path / "q.jsonl", "\n".join(good(10))[:-5]))
    assert (len(questions), [p.where[-3:] for p in problems]) == (9, [":10"])


def test_a_byte_order_mark_and_windows_line_ends_are_ignored(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + "\r\n".join(good(3)).encode()
    assert len(read(write(tmp_path / "q.jsonl", text))[0]) == 3
    table = b"\xef\xbb\xbfquestion,answer\r\nWhat?,4\r\n"
    assert [(q.text, q.gold) for q in read(write(tmp_path / "q.csv", table))[0]] == [("What?", "4")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["q.jsonl", "q.json", "q.csv"])
def test_the_error_for_another_encoding_names_it(tmp_path: Path, name: str, encoding: str) -> None:
    path = write(tmp_path / name, "\n".join(good(2)).encode(encoding))
    with pytest.raises(UsageError, match="UTF-32" if encoding == "utf-32" else "UTF-16"):
        read(path)


def test_gold_numbers_and_booleans_are_written_as_people_write_them(tmp_path: Path) -> None:
    lines = [json.dumps({"question": "q", "answer": gold}) for gold in (51.0, 7, True, 0.5, None, "", 10**30)]
    questions, problems = read(write(tmp_path / "q.jsonl", "\n".join(lines)))
    assert [q.gold for q in questions] == ["51", "7", "true", "0.5", None, None, str(10**30)]
    assert problems == []


def test_meta_leaves_out_values_that_json_in_postgres_cannot_hold(tmp_path: Path) -> None:
    path = write(
        tmp_path / "q.jsonl", '{"question": "q", "a": NaN, "b": -Infinity, "c": 123456789012345678901, "d": 1.5}'
    )
    assert read(path)[0][0].meta == {"c": "123456789012345678901", "d": 1.5}


def test_a_whole_number_in_meta_stays_a_number_up_to_64_bits(tmp_path: Path) -> None:
    path = write(
        tmp_path / "q.jsonl",
        f'{{"question": "q", "a": {2**63 - 1}, "b": {2**63}, "c": {-(2**63)}, "d": {-(2**63) - 1}}}',
    )
    assert read(path)[0][0].meta == {"a": 2**63 - 1, "b": str(2**63), "c": -(2**63), "d": str(-(2**63) - 1)}


def test_a_line_of_five_megabytes_is_a_question(tmp_path: Path) -> None:
    text = "x" * 5_000_000
    path = write(tmp_path / "q.jsonl", "\n".join([json.dumps({"question": text}), *good(1)]))
    assert [len(q.text) for q in read(path)[0]] == [5_000_000, 14]


def test_a_line_above_the_limit_is_a_problem_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.sources.lines.LONGEST", 1000)
    path = write(tmp_path / "q.jsonl", "\n".join([json.dumps({"question": "x" * 5000}), *good(2)]))
    questions, problems = read(path)
    assert ([q.line for q in questions], [p.where[-2:] for p in problems]) == ([2, 3], [":1"])


def test_a_json_file_is_an_array_or_lines(tmp_path: Path) -> None:
    lines = good(3)
    indented = json.dumps([json.loads(line) for line in lines], indent=1)
    assert [q.line for q in read(write(tmp_path / "a.json", indented))[0]] == [2, 6, 10]
    assert [q.line for q in read(write(tmp_path / "b.json", "\n".join(lines)))[0]] == [1, 2, 3]
    assert len(read(write(tmp_path / "c.json", b"\xef\xbb\xbf[" + ",".join(lines).encode() + b"]"))[0]) == 3


def test_bad_elements_of_an_array_are_problems_where_they_start(tmp_path: Path) -> None:
    text = b'[\n{"question": "a"},\n7,\n{"question": "caf\xe9"},\n{"question": "b"},\n{"question": oops}, {}]'
    questions, problems = read(write(tmp_path / "q.json", text))
    assert [q.line for q in questions] == [2, 5]
    assert [p.where.rsplit(":")[-1] for p in problems] == ["3", "4", "6"]
    assert "byte 0xe9" in problems[1].what
    assert "rest of the file is not read" in problems[2].what


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_cut_off_array_keeps_its_earlier_elements(tmp_path: Path, cut: int) -> None:
    questions, problems = read(write(tmp_path / "q.json", ("[" + ",\n".join(good(5)) + "]")[:-cut]))
    assert (len(questions), len(problems)) == (5 if cut == 1 else 4, 1)


def test_array_elements_may_cross_any_chunk_boundary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producer.sources.lines._CHUNK", 7)
    rows = [json.loads(line) for line in good(50)]
    questions, problems = read(write(tmp_path / "q.json", json.dumps(rows, indent=2)))
    assert ([q.text for q in questions], problems) == ([row["question"] for row in rows], [])
    assert [q.line for q in questions] == [2 + 4 * i for i in range(50)]


def test_an_empty_array_holds_no_questions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no questions"):
        read(write(tmp_path / "q.json", " [ ] "))


def test_csv_rows_are_numbered_by_the_line_they_start_on(tmp_path: Path) -> None:
    text = 'question,gold,note\n"one\ntwo",1,a\n\n"th""ree",2\nfour,3,b\nfi\0ve,4,c\n"six"x,5,d\nseven,6,e\n'
    questions, problems = read(write(tmp_path / "q.csv", text))
    assert [(q.text, q.line) for q in questions] == [("one\ntwo", 2), ("four", 6), ("seven", 9)]
    assert [(p.where.rsplit(":")[-1], p.what.split(":")[0]) for p in problems] == [
        ("5", "2 fields, where the header has 3"),
        ("7", "'question' holds a NUL character, which Postgres cannot store"),
        ("8", "not CSV"),
    ]


def test_a_latin_1_byte_is_a_problem_of_its_csv_row_only(tmp_path: Path) -> None:
    questions, problems = read(write(tmp_path / "q.csv", b"question,gold\na,1\ncaf\xe9,2\nb,3\n"))
    assert [q.text for q in questions] == ["a", "b"]
    assert "byte 0xe9" in problems[0].what


def test_an_unclosed_quote_is_a_problem_where_it_opens(tmp_path: Path) -> None:
    questions, problems = read(write(tmp_path / "q.csv", 'question\na\n"b\nc\n'))
    assert ([q.text for q in questions], [p.where[-2:] for p in problems]) == (["a"], [":3"])


def test_tsv_and_gzip_are_read_like_the_plain_files(tmp_path: Path) -> None:
    assert read(write(tmp_path / "q.tsv", "question\tgold\na, b\t1\n"))[0][0].text == "a, b"
    assert len(read(write(tmp_path / "q.jsonl.gz", gzip.compress("\n".join(good(4)).encode())))[0]) == 4
    assert len(read(write(tmp_path / "q.csv.gz", gzip.compress(b"question\na\nb\n")))[0]) == 2


@pytest.mark.parametrize("name", ["q.jsonl.gz", "q.json.gz", "q.csv.gz"])
def test_a_cut_off_gzip_file_keeps_its_first_rows(tmp_path: Path, name: str) -> None:
    noise = [random.Random(i).randbytes(40).hex() for i in range(20_000)]
    lines = {"q.jsonl.gz": [json.dumps({"question": text}) for text in noise], "q.csv.gz": ["question", *noise]}
    text = "\n".join(lines[name]) if name in lines else json.dumps([{"question": text} for text in noise])
    whole = gzip.compress(text.encode())
    questions, problems = read(write(tmp_path / name, whole[: len(whole) * 3 // 4]))
    assert len(questions) > 5_000
    assert ["breaks off here" in p.what for p in problems][-1]


def test_a_glob_reads_its_files_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.jsonl", json.dumps({"question": name}) + "\noops\n")
    questions, problems = read(tmp_path / "*.jsonl")
    assert [q.text for q in questions] == ["a", "b", "c"]
    assert [Path(p.where).name for p in problems] == ["a.jsonl:2", "b.jsonl:2", "c.jsonl:2"]


def test_one_bad_file_of_a_glob_is_found_before_the_first_row(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", good(1)[0])
    write(tmp_path / "b.jsonl", '{"text": "no question here"}')
    with pytest.raises(UsageError, match=r"b\.jsonl has the columns: text"):
        open_source(str(tmp_path / "*.jsonl"), mapping={})


def test_an_existing_name_with_glob_signs_is_a_name(tmp_path: Path) -> None:
    assert len(read(write(tmp_path / "q[1].jsonl", good(1)[0]))[0]) == 1


def test_wrong_paths_are_wrong_use(tmp_path: Path) -> None:
    write(tmp_path / "q.csv", "")
    write(tmp_path / "blank.jsonl", " \n\n")
    write(tmp_path / "only.csv", "question,gold\n")
    write(tmp_path / "none.csv", "\n1\n")
    write(tmp_path / "twice.csv", "question,a,a\n1,2,3\n")
    write(tmp_path / "latin.csv", b"question,caf\xe9\n1,2\n")
    write(tmp_path / "q.txt", "a")
    write(tmp_path / "q.gz", "a")
    write(tmp_path / "fake.jsonl.gz", "plain")
    for source, says in {
        f"{tmp_path}/absent.csv": "there is no file",
        f"{tmp_path}/q.jsonl": "but there is q.csv, q.gz, q.txt",
        f"{tmp_path}/nowhere/q.jsonl": "there is no folder",
        f"{tmp_path}/*.parquet": "no file matches",
        f"{tmp_path}": "is a folder",
        "/dev/null": "not a regular file",
        f"{tmp_path}/q.csv": "is empty",
        f"{tmp_path}/blank.jsonl": "is empty",
        f"{tmp_path}/only.csv": "only a header",
        f"{tmp_path}/none.csv": "no columns",
        f"{tmp_path}/twice.csv": "more than one column 'a'",
        f"{tmp_path}/latin.csv": "the header is not UTF-8",
        f"{tmp_path}/q.txt": "unknown kind of file '.txt'",
        f"{tmp_path}/q.gz": "unknown kind of file '.gz'",
        f"{tmp_path}/fake.jsonl.gz": "not a readable .gz file",
        "s3://bucket/q.jsonl": "unknown kind of source 's3'",
        "": "no source given",
    }.items():
        with pytest.raises(UsageError, match=says):
            open_source(source, mapping={})


def test_columns_are_found_by_their_usual_names_or_mapped(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", '{"prompt": "p", "output": "o", "domain": "math", "kind": "number", "x": "y"}')
    assert read(path)[0] == [Question("p", "o", "math", "number", {"x": "y"}, 1)]
    assert read(path, question="x", gold="prompt")[0] == [
        Question("y", "p", "math", "number", {"output": "o"}, 1),
    ]


def test_errors_of_mappings_list_the_columns_and_the_nearest_name(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", '{"Prompts": "p", "Gold": "o"}')
    for mapping, says in (
        ({}, "columns: Prompts, Gold. Name the column of the question: --map question=Prompts"),
        ({"question": "promts"}, r"columns: Prompts, Gold. Did you mean --map question=Prompts\?"),
        ({"question": "Prompts", "gold": "gold"}, r"Did you mean --map gold=Gold\?"),
        ({"Prompts": "question"}, "write --map question=Prompts"),
        ({"text": "Prompts"}, "'text' is not one of question, gold, domain, kind"),
    ):
        with pytest.raises(UsageError, match=says):
            open_source(str(path), mapping=mapping)


def test_usual_column_names_may_have_capitals(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", "Question,Answer\n1 + 1?,2\n"))[0][0].gold == "2"


def test_the_suggested_option_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--map 'question=Die Frage'$"):
        open_source(str(write(tmp_path / "q.csv", "Die Frage,Antwort\n1 + 1?,2\n")), mapping={})


def test_a_message_about_columns_can_always_be_printed(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", '{"\\ud800": "p", "text": "o"}')
    for mapping in ({}, {"question": "txt"}, {"question": "\ud800x"}):
        with pytest.raises(UsageError) as caught:
            open_source(str(path), mapping=mapping)
        str(caught.value).encode()


def test_a_limit_counts_questions_and_keeps_the_problems_before_them(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", "\n".join(["oops", *good(5)]))
    items = list(open_source(str(path), mapping={}, limit=2))
    assert [type(item).__name__ for item in items] == ["Problem", "Question", "Question"]
    with pytest.raises(UsageError, match="--limit 0"):
        open_source(str(path), mapping={}, limit=0)


def test_three_hundred_thousand_lines_take_constant_memory(tmp_path: Path) -> None:
    line = '{"question": "What is 2 + 1?", "answer": "3", "note": "some more text"}\n'
    path = write(tmp_path / "q.jsonl", line * 300_000)
    source = open_source(str(path), mapping={})
    count = sum(1 for _ in islice(source, 280_000))
    tracemalloc.start()  # ten times slower; 20,000 rows in memory would be ten times the limit
    count += sum(1 for _ in source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 300_000
    assert peak < 1_000_000


def parquet(path: Path, columns: dict[str, object], **options: object) -> Path:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path, **options)
    return path


def test_ten_thousand_parquet_rows_are_read_with_their_row_numbers(tmp_path: Path) -> None:
    texts = [f"What is {i}?" if i != 4321 else None for i in range(10_000)]
    columns = {"prompt": texts, "gold": list(range(10_000)), "list": [[1]] * 10_000, "x": [0.5, None] * 5_000}
    questions, problems = read(parquet(tmp_path / "q[1].parquet", columns, row_group_size=3_000))
    assert (len(questions), questions[-1]) == (9_999, Question("What is 9999?", "9999", None, None, {}, 10_000))
    assert questions[0].meta == {"x": 0.5}
    assert [(p.where.rsplit(":")[-1], p.what) for p in problems] == [("4322", "'prompt' is null, not text")]


def test_a_damaged_parquet_file_keeps_the_rows_before_the_damage(tmp_path: Path) -> None:
    path = parquet(tmp_path / "q.parquet", {"question": [f"What is {i}?" for i in range(10_000)]}, row_group_size=1_000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle - 300 : middle + 300] = b"\xff" * 600
    questions, problems = read(write(path, bytes(data)))
    assert len(questions) >= 1_000
    assert ["damaged" in p.what for p in problems] == [True]


def test_unusable_parquet_files_are_wrong_use(tmp_path: Path) -> None:
    for path, says in (
        (write(tmp_path / "a.parquet", b"PAR1 garbage"), "not a readable Parquet file"),
        (write(tmp_path / "b.parquet", b""), "is empty"),
        (parquet(tmp_path / "c.parquet", {}), "has no columns"),
        (parquet(tmp_path / "d.parquet", {"question": []}), "no rows"),
        (parquet(tmp_path / "e.parquet", {"text": ["a"]}), "columns: text"),
    ):
        with pytest.raises(UsageError, match=says):
            open_source(str(path), mapping={})


def test_a_partly_read_parquet_file_leaves_no_output_thread_or_connection(tmp_path: Path) -> None:
    path = parquet(tmp_path / "q.parquet", {"question": ["a"] * 5_000}, row_group_size=500)
    program = (
        "import socket, sys\n"
        "def refuse(*_): print('called a server'); raise OSError\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "from producer.sources import open_source\n"
        "print(sum(1 for _ in open_source(sys.argv[1], mapping={}, limit=3)))\n"
    )
    run = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "3\n", "")


def test_files_of_lines_need_no_heavy_library(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", good(1)[0])
    program = (
        "import sys\nfrom producer.sources import open_source\nlist(open_source(sys.argv[1], mapping={}))\n"
        "print([name for name in ('datasets', 'torch', 'pyarrow', 'reasoning_gym') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
