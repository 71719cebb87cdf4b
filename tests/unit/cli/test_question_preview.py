"""`tracemill enqueue --dry-run`: the mapping, the first questions and the warnings, without a stack."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app

ROWS = [
    {"context": f"Let a be {a}.", "question": "Find a + 3.", "solution": rf"It is $\boxed{{{a + 3}}}$."}
    for a in range(4)
]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.jsonl").write_text(
        "\n".join(
            [*map(json.dumps, ROWS), '{"question": "Who?", "solution": "Bo Lee"}', '{"question": "Why?"}', "oops"]
        )
    )
    return "q.jsonl"


def dry_run(*words: str) -> str:
    done = CliRunner().invoke(app, ["enqueue", *words, "--dry-run"])
    assert done.exception is None, done.output
    return done.stdout


def as_json(*words: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(dry_run(*words, "--json"))
    return result


def test_a_dry_run_shows_the_mapping_and_three_questions_as_they_are_asked(file: str) -> None:
    output = dry_run(file, "--method", "rationalize")
    assert output.startswith("mapping: question = question, gold = solution\n")
    assert output.count("user: ") == 3
    assert "Find a + 3." in output
    assert "gold answer: 3" in output


def test_a_dry_run_counts_kinds_gold_answers_and_bad_rows(file: str) -> None:
    result = as_json(file)
    assert (result["read"], result["golds"], result["kinds"]) == (6, 5, {"number": 5, "text": 1})
    assert [question["gold"] for question in result["questions"]] == ["3", "4", "5"]
    assert [problem["where"] for problem in result["problems"]] == ["q.jsonl:7"]
    assert "1 of 6 questions have no gold answer" in result["warnings"]


def test_the_option_that_a_warning_suggests_works_when_it_is_typed(file: str) -> None:
    template = r"question={context}\n\n{question}"
    assert f"Is it part of the question? --map '{template}'" in as_json(file)["warnings"][0]
    result = as_json(file, "--map", template)
    assert result["questions"][1]["messages"][-1]["content"].startswith("Let a be 1.\n\nFind a + 3.\n")
    assert not any("context" in warning for warning in result["warnings"])


def test_a_dry_run_of_stored_questions_is_wrong_use(file: str) -> None:
    done = CliRunner().invoke(app, ["enqueue", "job:first", "--dry-run"])
    assert "has questions that are stored" in str(done.exception)
