"""What commands print can be read, however much of it there is."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from cli.output import print_json, print_rows


def test_few_columns_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"job": "math", "accepted": 3}], ["job", "accepted"])
    assert "│ math │ 3        │" in capsys.readouterr().out


def test_more_columns_than_fit_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    row = {f"column_{number}": f"[bold]{number}" for number in range(46)}
    print_rows([row, row], row, title="scores")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "scores"
    assert lines[1].startswith("row 1 ─")
    assert lines[2].split() == ["column_0", "[bold]0"]
    assert lines[47].split() == ["column_45", "[bold]45"]
    assert lines[48].startswith("row 2 ─")
    assert len(lines) == 2 + 46 + 1 + 46


def test_a_long_word_of_a_record_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    row = {f"column_{number}": "x" * 300 for number in range(46)}
    print_rows([row], row)
    assert capsys.readouterr().out.count("x") == 46 * 300


def test_many_columns_of_no_row_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([], [f"column_{number}" for number in range(46)])
    assert capsys.readouterr().out == "no rows\n"


def test_a_cell_is_read_without_knowing_python(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "none": None,
        "yes": True,
        "no": False,
        "share": 2 / 3,
        "time": datetime(2026, 3, 1, 12, 30, 59, 999, tzinfo=UTC),
        "list": ["é", 1],
    }
    print_rows([row], row)
    cells = [cell.strip() for cell in capsys.readouterr().out.splitlines()[3].strip("│").split("│")]
    assert cells == ["", "yes", "no", "0.6667", "2026-03-01 12:30:59", '["é", 1]']


def test_json_holds_plain_numbers_and_times(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(
        {"sum": Decimal("12"), "mean": Decimal("1.5"), "at": datetime(2026, 3, 1, tzinfo=UTC), "to": Path("a/b")}
    )
    assert json.loads(capsys.readouterr().out) == {
        "sum": 12,
        "mean": 1.5,
        "at": "2026-03-01T00:00:00+00:00",
        "to": "a/b",
    }
