"""`tracemill verify` reads traces in the rows of other tools, and a row keeps its own columns."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import Table
from pyarrow.parquet import write_table

from tests.unit.tracemill.verification.verify_command import Verify, read, runner, write
from tracemill.verification.files import _item
from tracemill.verification.rows import FIELDS

TASK, RIGHT = "What is 3 + 4?", "3 + 4 = 7. The answer is 7."
USER_TURN = {"role": "user", "content": TASK}
MODEL_TURN = {"role": "assistant", "content": RIGHT}


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Verify]:
    yield from runner(monkeypatch, capsys)


ROWS: dict[str, dict[str, Any]] = {
    "NeMo-Skills": {"problem": TASK, "generation": RIGHT, "expected_answer": "7", "predicted_answer": "7"},
    "distilabel": {"instruction": TASK, "generation": RIGHT, "model_name": "own", "answer": "7"},
    "verifiers": {"prompt": [USER_TURN], "completion": [MODEL_TURN], "answer": "7", "reward": 1.0},
    "messages": {"messages": [{"role": "system", "content": "Add."}, USER_TURN, MODEL_TURN], "answer": 7},
    "ShareGPT": {
        "conversations": [{"from": "human", "value": TASK}, {"from": "gpt", "value": RIGHT}],
        "ground_truth": ["7"],
    },
    "one rollout": {"prompt": TASK, "rollout_results": [{"text": RIGHT, "finish_reason": "stop"}], "gold": "7"},
    "gold list": {"trace": RIGHT, "question": TASK, "gold": ["7"]},
    "thoughts apart": {
        "messages": [USER_TURN, {"role": "assistant", "content": RIGHT, "reasoning_content": "Add."}],
        "answer": "7",
    },
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_trace_of_another_tool_is_read_with_its_question_and_gold_answer(row: dict[str, Any]) -> None:
    item = _item(row)
    thoughts = "<think>Add.</think>\n" if "reasoning_content" in str(row) else ""
    assert (item.text, item.question, item.gold) == (thoughts + RIGHT, TASK, "7")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"text": RIGHT}, 'no "trace", and no text of a model in generation, generations, completion'),
        ({"generations": [RIGHT, RIGHT]}, '"generations" holds 2 traces: `tracemill import` takes them all'),
        ({"messages": [USER_TURN]}, 'no "trace"'),
        ({"messages": [USER_TURN, MODEL_TURN, USER_TURN]}, '"messages" is a conversation with 2 messages of a user'),
    ],
)
def test_a_row_without_one_trace_has_a_problem_that_says_why(row: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        _item(row)


def test_a_row_keeps_its_own_columns_and_the_verdict_has_other_names(verify: Verify, tmp_path: Path) -> None:
    row = {"generation": RIGHT, "problem": TASK, "answer": "7", "correct": "yes", "proof": "own", "error": None}
    [done] = read(verify(write(tmp_path / "in.jsonl", [row])).out)
    assert {name: done[name] for name in row} == row
    assert (done["tracemill_correct"], done["tracemill_answer"], done["tracemill_error"]) == (True, "7", None)
    assert done["kind"] == "number"


def test_an_output_that_is_verified_again_gets_new_verdicts_in_place(verify: Verify, tmp_path: Path) -> None:
    rows = [{"trace": RIGHT, "gold": "7"}, {"trace": RIGHT, "gold": "7", "answer": "mine"}]
    verify(write(tmp_path / "in.jsonl", rows), "-o", tmp_path / "first.jsonl")
    first = read(tmp_path / "first.jsonl")
    verify(write(tmp_path / "again.jsonl", [row | {"gold": "8"} for row in first]), "-o", tmp_path / "out.jsonl")
    again = read(tmp_path / "out.jsonl")
    assert [list(row) for row in again] == [list(row) for row in first]
    assert [row["correct"] for row in again] == [False, False]
    assert (again[1]["answer"], again[1]["tracemill_answer"]) == ("mine", "7")
    assert len(first[0]) == 2 + len(FIELDS)


#: A row of `tracemill export`, whose `steps` is a number.
EXPORTED = {
    "trace_id": 1,
    "question": TASK,
    "text": RIGHT,
    "thoughts": "Add.",
    "gold": "7",
    "correct": True,
    "steps": 2,
}


def test_a_row_of_an_export_is_read_with_its_thoughts(verify: Verify, tmp_path: Path) -> None:
    assert _item(EXPORTED).text == f"<think>Add.</think>\n{RIGHT}"
    assert _item(EXPORTED | {"thoughts": None}).text == RIGHT
    [done] = read(verify(write(tmp_path / "in.jsonl", [EXPORTED])).out)
    assert {name: done[name] for name in EXPORTED} == EXPORTED
    assert (done["tracemill_correct"], len(done["tracemill_steps"]), done["error"]) == (True, 2, None)


def test_a_parquet_file_gives_the_verdicts_of_its_rows_as_json(verify: Verify, tmp_path: Path) -> None:
    made = {"at": datetime(2026, 11, 29, tzinfo=UTC), "share": float("nan")}
    rows = [EXPORTED | {"trace_id": n, "gold": str(7 + n % 2)} | made for n in range(120)]
    write_table(Table.from_pylist(rows), tmp_path / "in.parquet")
    verify(tmp_path / "in.parquet", "-o", tmp_path / "out.jsonl")
    as_json = [row | {"at": "2026-11-29 00:00:00+00:00", "share": None} for row in rows]
    verify(write(tmp_path / "in.jsonl", as_json), "-o", tmp_path / "same.jsonl")
    first, second = read(tmp_path / "out.jsonl"), read(tmp_path / "same.jsonl")
    assert [row | {"seconds": 0} for row in first] == [row | {"seconds": 0} for row in second]
    whole = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").write_bytes(whole[: len(whole) // 2])
    assert (
        json.loads(verify(tmp_path / "in.parquet", "-o", tmp_path / "out.jsonl", "--json").out)["from_earlier_run"] > 0
    )
    assert [row["trace_id"] for row in read(tmp_path / "out.jsonl")] == list(range(120))


def test_a_damaged_parquet_file_is_refused_with_its_reason(verify: Verify, tmp_path: Path) -> None:
    (tmp_path / "in.parquet").write_bytes(b"PAR1 and no more")
    ended = verify(tmp_path / "in.parquet")
    assert (ended.code, "in.parquet is not a readable Parquet file" in ended.err) == (2, True)


def test_a_run_over_rows_with_clashing_columns_is_resumed(verify: Verify, tmp_path: Path) -> None:
    rows = [{"id": n, "answer": "7", "generation": RIGHT, "problem": TASK} for n in range(20)]
    write(tmp_path / "in.jsonl", rows)
    verify(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    whole = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").write_bytes(whole[: len(whole) // 2])
    ended = verify(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--json")
    figures = json.loads(ended.out)
    assert (figures["rows"], figures["right"]) == (20, 20)
    assert 0 < figures["from_earlier_run"] < 20
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == list(range(20))


def test_an_empty_file_is_wrong_use(verify: Verify, tmp_path: Path) -> None:
    ended = verify(write(tmp_path / "in.jsonl", []))
    assert (ended.code, "is empty: it holds no traces" in ended.err) == (2, True)
