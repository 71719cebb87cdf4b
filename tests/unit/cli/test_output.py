"""Tables stay readable at every width: no name, figure or heading is cut."""

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live
from rich.progress import Progress, TextColumn
from rich.text import Text

from cli.csv_cells import csv_cell
from cli.output import SafeConsole, print_facts, print_json, print_line, print_rows
from tests import ROOT

NAME = "gsm8k-train-teacher-rationalize-2"
FIGURE = 123_456_789_012


@pytest.fixture
def narrow() -> Console:
    return Console(width=60)


def test_few_columns_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([{"job": "math", "accepted": 3}], ["job", "accepted"])
    assert "│ math │        3 │" in capsys.readouterr().out


def test_a_column_of_figures_is_right_justified_and_text_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "a", "rate": "12.5 (3%)", "mixed": 1}, {"name": "bcd", "rate": -1, "mixed": "none"}]
    print_rows(rows, rows[0])
    lines = capsys.readouterr().out.splitlines()
    assert lines[3] == "│ a    │ 12.5 (3%) │ 1     │"
    assert lines[4] == "│ bcd  │        -1 │ none  │"


def test_a_table_wraps_its_headings_before_it_becomes_records(
    capsys: pytest.CaptureFixture[str], narrow: Console
) -> None:
    row = {"job": NAME, "tokens_per_accepted": 12, "answers in form": 7}
    print_rows([row], row, out=narrow)
    lines = [line.strip("┃").split("┃") for line in capsys.readouterr().out.splitlines()[1:4]]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["", "tokens_", ""],
        ["", "per_", "answers"],
        ["job", "accepted", "in form"],
    ]


def test_sentences_wrap_between_words_and_names_do_not(capsys: pytest.CaptureFixture[str], narrow: Console) -> None:
    row = {"job": NAME, "error": "the server of the teacher does not answer", "n": 3}
    print_rows([row], row, out=narrow)
    out = capsys.readouterr().out
    assert NAME in out
    assert all(word in out for word in row["error"].split())
    assert max(map(len, out.splitlines())) <= 60


@pytest.mark.parametrize("value", [NAME, FIGURE, "78.5 [72.1, 83.9]", 1_234_567.5])
def test_what_does_not_fit_into_a_table_becomes_records(
    capsys: pytest.CaptureFixture[str], narrow: Console, value: object
) -> None:
    row = {"job": NAME} | {f"column_{number}": value for number in range(6)}
    print_rows([row, row], row, title="scores", out=narrow)
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "scores"
    assert out.count(f"job {NAME} ─") == 2
    whole = "1234568" if isinstance(value, float) else str(value)
    assert out.count(whole) == 12 + 2 * (value == NAME)
    assert all(out.count(f"column_{number}") == 2 for number in range(6))


def test_short_values_of_a_record_share_a_line(capsys: pytest.CaptureFixture[str], narrow: Console) -> None:
    row = {"job": NAME} | {f"column_{number}": number for number in range(5)}
    print_rows([row], row, out=narrow)
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["column_0", "0", "column_1", "1", "column_2", "2", "column_3", "3"],
        ["column_4", "4"],
    ]


def test_a_record_whose_first_value_is_long_is_headed_by_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"text": "x" * 300} | {f"column_{number}": f"[bold]{number}" for number in range(46)}
    print_rows([row, row], row, title="scores")
    out = capsys.readouterr().out
    assert out.splitlines()[1].startswith("row 1 ─")
    assert "row 2 ─" in out
    assert out.count("x") == 2 * (300 + 1)
    assert out.count("[bold]45") == 2


def test_many_columns_of_no_row_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([], [f"column_{number}" for number in range(46)])
    assert capsys.readouterr().out == "no rows\n"


def test_facts_are_a_line_each_and_long_paths_are_folded(capsys: pytest.CaptureFixture[str], narrow: Console) -> None:
    print_facts({"job": NAME, "tokens": FIGURE, "path": "/folder" * 12}, title="[b]", out=narrow)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[b]"
    assert lines[1].split() == ["job", NAME]
    assert lines[2].split() == ["tokens", str(FIGURE)]
    assert "".join(lines[3:]).replace(" ", "") == "path" + "/folder" * 12


@pytest.mark.parametrize(("number", "text"), [(0.123456, "0.1235"), (1234567.8, "1234568"), (-25_000.0, "-25000")])
def test_large_figures_keep_all_their_digits(capsys: pytest.CaptureFixture[str], number: float, text: str) -> None:
    print_facts({"figure": number})
    assert capsys.readouterr().out.split() == ["figure", text]


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
    assert cells == ["", "yes", "no", "0.6667", "2026-03-01 12:30:59", "é, 1"]


HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b1A\u202e"


def test_no_escape_sequence_of_a_text_reaches_the_terminal() -> None:
    terminal = SafeConsole(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    row = {"text": HOSTILE, "n": 1}
    print_rows([row], row, title=HOSTILE, out=terminal)
    print_rows([row | {"long": "x" * 200}], ["text", "long"], out=terminal)
    print_facts({HOSTILE: HOSTILE}, out=terminal)
    print_line(HOSTILE, terminal)
    terminal.print(Text(HOSTILE))
    terminal.rule(HOSTILE)
    with Progress(TextColumn("{task.description}"), console=terminal) as bar:
        bar.add_task(HOSTILE)
    with Live(Text(HOSTILE), console=terminal):
        pass
    shown = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert shown.count(r"\x1b]0;title") >= 10
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown
    assert not {"\x07", "\x9b", "\u202e"} & set(shown)


def test_a_hostile_cell_keeps_the_table_in_shape() -> None:
    terminal = SafeConsole(file=io.StringIO(), width=80)
    row = {"text": HOSTILE, "n": 1}
    print_rows([row, row | {"text": "ok"}], row, out=terminal)
    assert len({len(line) for line in terminal.file.getvalue().splitlines()}) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "-x"])
def test_a_csv_cell_that_a_spreadsheet_would_run_is_quoted(text: str) -> None:
    assert csv_cell(text, False, io.StringIO()) == f"'{text}"
    assert csv_cell(text, True, io.StringIO()) == text


@pytest.mark.parametrize("value", ["-5", "+3.5%", "-1,000", "a=b", "", 5, -0.5, None, "1 - 2"])
def test_an_ordinary_csv_cell_stays_as_it_is(value: object) -> None:
    assert csv_cell(value, False, io.StringIO()) == value


NOISY = """
import os, subprocess, sys, warnings
from pathlib import Path
from cli.output import libraries_in_log, print_line, progress_console
from tracemill.errors import EngineError
with libraries_in_log(Path(sys.argv[1]) / "logs" / "test.log") as stdout:
    print("noise of Python")
    warnings.warn("noise of warnings")
    subprocess.run("echo noise of a child; echo noise of its errors >&2", shell=True)
    print_line("progress", progress_console)
    stdout.write(b"result\\n")
    if len(sys.argv) > 2:
        raise EngineError(sys.argv[2])
print("after")
print_line("more progress", progress_console)
"""


def noisy(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", NOISY, *words], cwd=ROOT, capture_output=True, text=True)


def test_noise_of_libraries_goes_to_the_log_and_never_to_the_terminal(tmp_path: Path) -> None:
    done = noisy(tmp_path / "new folder")
    assert (done.stdout, done.stderr) == ("result\nafter\n", "progress\nmore progress\n")
    log = tmp_path / "new folder" / "logs" / "test.log"
    noise = log.read_text()
    assert all(f"noise of {part}" in noise for part in ("Python", "warnings", "a child", "its errors"))
    assert (log.parent.stat().st_mode & 0o777, log.stat().st_mode & 0o777) == (0o700, 0o600)


def test_an_engine_error_names_the_log(tmp_path: Path) -> None:
    last = noisy(tmp_path, "it did not start").stderr.splitlines()[-1]
    assert last.endswith(f"EngineError: it did not start. Log: {tmp_path}/logs/test.log")


def test_without_a_log_the_noise_goes_to_standard_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = noisy(tmp_path / "file")
    assert done.stdout == "result\nafter\n"
    assert "noise of a child" in done.stderr


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
