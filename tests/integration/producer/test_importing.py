"""Traces of other tools become a job with verdicts, without a model."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from cli.main import app
from producer import feeder
from tests.integration.factory import job_state, rows, states, value
from tests.integration.feeding import step
from tracemill.settings import settings
from tracemill.stack import Stack
from workers.verify import verify

pytestmark = pytest.mark.integration

TASK = "What is 3 + 4?"
RIGHT, WRONG = "3 + 4 = 7. The answer is 7.", "It is more. The answer is 8."
USER_TURN = {"role": "user", "content": TASK}
MODEL_TURN = {"role": "assistant", "content": RIGHT}

FILES: dict[str, list[dict[str, Any]]] = {
    "open-r1": [{"problem": TASK, "answer": "7", "generations": [RIGHT, WRONG], "messages": [USER_TURN, MODEL_TURN]}],
    "OpenThoughts": [
        {
            "system": "Think.",
            "conversations": [{"from": "user", "value": TASK}, {"from": "assistant", "value": RIGHT}],
            "ground_truth": "7",
        },
        {
            "conversations": [{"from": "user", "value": TASK}, {"from": "assistant", "value": WRONG}],
            "ground_truth": "7",
        },
    ],
    "NeMo-Skills": [{"problem": TASK, "generation": text, "expected_answer": "7"} for text in (RIGHT, WRONG)],
    "curator": [
        {"response_message": text, "generic_request": {"messages": [USER_TURN]}, "answer": "7"}
        for text in (RIGHT, WRONG)
    ],
    "distilabel": [
        {"instruction": TASK, "generation": text, "answer": "7", "model_name": "m"} for text in (RIGHT, WRONG)
    ],
    "datatrove": [
        {
            "text": TASK,
            "id": "1",
            "answer": "7",
            "metadata": {"rollout_results": [{"text": text, "finish_reason": "stop"} for text in (RIGHT, WRONG)]},
        }
    ],
    "verifiers": [
        {"prompt": [USER_TURN], "completion": [{"role": "assistant", "content": text}], "answer": "7", "reward": 0.5}
        for text in (RIGHT, WRONG)
    ],
    "inspect": [
        {"id": 1, "epoch": n, "input": TASK, "target": "7", "output": {"completion": text}}
        for n, text in enumerate((RIGHT, WRONG))
    ],
    "messages": [
        {"messages": [USER_TURN, {"role": "assistant", "content": text}], "answer": "7"} for text in (RIGHT, WRONG)
    ],
}


def run_import(*words: str) -> str:
    done = CliRunner().invoke(app, ["import", *words])
    assert done.exception is None, done.output
    return done.stdout


def verdicts(job: str) -> list[tuple[Any, ...]]:
    """Verify the job as a worker does, and return question, text and verdict of each trace."""
    ids = rows(
        "select q.question_id, j.id from job_questions q join jobs j on j.id = q.job_id where j.name = :job", job=job
    )
    verify(ids[0].id, [row.question_id for row in ids])
    query = "select question, text, correct from trace_scores where job = :job order by trace_id"
    return [tuple(row) for row in rows(query, job=job)]


@pytest.mark.parametrize("name", FILES)
def test_the_traces_of_a_tool_are_imported_and_verified(
    clean: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lines.jsonl").write_text("\n".join(map(json.dumps, FILES[name])))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(FILES[name]), "table.parquet")
    for source in ("lines.jsonl", "table.parquet"):
        job = f"{source.split('.')[0]}-import"
        assert f"job {job}: 2 traces in {len(FILES[name])} rows, 2 new, 0 left out" in run_import(source)
        assert verdicts(job) == [(TASK, RIGHT, True), (TASK, WRONG, False)]
        assert states(job) == {"done": 1}


def test_a_log_of_inspect_is_one_json_object(clean: Stack, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"version": 2, "eval": {"task": "own"}, "samples": FILES["inspect"]}, indent=1))
    assert "2 traces in 2 rows" in run_import(str(path))


def test_the_feeder_sends_imported_traces_to_verifiers_and_ends_the_job(
    clean: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[list[int]] = []
    monkeypatch.setattr(feeder, "nudge_verifiers", lambda job, questions, policy: sent.append(questions))
    (path := tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, FILES["messages"])))
    run_import(str(path), "--name", "theirs", "--model", "deepseek-r1")
    did = step(settings().feeder)
    assert (did.queued, len(sent)) == (0, 1)
    verdicts("theirs")
    step(settings().feeder)
    assert job_state("theirs") == "done"
    assert value("select model from jobs") == "deepseek-r1"


def test_running_an_import_again_stores_only_new_traces(clean: Stack, tmp_path: Path) -> None:
    (path := tmp_path / "t.jsonl").write_text(json.dumps(FILES["messages"][0]))
    run_import(str(path))
    verdicts("t-import")
    path.write_text("\n".join(map(json.dumps, FILES["messages"])))
    assert "2 traces in 2 rows, 1 new" in run_import(str(path))
    assert states("t-import") == {"generated": 1}
    assert [correct for _, _, correct in verdicts("t-import")] == [True, False]
    assert states("t-import") == {"done": 1}
    assert "0 new" in run_import(str(path))
    assert states("t-import") == {"done": 1}


def test_rows_without_a_trace_are_left_out_by_number(clean: Stack, tmp_path: Path) -> None:
    (path := tmp_path / "t.jsonl").write_text(
        "\n".join(map(json.dumps, [*FILES["messages"], {"messages": [USER_TURN]}]))
    )
    done = CliRunner().invoke(app, ["import", str(path)])
    assert f"left out {path}:3: 'messages' holds no text of a model" in done.output
    (path := tmp_path / "q.jsonl").write_text(json.dumps({"question": TASK}))
    done = CliRunner().invoke(app, ["import", str(path)])
    assert "no column has a trace. Name it: --map trace=COLUMN" in str(done.exception)
