"""`tracemill verify FILE`: every row comes back in order with its verdict, whatever stands in the file."""

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tests import ROOT
from tests.unit.tracemill.verification.verify_command import Verify, command, read, runner, sums, write
from tracemill.verification import files
from tracemill.verification.files import Line, verified
from tracemill.verification.pipeline import Verifier, sandbox

#: design.md, section 7, and what is added to it.
PROMISED = ["correct", "proof", "answer", "steps", "first_error", "equations", "faithfulness", "coherence", "seconds"]
ADDED = ["kind", "false_equations", "equations_compound", "unused", "ungrounded", "concludes", "restatements", "error"]


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Verify]:
    yield from runner(monkeypatch, capsys)


def test_each_row_is_written_back_in_order_with_its_own_fields_and_its_verdict(verify: Verify, tmp_path: Path) -> None:
    rows = [row | {"level": {"deep": [1.5, None, True]}} for row in sums(1000)]
    ended = verify(write(tmp_path / "in.jsonl", rows), "-o", tmp_path / "out.jsonl")
    assert (ended.code, ended.out) == (0, "")
    done = read(tmp_path / "out.jsonl")
    assert [{name: row[name] for name in rows[0]} for row in done] == rows
    assert all(list(row) == [*rows[0], *PROMISED, *ADDED] for row in done)
    assert [row["correct"] for row in done] == [i % 3 != 2 for i in range(1000)]
    second, third = done[1], done[2]
    assert (second["answer"], second["first_error"], second["equations"]) == ("8", None, {"checked": 1, "false": 0})
    assert (third["answer"], third["first_error"], third["equations"]) == ("10", 1, {"checked": 1, "false": 1})
    assert third["false_equations"] == [{"step": 1, "text": "2 + 7 = 10"}]
    assert third["steps"] == ["We add.", "2 + 7 = 10", "The answer is 10."]
    assert third["kind"] == "number"
    assert (third["faithfulness"], third["coherence"], third["error"]) == (None, None, None)
    assert 0 < third["seconds"] < 3


def test_a_file_is_read_again_after_any_of_its_lines(tmp_path: Path) -> None:
    rows = sums(50)
    text = tmp_path / "in.jsonl"
    text.write_text("\ufeff" + "\n\n".join(json.dumps(row) for row in rows) + "\n{\n")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "in.parquet", row_group_size=7)
    for name in ("in.jsonl", "in.parquet"):
        source = files.Input(str(tmp_path / name))
        positions = [0, *(line.position for line in source.lines() if line.row is not None)]
        for n in (49, 0, 6, 7, 8, 50, 21):
            assert [line.row for line in source.lines_after(positions[n]) if line.row is not None] == rows[n:]


def test_what_a_trace_skips_is_written_back(verify: Verify, tmp_path: Path) -> None:
    traces = ("3 + 4 = 7. 7 + 5 = 12. So 12.", "3 + 4 + 5 = 12. So 12.", "3 + 4 = 7. So 7.")
    rows = [{"question": "What is 3 + 4 + 5?", "gold": "12", "trace": trace} for trace in traces]
    verify(write(tmp_path / "in.jsonl", rows), "-o", tmp_path / "out.jsonl")
    done = read(tmp_path / "out.jsonl")
    assert [(row["equations_compound"], row["unused"]) for row in done] == [(0, 0), (1, 0), (0, 1)]


def test_a_row_that_brings_steps_and_kind_keeps_them(verify: Verify, tmp_path: Path) -> None:
    steps = ["1. This\nand that", "", "2 + 2 = 5"]
    row = {"trace": "2 + 2 = 4. The answer is 4.", "gold": "4", "kind": "expression", "steps": steps}
    (done,) = read(verify(write(tmp_path / "in.jsonl", [row])).out)
    assert (done["steps"], done["kind"], done["first_error"]) == (steps, "expression", 2)


@pytest.mark.parametrize("gold", [42, 42.0, "42", "so 6 * 7\n#### 42"])
def test_a_gold_answer_may_be_a_number_or_a_whole_solution(verify: Verify, tmp_path: Path, gold: object) -> None:
    row = {"trace": "6 * 7 = 42. The answer is 42.", "gold": gold}
    (done,) = read(verify(write(tmp_path / "in.jsonl", [row])).out)
    assert (done["correct"], done["gold"]) == (True, gold)


def test_a_gold_answer_may_be_true_or_false(verify: Verify, tmp_path: Path) -> None:
    row = {"trace": "It is prime. The answer is yes.", "gold": True, "question": "Is 7 a prime?"}
    (done,) = read(verify(write(tmp_path / "in.jsonl", [row])).out)
    assert (done["correct"], done["gold"], done["kind"]) == (True, True, "boolean")


def test_without_a_gold_answer_the_verdict_is_open_and_the_steps_are_checked(verify: Verify, tmp_path: Path) -> None:
    (done,) = read(verify(write(tmp_path / "in.jsonl", [{"trace": "So 2 + 2 = 5. The answer is 5."}])).out)
    assert (done["correct"], done["answer"], done["equations"]["false"]) == (None, "5", 1)


BROKEN = {
    b"no json": (None, "not JSON: Expecting value (character 1)"),
    b'{"trace": "cut off': (None, "not JSON: Unterminated string"),
    b'["trace"]': (None, "not a JSON object"),
    b'"trace"': (None, "not a JSON object"),
    b'{"trace": "caf\xe9"}': (None, "not UTF-8: byte 0xe9 at byte 15"),
    b"[" * 100_000: (None, "not readable"),
    b'{"gold": ' + b"1" * 5000 + b', "trace": "x"}': (None, "not readable"),
    b"{}": ({}, 'no "trace"'),
    b'{"id": 3, "gold": "4"}': ({"id": 3, "gold": "4"}, 'no "trace"'),
    b'{"trace": null}': ({"trace": None}, '"trace" is not a text'),
    b'{"trace": ["a"]}': ({"trace": ["a"]}, '"trace" is not a text'),
    b'{"trace": "x", "question": 5}': ({"trace": "x", "question": 5}, '"question" is not a text'),
    b'{"trace": "x", "kind": "maths"}': ({"trace": "x", "kind": "maths"}, '"kind" is none of number, '),
    b'{"trace": "x", "kind": [1]}': ({"trace": "x", "kind": [1]}, '"kind" is none of number, '),
    b'{"trace": "x", "gold": {"a": 4}}': ({"trace": "x", "gold": {"a": 4}}, '"gold" is neither a text nor a number'),
    b'{"trace": "x", "steps": "a"}': ({"trace": "x", "steps": "a"}, '"steps" is not a list of texts'),
    b'{"trace": "x", "steps": [1]}': ({"trace": "x", "steps": [1]}, '"steps" is not a list of texts'),
}


def test_broken_lines_are_named_and_cost_their_neighbours_nothing(verify: Verify, tmp_path: Path) -> None:
    good = [json.dumps(row).encode() for row in sums(len(BROKEN))]
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join(line for pair in zip(good, BROKEN, strict=True) for line in pair))
    ended = verify(path, "--json")
    assert ended.code == 1
    done = read(ended.out)
    problems = [line for line in ended.err.splitlines() if line.startswith("line ")]
    assert [row["id"] for row in done if row["error"] is None] == [row["id"] for row in sums(len(BROKEN))]
    written = iter([row for row in done if row["error"] is not None])
    for number, (row, problem), words in zip(count(2, 2), BROKEN.values(), problems, strict=False):
        if row is None:
            assert words.startswith(f"line {number} is left out: {problem}")
        else:
            assert words.startswith(f"line {number} is not verified: {problem}")
            back = next(written)
            assert back.items() >= row.items()
            assert problem in back["error"]
            assert problem in back["proof"]
            assert (back["correct"], list(back)[len(row) :]) == (None, [n for n in PROMISED + ADDED if n not in row])
    assert len(problems) == len(BROKEN)
    figures = json.loads(ended.err.splitlines()[-1])
    assert (figures["left_out"], figures["not_verified"]) == (7, 10)
    assert figures["rows"] == len(BROKEN) + 10


def test_endless_complaints_are_cut_short(verify: Verify, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("nonsense\n" * 5000 + json.dumps(sums(1)[0]))
    ended = verify(path)
    assert ended.code == 1
    assert len(ended.err.splitlines()) < 120
    assert "further lines like these are only counted" in ended.err
    assert "5,000" in ended.err
    assert read(ended.out)[0]["correct"] is True


def test_it_is_a_filter_from_standard_input_to_standard_output() -> None:
    given = "\ufeff\n" + "".join(json.dumps(row) + "\r\n \n" for row in sums(3))
    ended = subprocess.run(command("-"), cwd=ROOT, input=given.encode(), capture_output=True, timeout=60)
    assert ended.returncode == 0
    assert [row["correct"] for row in read(ended.stdout.decode())] == [True, True, False]
    assert b"\x1b" not in ended.stderr
    assert [line.split() for line in ended.stderr.decode().splitlines()[:3]] == [
        ["rows", "3"],
        ["right", "2"],
        ["wrong", "1"],
    ]


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(write(tmp_path / "in.jsonl", sums(5000))), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["correct"] is True
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr.read() == b""


def test_a_compressed_file_is_read_and_one_that_breaks_off_keeps_its_good_rows(verify: Verify, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl.gz"
    packed = gzip.compress("".join(json.dumps(row) + "\n" for row in sums(2000)).encode())
    path.write_bytes(packed)
    ended = verify(path)
    assert (ended.code, len(read(ended.out))) == (0, 2000)
    path.write_bytes(packed[: len(packed) // 2])
    ended = verify(path)
    assert ended.code == 1
    assert "the file cannot be read from here on" in ended.err
    done = read(ended.out)
    assert 500 < len(done) < 2000
    assert all(row["correct"] is (i % 3 != 2) for i, row in enumerate(done))


def test_what_no_json_or_utf8_can_say_is_written_back_as_valid_json(verify: Verify, tmp_path: Path) -> None:
    hostile = [
        '{"trace": "\\ud800 The answer is 5\\udfff é 😀", "gold": "5"}',
        '{"trace": "NUL \\u0000 inside. The answer is 5.", "gold": "5"}',
        '{"trace": "The answer is 5.", "gold": "5", "score": NaN, "most": -Infinity, "large": 1e999}',
        '{"trace": "The answer is 5.", "gold": "5", "\\udc00": {"a": "\\ud83d"}, "big": 12345678901234567890}',
        '{"trace": "The answer is 5.", "gold": NaN}',
        '{"trace": "", "gold": "5"}',
        json.dumps({"trace": "The answer is 5.", "gold": "5", "deep": 0}).replace("0", "[" * 700 + "]" * 700),
        json.dumps({"trace": "a" * 10_000_000, "gold": "5"}),
        '{"trace": "The answer is 5.", "gold": "5", "trace": "The answer is 6."}',
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(hostile), "utf-8")
    assert verify(path, "-o", tmp_path / "out.jsonl").code == 0
    done = read(tmp_path / "out.jsonl")
    assert [row["correct"] for row in done] == [True, True, True, True, None, False, True, None, False]
    assert done[0]["trace"] == "\ud800 The answer is 5\udfff é 😀"
    assert (done[2]["score"], done[2]["most"], done[2]["large"]) == (None, None, None)
    assert (done[3]["\udc00"], done[3]["big"]) == ({"a": "\ud83d"}, 12345678901234567890)
    assert len(done[7]["trace"]) == 10_000_000
    assert "too long" in done[7]["proof"]
    assert json.loads(verify(path, "-o", tmp_path / "out.jsonl", "--json").out)["from_earlier_run"] == len(hostile)


def test_nesting_is_either_written_back_or_reported(verify: Verify, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join('{"trace": "x", "deep": ' + "[" * n + "]" * n + "}" for n in range(700, 1100, 4)))
    ended = verify(path)
    assert len(read(ended.out)) + ended.err.count("thousands of brackets") == 100
    assert 0 < len(read(ended.out)) < 100


def test_a_line_too_long_to_hold_is_passed_over(
    verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_LINE", 300)
    monkeypatch.setattr(files, "_CHUNK", 64)
    rows = sums(3)
    rows[1]["trace"] = "long " * 2000
    ended = verify(write(tmp_path / "in.jsonl", rows))
    assert ended.code == 1
    assert "line 2 is left out: longer than" in ended.err
    assert [row["id"] for row in read(ended.out)] == ["q0", "q2"]


def test_no_more_is_read_than_the_output_can_follow() -> None:
    lines = 0

    def endless(size: int) -> Iterator[Line]:
        nonlocal lines
        for lines in count(1):
            yield Line(lines, size, 0, None, None, "not JSON")

    verifier = Verifier(1)
    for size, most in ((100, 17 * 16), (files.BATCH_BYTES, 20)):
        done = verified(endless(size), verifier)
        written = sum(len(next(done)) for _ in range(50))
        assert 0 < lines - written <= most
        done.close()  # type: ignore[attr-defined]
    verifier.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{tmp}/none.jsonl"], "cannot read {tmp}/none.jsonl: No such file"),
        (["{tmp}"], "cannot read {tmp}: Is a directory"),
        (["{tmp}/in.jsonl", "-o", "{tmp}/in.jsonl"], "is the input itself"),
        (["{tmp}/in.jsonl", "-o", "{tmp}/link.jsonl"], "is the input itself"),
        (["{tmp}/in.jsonl", "-o", "{tmp}"], "cannot write {tmp}: Is a directory"),
        (["{tmp}/in.jsonl", "-o", "{tmp}/none/out.jsonl"], "cannot write {tmp}/none/out.jsonl: No such file"),
        (["{tmp}/in.jsonl", "-o", "{tmp}/out.jsonl.gz"], "pipe into gzip"),
        (["{tmp}/in.jsonl", "--judge", "nobody"], "unknown model alias 'nobody'"),
        (["{tmp}/in.jsonl", "--workers", "0"], "--workers"),
        ([], "file"),
    ],
)
def test_wrong_use_is_said_in_a_sentence_and_changes_nothing(
    verify: Verify, tmp_path: Path, words: list[str], message: str
) -> None:
    path = write(tmp_path / "in.jsonl", sums(3))
    (tmp_path / "link.jsonl").symlink_to(path)
    before = path.read_bytes()
    ended = verify(*(word.format(tmp=tmp_path) for word in words))
    assert (ended.code, ended.out) == (2, "")
    assert message.format(tmp=tmp_path).lower() in ended.err.lower()
    assert "Traceback" not in ended.err
    assert path.read_bytes() == before


def test_a_trace_that_cannot_be_checked_in_time_is_undecided_and_holds_nothing_else_up(
    verify: Verify, tmp_path: Path
) -> None:
    rows = sums(300)
    rows[10] = {"id": "q10", "trace": r"The answer is \boxed{x+1}", "gold": "9^{9^{9^{9}}}", "kind": "expression"}
    ended = verify(write(tmp_path / "in.jsonl", rows), "--json")
    assert ended.code == 0
    done = read(ended.out)
    assert [row["id"] for row in done] == [f"q{i}" for i in range(300)]
    assert (done[10]["correct"], done[10]["error"]) == (None, None)
    assert done[11]["correct"] is False


PROGRAM = "```python\ndef double(x):\n    return {}\n```"


def test_programs_are_run_in_the_sandbox_or_reported_as_not_run(verify: Verify, tmp_path: Path) -> None:
    tests = "assert double(2) == 4\nassert double(5) == 10"
    rows = [
        {"trace": PROGRAM.format(body), "gold": gold, "kind": "code"}
        for body, gold in (("x * 2", tests), ("x ** 2", tests), ("x * 2", tests.splitlines()))
    ]
    ended = verify(write(tmp_path / "in.jsonl", rows))
    done = read(ended.out)
    if ended.code == 0:
        assert [row["correct"] for row in done] == [True, False, True]
        assert all(row["seconds"] > 0.01 for row in done)
    else:
        assert [row["correct"] for row in done] == [None, None, None]
        assert all("no sandbox" in row["error"] for row in done)
        assert ended.err.count("is not verified") == 1


def test_without_bubblewrap_programs_are_reported_once_and_not_run(
    verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox.cache_clear()
    row = {"trace": PROGRAM.format("x * 2"), "gold": "assert double(2) == 4", "kind": "code"}
    ended = verify(write(tmp_path / "in.jsonl", [row, row, *sums(1)]))
    sandbox.cache_clear()
    assert ended.code == 1
    assert [row["correct"] for row in read(ended.out)] == [None, None, True]
    assert ended.err.count("is not verified") == 1


def test_the_summary_counts_what_was_found(verify: Verify, tmp_path: Path) -> None:
    rows = [*sums(9), {"trace": "The answer is 50%.", "gold": "0.5"}, {"trace": "The answer is 5."}]
    ended = verify(write(tmp_path / "in.jsonl", rows), "-o", tmp_path / "out.jsonl", "--json")
    figures = json.loads(ended.out)
    assert (figures["rows"], figures["right"], figures["wrong"], figures["undecided"]) == (11, 6, 3, 2)
    assert sum(figures["reasons"].values()) == 2
    assert "no gold answer" in figures["reasons"]
    assert (figures["with_false_equation"], figures["from_earlier_run"], figures["judge"]) == (3, 0, None)
    assert figures["rows_per_s"] > 0
    table = verify(tmp_path / "in.jsonl", "-o", tmp_path / "again.jsonl").err
    assert "no gold answer" in table
    assert ended.err == ""


def test_the_command_starts_without_anything_heavy() -> None:
    code = (
        "import sys, cli.verify, tracemill.verification.files, tracemill.verification.resume\n"
        "heavy = {'torch', 'transformers', 'vllm', 'sympy', 'math_verify', 'aiohttp', 'db'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
