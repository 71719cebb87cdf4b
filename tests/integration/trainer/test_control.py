"""The control arm: the same recipe on unverified traces of equal size, chosen after the round's examples."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from cli.main import app
from db.queries import Q
from db.session import transaction
from tests.conftest import forget
from tests.integration.factory import rows, value
from tests.integration.measured import benchmark, evaluate
from tests.integration.rounds import job, new_round, question, round_spec, trace
from tests.tiny import TEMPLATE, byte_tokenizer
from tracemill.errors import UsageError
from tracemill.stack import Stack
from trainer.select.choose import select
from trainer.spec import parse
from trainer.submit import control_of

pytestmark = pytest.mark.integration

ROUND = """
name = "r1"
[select]
jobs = ["teach"]
at_most = {tokens_out = 100}
[fit]
objective = "OBJECTIVE"
[evaluate]
jobs = ["before"]
"""


@pytest.fixture
def taught(clean: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty questions with one right and one wrong trace each, and a benchmark."""
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps({"student": {"vllm": {"adapters": True}}}))
    forget()
    with transaction() as connection:
        benchmark(connection, "before", [True, False])
        questions = [question(connection, f"Find {n} plus {n} for me.") for n in range(40)]
        teach = job(connection, "teach", questions)
        for question_id in questions:
            trace(connection, teach, question_id, "It is so.", index=0)
            trace(connection, teach, question_id, "It is not so.", index=1, accepted=False)
        done = "update job_questions set state = 'done', settled = 2, accepted = 1 where job_id = :job"
        connection.execute(text(done), {"job": teach})
        connection.execute(text("update traces set tokens_out = 5"))


def train(folder: Path, *flags: str, objective: str = "sft") -> str:
    path = folder / "ROUND.toml"
    path.write_text(ROUND.replace("OBJECTIVE", objective))
    done = CliRunner().invoke(app, ["train", str(path), "--control", *flags], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_the_control_differs_in_its_filter_alone(taught: None, tmp_path: Path) -> None:
    printed = train(tmp_path, "--no-wait")
    assert "queued: r1 and r1-control" in printed
    assert printed == train(tmp_path, "--no-wait")  # once more
    with transaction() as connection:
        verified, twin = (
            connection.execute(Q["round_by_name"], {"name": name}).mappings().one() for name in ("r1", "r1-control")
        )
    assert (verified["spec"]["fit"], verified["spec"]["evaluate"]) == (twin["spec"]["fit"], twin["spec"]["evaluate"])
    assert (twin["spec"]["select"]["accepted"], twin["spec"]["select"]["like"]) == ("any", "r1")
    assert (verified["spec"]["select"]["at_most"], twin["spec"]["select"]["at_most"]) == ({"tokens_out": 100}, {})


def test_the_control_waits_until_the_round_has_its_examples(taught: None, tmp_path: Path) -> None:
    train(tmp_path, "--no-wait")
    claims = []
    for state in ("queued", "selecting", "fitting"):
        with transaction() as connection:
            connection.execute(text("update rounds set state = :state where name = 'r1'"), {"state": state})
            twin = connection.execute(Q["round_by_name"], {"name": "r1-control"}).mappings().one()
            claim = {"round_id": twin["id"], "owner": "a trainer", "lease": 60}
            claims.append(connection.execute(Q["claim_round"], claim).rowcount)
    assert claims == [0, 0, 1]


def test_the_control_has_as_many_tokens_of_each_difficulty_right_and_wrong(taught: None) -> None:
    spec = round_spec("r1", select={"limit": 20})
    with transaction() as connection:
        selection = select(connection, new_round(connection, spec), spec)
        twin = control_of(spec)
        other = select(connection, new_round(connection, twin), twin)
    assert (other.tokens, other.difficulties) == (selection.tokens, selection.difficulties)
    accepted = rows(
        "select r.name, bool_and(v.accepted), bool_or(v.accepted) from examples e join rounds r on r.id = e.round_id "
        "join verdicts v on v.trace_id = e.trace_id group by 1 order by 1"
    )
    assert list(map(tuple, accepted)) == [("r1", True, True), ("r1-control", False, True)]


def test_rows_that_the_fit_leaves_out_count_in_neither_arm(taught: None, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = byte_tokenizer(TEMPLATE, "<|im_start|>", "<|im_end|>")
    monkeypatch.setattr("trainer.select.lengths.load_tokenizer", lambda folder: tokenizer)
    monkeypatch.setattr("trainer.select.lengths.resolve", lambda model, data_dir: model)
    spec = round_spec("r1", select={"max_per_question": 1}, fit={"max_tokens": 400})
    with transaction() as connection:
        # A token is a byte here. Ten of the 40 right traces are too long, and 30 of the 40 wrong ones.
        for sample, questions in ((0, 10), (1, 30)):
            lengthen = (
                "update traces set text = repeat('x', 500 + id::int) where sample_index = :sample and question_id in "
                "(select question_id from job_questions join jobs on jobs.id = job_id where name = 'teach' "
                "order by question_id limit :questions)"
            )
            connection.execute(text(lengthen), {"sample": sample, "questions": questions})
        assert select(connection, new_round(connection, spec), spec).examples == 40
        # One trace a question: 30 of the round are short, and those of the twin are as many, all of them short.
        every = spec.model_copy(update={"select": spec.select.model_copy(update={"max_per_question": 0})})
        twin = control_of(every)
        other = select(connection, new_round(connection, twin), twin)
    assert (other.tokens, other.examples) == (30 * 5, 30)
    learnt = rows(
        "select max(length(t.text)), count(distinct v.accepted) from examples e join rounds r on r.id = e.round_id "
        "join traces t on t.id = e.trace_id join verdicts v on v.trace_id = t.id where r.name = 'r1-control'"
    )
    assert list(map(tuple, learnt)) == [(len("It is not so."), 2)]
    assert 0 < other.removed["max_tokens"] <= 40


@pytest.mark.parametrize("finished", [True, False])
def test_the_control_learns_from_no_trace_that_was_cut_off(finished: bool) -> None:
    assert control_of(round_spec("r1", select={"finished": finished})).select.finished is True


def test_the_command_ends_with_the_effect_of_the_filter(taught: None, tmp_path: Path) -> None:
    train(tmp_path, "--no-wait")
    with transaction() as connection:
        for name, right in (("r1", [True, True]), ("r1-control", [True, False])):
            row = connection.execute(Q["round_by_name"], {"name": name}).mappings().one()
            evaluate(connection, row["id"], parse(row["spec"], name), {"before": right})
    assert "right answers of r1 against r1-control" in train(tmp_path)
    output = json.loads(train(tmp_path, "--json"))
    assert (output["name"], output["control"]["name"]) == ("r1", "r1-control")


def test_pairs_have_no_control(taught: None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unfiltered traces have none"):
        train(tmp_path, "--no-wait", objective="preference")
    assert value("select count(*) from rounds") == 0
