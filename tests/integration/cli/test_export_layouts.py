"""`tracemill export --as` writes what other trainers load: the rows, and the loaders of datasets and trl."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import app
from tests.integration.factory import rows
from tracemill.stack import Stack
from workers.verify import verify

pytestmark = pytest.mark.integration

SUMS = {3: ("Add.", "3 + 4 = 7. The answer is 7."), 5: ("", "5 + 4 = 9. The answer is 9.")}
WRONG = "It is more. The answer is 1."


def user_turn(n: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"What is {n} + 4?"}]


def model_turn(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def right(n: int) -> str:
    thoughts, text = SUMS[n]
    return f"<think>{thoughts}</think>\n{text}" if thoughts else text


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture
def traces(clean: Stack, tmp_path: Path) -> Path:
    """A right and a wrong trace of each of two sums. The traces of a sum are not neighbours."""
    texts = [(n, right(n)) for n in SUMS] + [(n, WRONG) for n in SUMS]
    lines = [{"messages": [*user_turn(n), *model_turn(text)], "answer": str(n + 4)} for n, text in texts]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert run("import", tmp_path / "sums.jsonl", "--dataset", "sums").exception is None
    for row in rows("select job_id, array_agg(question_id) as ids from job_questions group by 1"):
        verify(row.job_id, row.ids)
    return tmp_path


def exported(folder: Path, layout: str, ending: str) -> list[dict[str, Any]]:
    """The rows of an export in a layout, as `datasets` loads them."""
    from datasets import load_dataset

    file = folder / f"{layout}.{ending}"
    result = run("export", file, "--as", layout)
    assert result.exception is None, result.output
    kind = "json" if ending == "jsonl" else ending
    return list(load_dataset(kind, data_files=str(file), split="train", cache_dir=str(folder / "cache")))


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_layout_has_the_rows_that_its_trainer_loads(
    traces: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert exported(traces, "messages", ending) == [{"messages": [*user_turn(n), *model_turn(right(n))]} for n in SUMS]
    assert exported(traces, "prompt-completion", ending) == [
        {"prompt": user_turn(n), "completion": model_turn(right(n))} for n in SUMS
    ]
    assert exported(traces, "preference", ending) == [
        {"prompt": user_turn(n), "chosen": model_turn(right(n)), "rejected": model_turn(WRONG)} for n in SUMS
    ]
    assert exported(traces, "sharegpt", ending) == [
        {"conversations": [{"from": "human", "value": user_turn(n)[0]["content"]}, {"from": "gpt", "value": right(n)}]}
        for n in SUMS
    ]
    assert exported(traces, "alpaca", ending) == [
        {"instruction": user_turn(n)[0]["content"], "input": "", "output": right(n)} for n in SUMS
    ]
    verl = exported(traces, "verl", ending)
    assert [row.pop("extra_info")["index"] for row in verl] == sorted(
        row.id for row in rows("select id from questions")
    )
    assert verl == [
        {
            "data_source": "sums",
            "prompt": user_turn(n),
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": str(n + 4)},
        }
        for n in SUMS
    ]


@pytest.mark.slow
def test_trl_takes_the_layouts_as_conversations(traces: Path) -> None:
    from trl.data_utils import is_conversational

    for layout in ("messages", "prompt-completion", "preference"):
        assert all(is_conversational(row) for row in exported(traces, layout, "jsonl")), layout


def test_exported_messages_can_be_imported_again(traces: Path) -> None:
    exported(traces, "messages", "jsonl")
    assert "2 traces in 2 rows, 2 new, 0 left out" in run("import", traces / "messages.jsonl").stdout


def test_a_layout_takes_no_columns_of_its_own(traces: Path) -> None:
    for words in (("--columns", "text"), ("--include", "all")):
        result = run("export", traces / "x.jsonl", "--as", "messages", *words)
        assert "leave --columns and --include out" in str(result.exception)


def test_an_empty_layout_names_no_option_that_it_refuses(traces: Path) -> None:
    result = run("export", traces / "x.jsonl", "--as", "messages", "--where", "not accepted")
    assert "there is nothing to export" in str(result.exception)
    assert "--include" not in str(result.exception)
