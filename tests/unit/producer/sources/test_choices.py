"""Multiple choice and programs, in the forms of public data sets."""

import doctest
import json
from pathlib import Path
from typing import Any

import pytest

from producer.sources import Problem, Question, choices, open_source


def read(folder: Path, *rows: dict[str, Any], **mapping: str) -> list[Question | Problem]:
    file = folder / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return list(open_source(str(file), mapping=mapping))


def test_the_examples_of_the_documentation_hold() -> None:
    assert doctest.testmod(choices).failed == 0


@pytest.mark.parametrize(
    ("row", "mapping", "gold"),
    [
        ({"choices": ["4", "5"], "answer": 1}, {}, "B"),
        ({"choices": {"text": ["4", "5"], "label": ["A", "B"]}, "answerKey": "B"}, {"gold": "answerKey"}, "B"),
        ({"options": {"A": "4", "B": "5"}, "answer": "5"}, {}, "B"),
        ({"these": ["A) 4", "B) 5"], "answer": "B"}, {"choices": "these"}, "B"),
    ],
)
def test_choices_become_lines_of_the_question_and_the_answer_a_letter(
    tmp_path: Path, row: dict[str, Any], mapping: dict[str, str], gold: str
) -> None:
    [item] = read(tmp_path, {"question": "2 + 3?"} | row, **mapping)
    assert isinstance(item, Question)
    assert (item.text, item.gold, item.kind) == ("2 + 3?\nA) 4\nB) 5", gold, "choice")


@pytest.mark.parametrize("wrong", [["one"], ["a", None], {"text": ["a", "b"], "label": ["A"]}, ["a"] * 27])
def test_unusable_choices_are_a_problem_of_their_row_only(tmp_path: Path, wrong: object) -> None:
    first, second = read(tmp_path, {"question": "?", "choices": wrong}, {"question": "2 + 3?", "gold": "5"})
    assert isinstance(first, Problem)
    assert "'choices' must be 2 to 26 texts" in first.what
    assert isinstance(second, Question)


def test_a_number_in_the_choices_column_is_ignored(tmp_path: Path) -> None:
    [item] = read(tmp_path, {"question": "2 + 3?", "gold": "5", "choices": 4})
    assert isinstance(item, Question)
    assert (item.text, item.kind) == ("2 + 3?", None)


def test_a_list_of_assertions_becomes_the_gold_of_a_program(tmp_path: Path) -> None:
    tests = ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]
    [item] = read(tmp_path, {"prompt": "Write add.", "test_list": tests}, gold="test_list")
    assert isinstance(item, Question)
    assert item.gold == "\n".join(tests)
