"""Layouts of public data sets, each as JSON Lines, CSV and Parquet: the same question from each."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from producer.sources import Question, open_source
from tests.layouts import LAYOUTS


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("\n".join(map(json.dumps, rows)))


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    def cell(value: object) -> object:
        return json.dumps(value) if isinstance(value, dict | list) else value

    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
}


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_public_layout_is_read_alike_from_each_kind_of_file(tmp_path: Path, name: str, ending: str) -> None:
    layout = LAYOUTS[name]
    WRITERS[ending](path := tmp_path / f"rows.{ending}", [layout.row])
    [question] = open_source(str(path), mapping={})
    assert isinstance(question, Question), question
    assert (question.text, question.gold, question.kind) == (layout.text, layout.gold, layout.kind)


@pytest.mark.parametrize("ending", WRITERS)
def test_gpqas_answers_are_shuffled_by_their_question(tmp_path: Path, ending: str) -> None:
    row = {"Correct Answer": "seven"} | {f"Incorrect Answer {n}": f"wrong {n}" for n in (1, 2, 3)}
    WRITERS[ending](path := tmp_path / f"rows.{ending}", [{"Question": f"Question {n}?"} | row for n in range(20)])
    questions = [item for item in open_source(str(path), mapping={}) if isinstance(item, Question)]
    assert len(questions) == 20
    assert {question.gold for question in questions} == set("ABCD")
    assert all(f"{question.gold}) seven" in question.text for question in questions)
