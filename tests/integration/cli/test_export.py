"""`tracemill export` writes complete files for other tools, or none."""

import csv
import gzip
import json
import subprocess
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

import pytest
from click.testing import Result
from pyarrow import CompressedInputStream
from pyarrow.parquet import read_table
from sqlalchemy import text
from typer.testing import CliRunner

from cli import export_files, export_rows
from cli.main import app
from db.session import transaction
from tests.integration.factory import Processes, additions, change, fill, rows, value, wait_until
from tests.integration.rounds import job, question, trace
from tracemill.errors import UsageError
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

COPIES = """
insert into traces (job_id, question_id, prompt_hash, sample_index, text, reasoning, steps, tokens_in, tokens_out,
                    latency_seconds, worker)
select job_id, question_id, prompt_hash, n, text, reasoning, steps, tokens_in, tokens_out, latency_seconds, worker
from traces, generate_series(1, :count) n
"""


QUOTED = 'a "quote",\na line\u2028 and \\ ½'


@pytest.fixture
def traces(clean: Stack) -> Stack:
    """Three traces, two of them accepted. One text has characters that file formats must escape."""
    job_id = fill(additions(1), "sums").job_id
    with transaction() as connection:
        for number, content in enumerate(("1 + 1 = 2", QUOTED), start=1):
            trace(connection, job_id, question(connection, f"What is {number}?"), content)
        trace(connection, job_id, question(connection, "What is 3?"), "wrong", accepted=False)
    return clean


def export(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, words)])


def view(columns: str = "*", where: str = "accepted") -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in rows(f"select {columns} from trace_scores where {where} order by trace_id")]


def test_parquet_holds_every_column_of_the_view_with_its_type(traces: Stack, tmp_path: Path) -> None:
    file = tmp_path / "new" / "good.parquet"
    assert export(file).stdout == f"{file}: 2 traces\nleft out: 1 rejected; --include NAME adds them\n"
    written, there = read_table(file).to_pylist(), view()
    for row in there:
        row |= {name: json.dumps(row[name], ensure_ascii=False) for name in ("signals", "findings", "calls")}
    assert written == there


def test_json_lines_hold_the_selected_rows_and_columns(traces: Stack, tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    done = export(
        file,
        "--where",
        "not accepted or text like '%quote%' -- a comment",
        "--include",
        "rejected",
        "--columns",
        "text, accepted",
        "--json",
    )
    assert json.loads(done.stdout)["rows"] == 2
    with file.open(encoding="utf-8", newline="\n") as lines:
        assert [json.loads(line) for line in lines] == view("text, accepted, training_use", "text <> '1 + 1 = 2'")
    assert export("-", "--columns", "trace_id").stdout == "".join(json.dumps(row) + "\n" for row in view("trace_id"))


def test_csv_holds_no_formula_unless_raw(traces: Stack, tmp_path: Path) -> None:
    change("update traces set text = '=1+1' where text = '1 + 1 = 2'")
    for words, cell in ((), "'=1+1"), (("--raw",), "=1+1"):
        assert export(tmp_path / "good.csv", "--columns", "text", "--overwrite", *words).exit_code == 0
        with (tmp_path / "good.csv").open() as lines:
            assert [cell] in list(csv.reader(lines))


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.zst"])
def test_csv_holds_every_row_and_column(traces: Stack, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"good.{ending}"
    assert export(file).exit_code == 0
    with _opened(file) as lines:
        header, *written = csv.reader(lines)
    assert header == list(view()[0])
    texts = [row[header.index("text")] for row in written]
    assert texts == [row["text"] for row in view()]
    assert {
        (row[header.index("accepted")], row[header.index("signals")], row[header.index("gold")]) for row in written
    } == {("true", "{}", "")}


@pytest.mark.parametrize("ending", ["jsonl.gz", "ndjson.zst"])
def test_compressed_json_lines_are_those_of_the_plain_file(traces: Stack, tmp_path: Path, ending: str) -> None:
    assert export(tmp_path / "good.jsonl").exit_code == export(tmp_path / f"good.{ending}").exit_code == 0
    with _opened(tmp_path / f"good.{ending}") as lines:
        assert lines.read() == (tmp_path / "good.jsonl").read_text(encoding="utf-8")


def _opened(file: Path) -> TextIO:
    if file.suffix == ".zst":
        return TextIOWrapper(CompressedInputStream(str(file), "zstd"), encoding="utf-8", newline="")
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8", newline="")
    return file.open(encoding="utf-8", newline="")


HELD_OUT = "Bo has 3 red balls, 5 blue balls and 12 green balls in a bag. How many balls are there in the bag?"


@pytest.fixture
def kinds(traces: Stack) -> Stack:
    """One trace of every kind besides those of `traces`."""
    with transaction() as connection:
        ids = [question(connection, content) for content in ("Wrong?", "New?", HELD_OUT)]
        trace(connection, job(connection, "more", ids), ids[1], "new", accepted=None)
        wrong = job(connection, "wrong", ids[:1])
        connection.execute(text("update jobs set negative = true where id = :id"), {"id": wrong})
        trace(connection, wrong, ids[0], "wrong on purpose")
        trace(connection, job(connection, "exam", ids[2:], evaluate=True), ids[2], "exam")
        same = question(connection, HELD_OUT.upper(), "copied")
        near = question(connection, f"{HELD_OUT[:-1]} of Bo?", "copied")
        copied = job(connection, "copied", [same, near])
        for question_id, content in ((same, "same"), (near, "near")):
            trace(connection, copied, question_id, content)
    return traces


def test_only_traces_that_a_round_may_train_on_are_exported(kinds: Stack, tmp_path: Path) -> None:
    result = export(tmp_path / "good.jsonl", "--json")
    assert json.loads(result.stdout)["left_out"] == {
        "evaluate": 1,
        "negative": 1,
        "overlap": 2,
        "rejected": 1,
        "unverified": 1,
    }
    assert _uses_of(tmp_path / "good.jsonl") == {"1 + 1 = 2": "train", QUOTED: "train"}


def test_other_traces_are_exported_by_name_and_marked(kinds: Stack, tmp_path: Path) -> None:
    train = {"1 + 1 = 2": "train", QUOTED: "train"}
    kinds_of = {
        "wrong": "rejected",
        "new": "unverified",
        "wrong on purpose": "negative",
        "same": "overlap",
        "near": "overlap",
        "exam": "evaluate",
    }
    for kind in set(kinds_of.values()):
        file = tmp_path / f"{kind}.jsonl"
        assert export(file, "--include", kind, "--columns", "text").exit_code == 0
        assert _uses_of(file) == train | {content: use for content, use in kinds_of.items() if use == kind}
    assert export(tmp_path / "all.jsonl", "--include", "all").exit_code == 0
    assert _uses_of(tmp_path / "all.jsonl") == train | kinds_of


def _uses_of(file: Path) -> dict[str, str]:
    with file.open(encoding="utf-8", newline="\n") as lines:
        return {row["text"]: row["training_use"] for row in map(json.loads, lines)}


def test_a_folder_can_be_loaded_with_datasets(traces: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import load_dataset

    monkeypatch.setattr(export_files, "PIECE", 2)
    monkeypatch.setattr(export_rows, "BATCH", 1)
    assert export(tmp_path / "set", "--include", "all").exit_code == 0
    read = load_dataset(str(tmp_path / "set"), split="train", cache_dir=str(tmp_path / "cache"))
    assert list(read["text"]) == [row["text"] for row in view("text", "true")]
    assert len(list((tmp_path / "set" / "data").iterdir())) == 2


def test_an_existing_file_is_replaced_only_with_overwrite(traces: Stack, tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    file.write_text("precious")
    done = export(file)
    assert isinstance(done.exception, UsageError)
    assert file.read_text() == "precious"
    assert export(file, "--overwrite").exit_code == 0
    assert file.read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("x.jsonl", "--where", "acepted"), 'column "acepted" does not exist'),
        (("x.jsonl", "--where", "true); drop table traces; --"), "syntax error"),
        (("x.jsonl", "--where", "true); set statement_timeout = 0; select (1"), "cannot insert multiple commands"),
        (("x.jsonl", "--where", "exists (select from rounds)"), "permission denied for table rounds"),
        (("x.jsonl", "--columns", 'text, "job"'), "does not exist"),
        (("x.jsonl", "--where", "false"), "there is nothing to export"),
        (("x.jsonl", "--where", "not accepted"), r"nothing to export (1 rejected): --include NAME adds them"),
        (("x.jsonl", "--include", "rejects"), "choose rejected, unverified, negative, round, overlap, evaluate or all"),
        (("x.txt",), "--format parquet, jsonl, csv or hf"),
        (("x.parquet.gz",), "--format parquet, jsonl, csv or hf"),
        (("-", "--format", "parquet"), "name a file"),
    ],
)
def test_a_refused_export_is_explained_and_leaves_no_file(
    traces: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = export(*words)
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)
    assert list(tmp_path.iterdir()) == []


class Killed(Exception):
    """Ends an export as a signal would."""


@pytest.mark.parametrize("name", ["all.parquet", "all.jsonl.gz", "all.csv", "all"])
def test_an_interrupted_export_continues_after_its_last_piece(
    traces: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    change(COPIES, count=4)
    monkeypatch.setattr(export_files, "PIECE", 3)
    monkeypatch.setattr(export_rows, "BATCH", 1)
    read: list[int] = []
    kept = export_rows.Traces._kept

    def watched(self: Any, rows: list[dict[str, Any]], left_out: Any) -> Any:
        read.extend(row["_id"] for row in rows)
        if len(read) == 8:
            raise Killed
        return kept(self, rows, left_out)

    monkeypatch.setattr(export_rows.Traces, "_kept", watched)
    words = (tmp_path / name, "--include", "all", "--columns", "trace_id")
    assert isinstance(export(*words).exception, Killed)
    assert [path.name for path in tmp_path.iterdir()] == [f".{name}.part"]
    ended = export(*words)
    assert ended.exit_code == 0
    assert "continuing after 6 traces of an interrupted export" in ended.stderr
    assert read == [*range(1, 9), *range(7, 16)]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert _ids(tmp_path / name) == list(range(1, 16))


def _ids(output: Path) -> list[int]:
    """The ids of the traces in an exported file or folder."""
    if output.is_dir():
        return [row for file in sorted((output / "data").iterdir()) for row in _ids(file)]
    if output.suffix == ".parquet":
        return list(read_table(output)["trace_id"].to_pylist())
    with _opened(output) as lines:
        rows = csv.DictReader(lines) if ".csv" in output.name else map(json.loads, lines)
        return [int(row["trace_id"]) for row in rows]


def test_another_export_to_the_same_file_starts_anew(traces: Stack, tmp_path: Path) -> None:
    part = tmp_path / ".all.jsonl.part"
    part.mkdir()
    progress = {"request": {"where": "accepted"}, "after": 2, "end": 3, "pieces": 1, "rows": 2, "left_out": {}}
    (part / "progress.json").write_text(json.dumps(progress))
    assert export(tmp_path / "all.jsonl", "--include", "all").exit_code == 0
    assert (tmp_path / "all.jsonl").read_text().count("\n") == 3


def test_an_export_holds_no_transaction_open_while_it_writes(traces: Stack, tmp_path: Path) -> None:
    change(COPIES, count=2_000)
    processes = Processes(tmp_path, {})
    command = [sys.executable, "-m", "cli", "export", "-", "--include", "all"]
    # Nobody reads its output, so it waits.
    blocked = subprocess.Popen(command, env=processes.whole_environment(), stdout=subprocess.PIPE)
    try:
        wait_until(lambda: rows(f"{READERS} where state_change < now() - interval '1 second'"))
        assert rows(READERS) == [("idle", None)]
    finally:
        blocked.kill()
        blocked.communicate()


READERS = """
select state, backend_xmin from (select * from pg_stat_activity where usename = 'tracemill_reader') readers
"""


def test_an_export_survives_the_loss_of_its_connection(
    traces: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(COPIES, count=4)
    monkeypatch.setattr(export_rows, "BATCH", 2)
    monkeypatch.setattr(export_rows, "PAUSE", 0.1)
    add = export_files.Progress.add

    def end_the_session(self: Any, last: int, n_rows: int, left_out: Any) -> None:
        add(self, last, n_rows, left_out)
        value("select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'tracemill_reader'")

    monkeypatch.setattr(export_files.Progress, "add", end_the_session)
    file = tmp_path / "all.jsonl"
    assert export(file, "--include", "all", "--columns", "trace_id").exit_code == 0
    assert [json.loads(line)["trace_id"] for line in file.read_text().splitlines()] == list(range(1, 16))


def test_a_killed_export_is_completed_by_running_it_again(traces: Stack, tmp_path: Path) -> None:
    change(COPIES, count=20_000)
    folder = tmp_path / "out"
    folder.mkdir()
    words = ("export", str(folder / "all.jsonl"), "--include", "all")
    processes = Processes(tmp_path, {})
    try:
        processes.start("killed", *words)
        wait_until(lambda: any(part.stat().st_size for part in folder.iterdir()))
        processes.kill("killed")
        assert [path.name for path in folder.iterdir()] == [".all.jsonl.part"]
        assert processes.start("again", *words).wait(60) == 0
    finally:
        processes.stop_all()
    assert [path.name for path in folder.iterdir()] == ["all.jsonl"]
    with (folder / "all.jsonl").open(encoding="utf-8", newline="\n") as lines:
        trace_ids = [json.loads(line)["trace_id"] for line in lines]
    assert trace_ids == sorted(set(trace_ids))
    assert len(trace_ids) == value("select count(*) from traces") == 60_003
