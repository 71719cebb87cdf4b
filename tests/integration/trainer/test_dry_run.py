"""`tracemill train ROUND.toml --dry-run` shows a round's training set and stores nothing."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from db.session import transaction
from tests.conftest import forget
from tests.in_process import here
from tests.integration.rounds import finish, job, question, trace
from tracemill.errors import UsageError
from tracemill.model_settings import EMBEDDED_MODEL
from tracemill.stack import Stack
from tracemill.weights import resolve
from trainer.select.preview import preview
from trainer.spec import load

ROUND = """
name = "r1"
[select]
jobs = ["teach"]
{select}
[fit]
max_tokens = 64
[evaluate]
jobs = ["before"]
"""


@pytest.fixture(autouse=True)
def _traces(clean: Stack, models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Six questions with an accepted trace each; one overlaps an evaluation, and one is long."""
    aliases = {"student": {"model": resolve(EMBEDDED_MODEL, models), "vllm": {"adapters": True}}, "teacher": {}}
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps(aliases))
    forget()
    with transaction() as connection:
        planted = question(connection, "What is 9 + 1?")
        finish(connection, job(connection, "before", [planted], evaluate=True))
        ids = [
            planted,
            *(question(connection, f"What is {n} + 1?") for n in range(4)),
            question(connection, "word " * 99),
        ]
        teach = job(connection, "teach", ids)
        for number, question_id in enumerate(ids):
            trace(connection, teach, question_id, f"It is {number}. \x1b[31m The answer is {number}.")
        trace(connection, teach, ids[1], "wrong", accepted=False, index=1)
    yield
    forget()


def _dry_run(folder: Path, *words: str, select: str = "") -> str:
    """The output of the command. Raises RuntimeError if it fails."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("TRACEMILL_")}
    done = here(folder, "train", str(_file(folder, select)), "--dry-run", *words, **variables)
    if done.returncode:
        raise RuntimeError(f"{done.returncode}: {done.stderr}")
    return done.stdout


def _file(folder: Path, select: str = "") -> Path:
    file = folder / "round.toml"
    file.write_text(ROUND.format(select=select))
    return file


def _stored() -> int:
    with transaction() as connection:
        tables = ("rounds", "examples", "exclusions")
        return sum(connection.execute(text(f"select count(*) from {table}")).scalar_one() for table in tables)


def test_a_dry_run_shows_the_training_set_and_stores_nothing(tmp_path: Path) -> None:
    output = json.loads(_dry_run(tmp_path, "--json"))
    selection = output["selection"]
    assert (selection["traces"], selection["removed"]) == (7, {"accepted": 1, "overlapping": 1})
    assert (selection["examples"], output["too_long"], selection["overlaps"]) == (5, 1, {"exact": 1})
    (limit,) = output["limits"]
    assert (limit["limit"], limit["value"], limit["rows"]) == ("fit.max_tokens", 64, 1)
    assert 64 < limit["enough"] < 200
    assert 0 < output["learnt_tokens"] < output["tokens"] <= 4 * 64
    assert (output["seconds"], output["measured_in"]) == (None, None)
    assert output["overlaps"][0]["evaluation_question"] == "What is 9 + 1?"
    assert len(output["examples"]) == 3
    read, learnt = output["examples"][0]["parts"]
    assert (read["learnt"], learnt["learnt"]) == (False, True)
    assert read["text"].startswith("<|im_start|>system\nThink.<|im_end|>")
    assert read["text"].endswith("<|im_start|>assistant\n")
    assert learnt["text"].endswith("<|im_end|>")
    assert "The answer is" in learnt["text"]
    assert _stored() == 0


def test_people_read_a_table_in_which_no_model_text_moves_the_cursor(tmp_path: Path) -> None:
    printed = _dry_run(tmp_path)
    for phrase in ("whose question overlaps one of an evaluation", "[learnt]", "not known: no round", "1 exact"):
        assert phrase in printed
    assert "\x1b" not in printed


def test_traces_that_were_cut_off_are_left_out_and_their_limit_is_named(tmp_path: Path) -> None:
    with transaction() as connection:
        connection.execute(text("update traces set finish_reason = 'length' where text like 'It is 2%'"))
    printed = _dry_run(tmp_path)
    assert "cut off at the longest answer" in printed
    assert "max_tokens of job teach" in printed
    output = json.loads(_dry_run(tmp_path, "--json"))
    assert output["selection"]["removed"]["finished"] == 1
    assert output["limits"][0] == {"limit": "max_tokens of job teach", "value": 64, "rows": 1, "enough": None}


def test_a_trace_that_was_cut_off_is_learnt_without_an_end(tmp_path: Path) -> None:
    with transaction() as connection:
        connection.execute(text("update traces set finish_reason = 'length'"))
    output = json.loads(_dry_run(tmp_path, "--json", select="finished = false"))
    assert output["limits"][0]["limit"] == "fit.max_tokens"
    learnt = [example["parts"][1]["text"] for example in output["examples"]]
    assert [text for text in learnt if "<|im_end|>" in text] == []
    assert all("The answer is" in text for text in learnt)


def test_thoughts_about_a_hint_are_not_shown_because_they_are_not_learnt(tmp_path: Path) -> None:
    with transaction() as connection:
        connection.execute(text("update jobs set method = 'rationalize' where name = 'teach'"))
        connection.execute(text("update traces set text = '<think>The hint says so.</think>' || text"))
    learnt = json.loads(_dry_run(tmp_path, "--json"))["examples"][0]["parts"][1]["text"]
    assert learnt.startswith("It is ")


def test_a_filter_that_leaves_nothing_is_work_that_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)^1: .*6 are left out by `methods`"):
        _dry_run(tmp_path, select='methods = ["contrast"]')


def test_the_expected_time_is_measured_in_an_earlier_round_of_the_student(tmp_path: Path) -> None:
    metrics = {"examples_per_second": 2, "tokens": 300, "examples": 10}
    with transaction() as connection:
        connection.execute(
            text(
                "insert into rounds (name, spec, prompt_hash, metrics) select 'earlier', "
                '\'{"student": "student", "fit": {"objective": "sft"}}\', hash, cast(:metrics as jsonb) '
                "from prompts limit 1"
            ),
            {"metrics": json.dumps(metrics)},
        )
    result = preview(load(_file(tmp_path)))
    assert result.measured_in == "earlier"
    assert result.seconds == pytest.approx(3 * result.tokens / 60)


def test_a_round_that_is_to_be_like_an_unknown_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"select\.like: there is no round 'nowhere'"):
        preview(load(_file(tmp_path, 'like = "nowhere"')))


def test_a_student_whose_folder_is_missing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps({"student": {"model": "./none"}}))
    forget()
    with pytest.raises(RuntimeError, match=r"^2: error: model alias 'student': \./none is not a model folder"):
        _dry_run(tmp_path)
