"""`tracemill archive` keeps whole jobs in files that stand alone, so that the jobs can be deleted."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from pyarrow import parquet
from pyarrow.dataset import dataset
from sqlalchemy import text
from typer.testing import CliRunner

from cli.main import app
from db.session import transaction
from tests.integration.factory import Processes, change, rows, value
from tests.integration.rounds import job, new_round, question, round_spec
from tracemill.errors import TracemillError, UsageError
from tracemill.stack import Stack
from trainer.select.choose import select
from workers.verify import verify

pytestmark = pytest.mark.integration

THOUGHT = "<think>Add 4 and 1.</think>\n4 + 1 = 5. The answer is 5."


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


def archive(folder: Path | str, *names: str) -> Result:
    return run("archive", *names, "--to", folder)


@pytest.fixture
def ended(clean: Stack, tmp_path: Path) -> Path:
    """The job `sums` with ten traces, one of them with thoughts and one without a verdict, beside another job."""
    lines = [
        {"question": f"What is {n} + 1?", "gold": str(n + 1), "trace": f"{n} + 1 = {n + 1}. The answer is {n + 1}."}
        for n in range(10)
    ]
    lines[4]["trace"] = THOUGHT
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for name in ("sums", "other"):
        assert run("import", tmp_path / "sums.jsonl", "--name", name, "--dataset", name).exception is None
    _verify("sums", 9)
    change("update jobs set state = 'done'")
    return tmp_path


def _verify(name: str, n_questions: int) -> None:
    query = (
        "select question_id from job_questions jq join jobs j on j.id = job_id where name = :name order by 1 limit :n"
    )
    questions = [row.question_id for row in rows(query, name=name, n=n_questions)]
    verify(value("select id from jobs where name = :name", name=name), questions)


def view(name: str) -> list[dict[str, Any]]:
    query = "select * from trace_scores where job = :name order by question_id, trace_id"
    return [dict(row._mapping) for row in rows(query, name=name)]


def archived(folder: Path) -> list[dict[str, Any]]:
    """The rows of an archived job, as pyarrow reads all its pieces."""
    table = dataset(sorted(folder.glob("traces-*.parquet")), format="parquet").to_table()
    return list(table.sort_by([("question_id", "ascending"), ("trace_id", "ascending")]).to_pylist())


def manifest(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


def test_an_archive_has_every_trace_with_every_column(ended: Path) -> None:
    folder = ended / "archive" / "sums"
    done = archive(ended / "archive", "sums")
    assert done.stdout == f"sums is archived in {folder} (10 traces)\n"
    stored = view("sums")
    for row in stored:
        as_text = ("signals", "findings", "calls")
        row |= {name: None if row[name] is None else json.dumps(row[name]) for name in as_text}
    assert archived(folder) == stored
    assert [row["training_use"] for row in stored] == 9 * ["train"] + ["unverified"]


def test_the_manifest_has_the_checksums_and_all_that_describes_the_job(ended: Path) -> None:
    archive(ended / "archive", "sums")
    folder = ended / "archive" / "sums"
    content = manifest(folder)
    assert content["files"] == [
        {
            "name": name,
            "rows": n_rows,
            "bytes": (folder / name).stat().st_size,
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        }
        for name, n_rows in (("lineage.parquet", 0), ("traces-00000.parquet", 10))
    ]
    assert content["schema"] == value("select version_num from alembic_version")
    assert (content["job"]["method"], content["progress"]["verified"]) == ("cot", 9)
    assert [prompt["domain"] for prompt in content["prompts"]] == ["code", "general", "legal", "math", "medical"]


def test_the_same_command_again_only_checks_the_files(ended: Path) -> None:
    archive(ended / "archive", "sums")
    file = ended / "archive" / "sums" / "traces-00000.parquet"
    written_at = file.stat().st_mtime_ns
    again = archive(ended / "archive", "sums", "sums")
    assert "sums was archived before, and its files have the right checksums" in again.stdout
    assert file.stat().st_mtime_ns == written_at
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    damaged = archive(ended / "archive", "sums").exception
    assert isinstance(damaged, TracemillError)
    assert str(damaged) == f"the archive is damaged: {file} has another SHA-256 than manifest.json states"
    file.unlink()
    assert f"cannot read {file}" in str(archive(ended / "archive", "sums").exception)


def test_a_job_that_changed_since_its_archive_is_refused(ended: Path) -> None:
    archive(ended / "archive", "sums")
    _verify("sums", 10)
    assert "or sums has changed or was used since" in str(archive(ended / "archive", "sums").exception)


@pytest.mark.parametrize("state", ["filling", "running", "paused", "over_budget", "deleting"])
def test_a_job_that_has_not_ended_is_not_archived(ended: Path, state: str) -> None:
    change("update jobs set state = :state where name = 'sums'", state=state)
    refused = archive(ended / "archive", "other", "sums").exception
    assert isinstance(refused, UsageError)
    assert str(refused).startswith(f"job sums is {state}")
    assert not (ended / "archive").exists()


def test_a_cancelled_job_is_archived_when_no_worker_holds_it(ended: Path) -> None:
    change("update jobs set state = 'cancelled'")
    change("update job_questions set state = 'running'")
    assert "workers still hold questions of job sums" in str(archive(ended / "archive", "sums").exception)
    change("update job_questions set state = 'pending'")
    assert archive(ended / "archive", "sums").exit_code == 0


def test_traces_that_could_not_be_read_are_an_error(ended: Path) -> None:
    change("update job_counts set traces = traces + 1 where job_id = (select id from jobs where name = 'sums')")
    refused = archive(ended / "archive", "sums").exception
    assert "10 were read. Nothing is archived. Correct its counts with `tracemill db check --correct`" in str(refused)
    assert list((ended / "archive").iterdir()) == []


def test_a_folder_of_another_kind_is_never_replaced(ended: Path) -> None:
    (ended / "archive" / "sums").mkdir(parents=True)
    (ended / "archive" / "sums" / "precious").touch()
    assert "exists and is no archive" in str(archive(ended / "archive", "sums").exception)
    assert (ended / "archive" / "sums" / "precious").exists()


def test_a_store_that_pyarrow_knows_gets_the_same_files(ended: Path) -> None:
    store = f"file://{ended}/store"
    archive(ended / "archive", "sums")
    assert archive(store, "sums").exit_code == 0
    names = sorted(path.name for path in (ended / "store" / "sums").iterdir())
    assert names == ["lineage.parquet", "manifest.json", "traces-00000.parquet"]
    assert manifest(ended / "store" / "sums")["files"] == manifest(ended / "archive" / "sums")["files"]
    assert "was archived before" in archive(store, "sums").stdout
    assert "--to nowhere://" in str(archive("nowhere://bucket", "sums").exception)


#: Archives in pieces of three traces, and is killed when the second one is complete.
KILLED = """
import os, sys
from cli import export_files, export_rows
export_files.PIECE, export_rows.FIRST_QUESTIONS, export_rows.MAX_QUESTIONS = 3, 1, 1
save = export_files.Unfinished.save
def killed(self, progress):
    save(self, progress)
    if progress.pieces == 2:
        os.kill(os.getpid(), 9)
export_files.Unfinished.save = killed
from cli.main import main
main()
"""


def test_an_archive_that_was_killed_is_completed_by_the_same_command(ended: Path) -> None:
    command = [sys.executable, "-c", KILLED, "archive", "sums", "--to", str(ended / "archive")]
    killed = subprocess.run(command, env=Processes(ended, {}).whole_environment(), timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in (ended / "archive").iterdir()] == [".sums.part"]
    again = archive(ended / "archive", "sums")
    assert "continuing after 6 traces" in again.stderr
    folder = ended / "archive" / "sums"
    assert [path.name for path in (ended / "archive").iterdir()] == ["sums"]
    assert [file["rows"] for file in manifest(folder)["files"]] == [0, 3, 3, 4]
    assert [row["trace_id"] for row in archived(folder)] == [row["trace_id"] for row in view("sums")]


def test_lineage_is_answered_from_the_archive_of_a_deleted_job(rounds: Stack, tmp_path: Path) -> None:
    query = "select * from round_lineage where job = 'teach' order by question_id, trace_id, evaluation_job"
    lineage = [dict(row._mapping) for row in rows(query)]
    correct = value("select v.correct from evaluations v join jobs j on j.id = job_id where j.name = 'held-out'")
    assert archive(tmp_path, "teach", "held-out", "round-1/held-out").exit_code == 0
    for name in ("teach", "round-1/held-out", "held-out"):
        assert run("jobs", "delete", name, "--force", "--yes").exit_code == 0
    assert value("select count(*) from round_lineage") == 0
    kept = parquet.read_table(tmp_path / "teach" / "lineage.parquet").to_pylist()
    traces = {row["trace_id"]: row for row in archived(tmp_path / "teach")}
    assert len(kept) == len(lineage) > 0
    for row, before in zip(kept, lineage, strict=True):
        row |= {"teacher_prompt": json.loads(row["teacher_prompt"])}
        before |= {name: pytest.approx(before[name]) for name in ("accuracy", "low", "high")}
        assert row == {name: before[name] for name in row}
        texts = ("question", "text", "thoughts")
        assert [traces[row["trace_id"]][name] for name in texts] == [before[name] for name in texts]
    evaluations = manifest(tmp_path / "held-out")["evaluations"]
    assert [(row["round"], row["correct"]) for row in evaluations] == [("round-1", correct)]
    assert (tmp_path / "round-1%2Fheld-out" / "manifest.json").exists()


def test_a_round_is_shown_after_its_jobs_were_archived_and_deleted(rounds: Stack, tmp_path: Path) -> None:
    archive(tmp_path, "teach")
    assert run("jobs", "delete", "teach", "--force", "--yes").exit_code == 0
    shown = run("rounds", "show", "round-1")
    assert (shown.exit_code, "held-out" in shown.stdout) == (0, True)
    report = run("report", "round-1", "-o", tmp_path / "round-1.html")
    assert report.exit_code == 0, report.exception
    assert "Training on 6 examples" in (tmp_path / "round-1.html").read_text()


def test_a_round_that_trained_since_the_archive_is_noticed(rounds: Stack, tmp_path: Path) -> None:
    archive(tmp_path, "teach")
    with transaction() as connection:
        round_id = new_round(connection, round_spec("round-2"))
        columns = "trace_id, role, position"
        copies = f"insert into examples (round_id, {columns}) select :id, {columns} from examples"
        connection.execute(text(copies), {"id": round_id})
    assert "was used since" in str(archive(tmp_path, "teach").exception)


def test_a_deleted_job_comes_back_from_its_archive_for_a_round(ended: Path) -> None:
    archive(ended / "archive", "sums")
    query = "select question, gold, text, correct from trace_scores where job = :name order by question"
    before = rows(query, name="sums")
    assert run("jobs", "delete", "sums", "--yes").exit_code == 0
    files = ended / "archive" / "sums" / "traces-*.parquet"
    assert run("import", files, "--name", "teach", "--dataset", "sums").exception is None
    _verify("teach", 9)
    assert rows(query, name="teach") == before
    assert value("select count(*) from traces where text = :text", text=THOUGHT) == 2  # also of the other job
    with transaction() as connection:
        job(connection, "before", [question(connection, "What is 60 + 4?")], evaluate=True)
        spec = round_spec()
        selection = select(connection, new_round(connection, spec), spec)
    assert (selection.traces, selection.kept) == (10, 9)


def test_an_archived_file_is_verified_without_a_stack(ended: Path) -> None:
    archive(ended / "archive", "sums")
    command = [
        "verify",
        ended / "archive" / "sums" / "traces-00000.parquet",
        "-o",
        ended / "again.jsonl",
        "--workers",
        "1",
    ]
    assert run(*command).exit_code == 0
    verdicts = [json.loads(line) for line in (ended / "again.jsonl").read_text().splitlines()]
    assert [row["trace_id"] for row in verdicts] == [row["trace_id"] for row in view("sums")]
    assert all(row["tracemill_correct"] is True for row in verdicts)
    assert [row["correct"] for row in verdicts] == 9 * [True] + [None]
