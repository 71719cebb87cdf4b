"""`tracemill loop` against a real Postgres: a thread plays the workers, and what a trainer would fit is left out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from db.session import transaction
from tests.conftest import forget
from tests.integration.factory import rows, value
from tests.integration.players import everybody_at_work
from tests.integration.rounds import finish, job, question, trace
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

#: Of four held-out questions the model of each round gets so many right.
RIGHT = {"star-1": 2, "star-2": 3, "star-3": 3}
LOOP = """
name = "star"
rounds = 5
[attempt]
source = "{folder}/sums.jsonl"
samples = 1
examples = "shots.jsonl"
[rationalize]
samples = 1
[select]
max_per_question = 1
[evaluate]
jobs = ["before"]
"""


@pytest.fixture
def file(clean: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A loop over six questions, with its held-out ones asked already (1 of 4 right)."""
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps({"student": {"vllm": {"adapters": True}}}))
    forget()
    with transaction() as connection:
        asked = [question(connection, f"What is {n} + 50?") for n in range(4)]
        before = job(connection, "before", asked, evaluate=True)
        for place, question_id in enumerate(asked):
            trace(connection, before, question_id, "?", accepted=place < 1)
        finish(connection, before)
    sums = [{"question": f"How much is {n} and one more?", "gold": str(n + 1)} for n in range(6)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, sums)))
    (tmp_path / "shots.jsonl").write_text(json.dumps({"question": "1 + 1?", "answer": "The answer is 2."}))
    (tmp_path / "star.toml").write_text(LOOP.format(folder=tmp_path))
    yield tmp_path / "star.toml"
    forget()


def accepted(name: str, place: int, count: int) -> bool:
    """The attempts of round n get n + 2 questions right, a hint helps with all but the last."""
    if "rationalize" in name:
        return place < count - 1
    if "attempt" in name:
        return place < int(name.split("-")[1]) + 2
    return place < RIGHT[name.partition("/")[0]]


def run(file: Path) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["loop", str(file), "--json"])
    assert done.exception is None, done.output
    return dict(json.loads(done.stdout))


def test_each_round_is_taught_by_the_model_of_the_round_before_until_it_gains_no_more(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with everybody_at_work(monkeypatch, accepted):
        found = run(file)
    assert found["ended"] == "round 3 gained no more than 0.5 points"
    assert [each["after"]["value"] for each in found["rounds"]] == [0.5, 0.75, 0.75]
    assert found["rounds"][0]["before"]["value"] == 0.25
    asked = rows(
        "select j.name, r.name as model, (select count(*) from job_questions where job_id = j.id) as questions "
        "from jobs j left join rounds r on r.id = j.round_id where j.purpose = 'teach' order by j.id"
    )
    assert [tuple(row) for row in asked] == [
        ("star-1-attempt", None, 6),
        ("star-1-rationalize", None, 3),
        ("star-2-attempt", "star-1", 6),
        ("star-2-rationalize", "star-1", 2),
        ("star-3-attempt", "star-2", 6),
        ("star-3-rationalize", "star-2", 1),
    ]
    learnt = rows("select round, job from round_lineage group by 1, 2 order by 1, 2")
    assert {row.round: {r.job for r in learnt if r.round == row.round} for row in learnt}["star-3"] <= {
        row.name for row in asked
    }
    assert [each["questions with one"] for each in found["rounds"]] == [5, 5, 5]
    # Examples are shown to the base model, which does not know the form, and beside every hint.
    shown = rows(
        "select distinct j.name from jobs j join job_prompts jp on j.id = jp.job_id "
        "join prompts p on p.hash = jp.prompt_hash where p.messages::text like '%The answer is 2.%' order by 1"
    )
    assert [row.name for row in shown] == ["star-1-attempt"] + [f"star-{n}-rationalize" for n in (1, 2, 3)]


def test_a_loop_that_was_broken_off_goes_on_and_one_that_has_ended_is_found(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with everybody_at_work(monkeypatch, accepted):
        with monkeypatch.context() as breaking:
            breaking.setattr("cli.loop.follow", interrupted)
            assert CliRunner().invoke(app, ["loop", str(file)]).exit_code != 0
        found = run(file)
        assert found["ended"] == "round 3 gained no more than 0.5 points"
        traces = value("select count(*) from traces")
        assert run(file) == found
    assert value("select count(*) from traces") == traces
    assert value("select count(*) from rounds") == 3


def interrupted(name: str) -> None:
    raise KeyboardInterrupt
