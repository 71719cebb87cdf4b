"""`tracemill export` writes complete files for other tools, or none."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from datasets import load_dataset
from pyarrow.parquet import read_table
from typer.testing import CliRunner

from cli import export_files
from cli.main import app
from db.session import transaction
from tests.integration.factory import Processes, additions, change, fill, rows, value, wait_until
from tests.integration.rounds import question, trace
from tracemill.errors import UsageError
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

COPIES = """
insert into traces (job_id, question_id, prompt_hash, sample_index, text, reasoning, steps, tokens_in, tokens_out,
                    latency_seconds, worker)
select job_id, question_id, prompt_hash, n, text, reasoning, steps, tokens_in, tokens_out, latency_seconds, worker
from traces, generate_series(1, :count) n
"""


@pytest.fixture
def traces(clean: Stack) -> Stack:
    """Three traces, two of them accepted. One text has characters that file formats must escape."""
    job_id = fill(additions(1), "sums").job_id
    with transaction() as connection:
        for number, text in enumerate(("1 + 1 = 2", 'a "quote",\na line\u2028 and \\ ½'), start=1):
            trace(connection, job_id, question(connection, f"What is {number}?"), text)
        trace(connection, job_id, question(connection, "What is 3?"), "wrong", accepted=False)
    return clean


def export(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, words)])


def view(columns: str = "*", where: str = "accepted") -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in rows(f"select {columns} from trace_scores where {where} order by trace_id")]


def test_parquet_holds_every_column_of_the_view_with_its_type(traces: Stack, tmp_path: Path) -> None:
    file = tmp_path / "new" / "good.parquet"
    assert export(file).stdout == f"{file}: 2 traces\n"
    written, there = read_table(file).to_pylist(), view()
    for row in there:
        row |= {name: json.dumps(row[name], ensure_ascii=False) for name in ("signals", "findings", "calls")}
    assert written == there


def test_json_lines_hold_the_selected_rows_and_columns(traces: Stack, tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    done = export(
        file, "--where", "not accepted or text like '%quote%' -- a comment", "--columns", "text, accepted", "--json"
    )
    assert json.loads(done.stdout)["rows"] == 2
    with file.open(encoding="utf-8", newline="\n") as lines:
        assert [json.loads(line) for line in lines] == view("text, accepted", "text <> '1 + 1 = 2'")
    assert export("-", "--columns", "trace_id").stdout == "".join(json.dumps(row) + "\n" for row in view("trace_id"))


def test_a_folder_can_be_loaded_with_datasets(traces: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_files, "SHARD", 2)
    monkeypatch.setattr("cli.export.BATCH", 1)
    assert export(tmp_path / "set", "--where", "true").exit_code == 0
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
        (("x.jsonl", "--where", "exists (select from rounds)"), "permission denied for table rounds"),
        (("x.jsonl", "--columns", 'text, "job"'), "does not exist"),
        (("x.jsonl", "--where", "false"), "there is nothing to export"),
        (("x.csv",), "--format parquet, jsonl or hf"),
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


def test_a_killed_export_is_completed_by_running_it_again(traces: Stack, tmp_path: Path) -> None:
    change(COPIES, count=20_000)
    folder = tmp_path / "out"
    folder.mkdir()
    words = ("export", str(folder / "all.jsonl"), "--where", "true")
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
