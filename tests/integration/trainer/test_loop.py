"""`tracemill loop` with a real Postgres: a thread replaces the workers, and nothing is fitted."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from cli.main import app
from db.session import transaction
from tests.conftest import forget
from tests.integration.factory import Processes, change, job_state, rows, value, wait_until
from tests.integration.feeding import step
from tests.integration.players import answer_all, simulated_processes
from tests.integration.rounds import finish, job, question, trace
from tracemill.errors import TracemillError, UsageError
from tracemill.queues import TRAIN_QUEUE
from tracemill.settings import FeederSettings
from tracemill.stack import Stack
from trainer import loop_service

pytestmark = pytest.mark.integration

#: Right answers of each round's model, of four held-out questions: on the reported set, and on the dev set.
RIGHT = {
    "before": {"star-1": 2, "star-2": 2, "star-3": 4},
    "dev": {"star-1": 2, "star-2": 3, "star-3": 3},
}
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
[dev]
jobs = ["dev"]
"""


@pytest.fixture
def file(clean: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A loop on six questions with answered held-out questions (1 of 4 right in each set)."""
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps({"student": {"vllm": {"adapters": True}}}))
    forget()
    for name, term in (("before", 50), ("dev", 90)):
        evaluation(name, [f"What is {n} + {term}?" for n in range(4)])
    sums = [{"question": f"How much is {n} and one more?", "gold": str(n + 1)} for n in range(6)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, sums)))
    (tmp_path / "shots.jsonl").write_text(json.dumps({"question": "1 + 1?", "answer": "The answer is 2."}))
    (tmp_path / "star.toml").write_text(LOOP.format(folder=tmp_path))
    yield tmp_path / "star.toml"
    forget()


def evaluation(name: str, questions: list[str]) -> None:
    """A finished evaluation of the student; its first question is right."""
    with transaction() as connection:
        ids = [question(connection, each) for each in questions]
        evaluated = job(connection, name, ids, evaluate=True)
        for index, question_id in enumerate(ids):
            trace(connection, evaluated, question_id, "?", accepted=index < 1)
        finish(connection, evaluated)


def accepted(name: str, index: int, count: int) -> bool:
    """The attempts of round n get n + 2 questions right; a hint helps for all questions except the last."""
    if "rationalize" in name:
        return index < count - 1
    if "attempt" in name:
        return index < int(name.split("-")[1]) + 2
    round_name, _, measured = name.partition("/")
    return index < RIGHT[measured][round_name]


def tracemill(*words: str | Path) -> Any:
    """Run the command; return its JSON output."""
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exception is None, done.output
    return json.loads(done.stdout)


def opened(file: Path) -> int:
    """The id of a loop that is open and has made no step."""
    tracemill("loop", file, "--no-wait")
    return int(value("select id from loops"))


def where() -> tuple[str, str, int]:
    """State, step and round of the loop."""
    (row,) = rows("select state, step, round from loops")
    return row.state, row.step, row.round


def taught() -> list[tuple[str, str | None, int]]:
    """Each teaching job with its model and its questions."""
    jobs = rows(
        "select j.name, r.name as model, (select count(*) from job_questions where job_id = j.id) as questions "
        "from jobs j left join rounds r on r.id = j.round_id where j.purpose = 'teach' order by j.id"
    )
    return [tuple(row) for row in jobs]


def test_each_round_learns_from_the_round_before_until_the_plateau(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with simulated_processes(monkeypatch, accepted):
        result = tracemill("loop", file)
    assert result["ended"] == "round 3 gained no more than 0.5 points"
    assert taught() == [
        ("star-1-attempt", None, 6),
        ("star-1-rationalize", None, 3),
        ("star-2-attempt", "star-1", 6),
        ("star-2-rationalize", "star-1", 2),
        ("star-3-attempt", "star-2", 6),
        ("star-3-rationalize", "star-2", 1),
    ]
    learnt = rows("select round, job from round_lineage group by 1, 2 order by 1, 2")
    assert {row.round: {r.job for r in learnt if r.round == row.round} for row in learnt}["star-3"] <= {
        name for name, _, _ in taught()
    }
    assert [each["questions"] for each in result["rounds"]] == [5, 5, 5]
    # The prompts of the base model, which does not know the form, and of every hint have the examples.
    shown = rows(
        "select distinct j.name from jobs j join job_prompts jp on j.id = jp.job_id "
        "join prompts p on p.hash = jp.prompt_hash where p.messages::text like '%The answer is 2.%' order by 1"
    )
    assert [row.name for row in shown] == ["star-1-attempt"] + [f"star-{n}-rationalize" for n in (1, 2, 3)]


def test_only_the_dev_set_decides_when_a_loop_ends(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Round 2 gains nothing on the reported set and round 3 much: judged on it, the loop would end otherwise."""
    with simulated_processes(monkeypatch, accepted):
        result = tracemill("loop", file)
    assert [each["after"]["value"] for each in result["rounds"]] == [0.5, 0.5, 1.0]
    assert [each["dev"]["after"]["value"] for each in result["rounds"]] == [0.5, 0.75, 0.75]
    assert result["rounds"][0]["before"]["value"] == result["rounds"][0]["dev"]["before"]["value"] == 0.25


def test_a_loop_without_a_dev_set_runs_all_its_rounds(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(file.read_text().replace("rounds = 5", "rounds = 2").partition("[dev]")[0])
    with simulated_processes(monkeypatch, accepted):
        result = tracemill("loop", file)
    assert (result["ended"], len(result["rounds"])) == ("all 2 rounds are done", 2)
    assert result["rounds"][0]["dev"] is None


def test_a_loop_survives_a_closed_terminal_and_can_be_followed_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with simulated_processes(monkeypatch, accepted):
        with monkeypatch.context() as closing:
            closing.setattr("cli.loop.time.sleep", interrupt)
            closing.setattr("sys.argv", ["tracemill", "loop", str(file)])
            closed = CliRunner().invoke(app, ["loop", str(file)])
        assert closed.exit_code != 0
        assert f"Follow it again: tracemill loop {file}" in closed.stderr.replace("\n", " ")
        result = tracemill("loop", file)
        assert result["ended"] == "round 3 gained no more than 0.5 points"
        traces = value("select count(*) from traces")
        assert tracemill("loop", file) == result
    assert value("select count(*) from traces") == traces
    assert value("select count(*) from rounds") == 3


def interrupt(_: float) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("broken", ["_move", "copy_questions"])
def test_a_trainer_that_dies_in_a_step_leaves_the_loop_to_the_next_one(
    file: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    loop_id = opened(file)
    answer_all(accepted)
    with monkeypatch.context() as dying:
        dying.setattr(loop_service, broken, die)
        with pytest.raises(SystemExit):
            loop_service.make_step(loop_id)
    assert where() == ("running", "attempt", 1)
    assert [name for name, _, _ in taught()] == ["star-1-attempt"]
    loop_service.make_step(loop_id)
    assert where() == ("running", "rationalize", 1)
    assert taught() == [("star-1-attempt", None, 6), ("star-1-rationalize", None, 3)]


def die(*_: object, **__: object) -> None:
    raise SystemExit


def test_a_step_that_runs_twice_at_once_has_one_effect(file: Path) -> None:
    loop_id = opened(file)
    answer_all(accepted)
    with ThreadPoolExecutor(4) as trainers:
        list(trainers.map(loop_service.make_step, [loop_id] * 4))
    assert where() == ("running", "rationalize", 1)
    assert taught() == [("star-1-attempt", None, 6), ("star-1-rationalize", None, 3)]


def test_a_stopped_loop_opens_nothing_more_until_it_is_continued(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop_id = opened(file)
    assert tracemill("loops", "stop", "star")["state"] == "stopped"
    answer_all(accepted)
    loop_service.make_step(loop_id)
    assert where() == ("stopped", "attempt", 1)
    assert [name for name, _, _ in taught()] == ["star-1-attempt"]
    with pytest.raises(UsageError, match="loop star is stopped: only a running loop can be stopped"):
        CliRunner().invoke(app, ["loops", "stop", "star"], catch_exceptions=False)
    with simulated_processes(monkeypatch, accepted):
        assert tracemill("loop", file)["ended"] == "round 3 gained no more than 0.5 points"


def test_the_feeder_nudges_a_trainer_only_when_the_loop_can_move(file: Path, clean: Stack) -> None:
    opened(file)
    limits = FeederSettings()
    with redis.Redis.from_url(clean.redis_url) as client:
        step(limits)
        assert client.llen(TRAIN_QUEUE) == 0
        answer_all(accepted)
        step(limits)
        step(limits)  # one task is enough for 30 seconds
        assert client.llen(TRAIN_QUEUE) == 1
        change("update loops set state = 'stopped', nudge_after = null")
        step(limits)
        assert client.llen(TRAIN_QUEUE) == 1


def test_the_feeder_nudges_a_trainer_when_the_round_of_a_loop_has_ended(file: Path) -> None:
    loop_id = opened(file)
    for _ in range(2):  # attempt, rationalize
        answer_all(accepted)
        loop_service.make_step(loop_id)
    for state, nudged in (("queued", False), ("fitting", False), ("evaluating", False), ("done", True)):
        change("update rounds set state = :state", state=state)
        step(FeederSettings())
        assert value("select nudge_after is not null from loops") is nudged


def test_a_trainer_that_was_killed_is_followed_by_one_that_continues(file: Path, tmp_path: Path) -> None:
    opened(file)
    processes = Processes(tmp_path, {})
    try:
        processes.start("producer", "producer")
        processes.start("trainer", "worker", "train")
        answer_all(accepted)
        wait_until(lambda: where() == ("running", "rationalize", 1), 90, lambda: processes.log("trainer").read_text())
        processes.kill("trainer")
        answer_all(accepted)
        processes.start("trainer", "worker", "train")
        wait_until(lambda: where() == ("running", "train", 1), 90, lambda: processes.log("trainer").read_text())
    finally:
        processes.stop_all()
    assert [name for name, _, _ in taught()] == ["star-1-attempt", "star-1-rationalize"]


def test_a_cancelled_job_fails_its_loop_with_a_sentence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop_id = opened(file)
    change("update jobs set state = 'cancelled' where name = 'star-1-attempt'")
    loop_service.make_step(loop_id)
    assert where() == ("failed", "attempt", 1)
    with (
        simulated_processes(monkeypatch, accepted),
        pytest.raises(TracemillError, match="loop star failed: star-1-attempt was cancelled"),
    ):
        CliRunner().invoke(app, ["loop", str(file)], catch_exceptions=False)


def test_a_failed_round_fails_its_loop_and_both_are_tried_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop_id = opened(file)
    for _ in range(2):  # attempt, rationalize
        answer_all(accepted)
        loop_service.make_step(loop_id)
    assert where() == ("running", "train", 1)
    change("update rounds set state = 'failed', error = 'out of memory'")
    loop_service.make_step(loop_id)
    assert where() == ("failed", "train", 1)
    assert tracemill("loops", "show", "star")["error"] == "round star-1 failed: out of memory"
    with simulated_processes(monkeypatch, accepted):
        assert tracemill("loop", file)["ended"] == "round 3 gained no more than 0.5 points"


def test_an_interrupted_loop_of_an_older_release_continues(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a loop has jobs and rounds by name, and no row in `loops`."""
    with simulated_processes(monkeypatch, accepted):
        tracemill("loop", file)
        traces = value("select count(*) from traces")
        change("delete from loops")
        result = tracemill("loop", file)
    assert result["ended"] == "round 3 gained no more than 0.5 points"
    assert value("select count(*) from traces") == traces
    assert value("select count(*) from rounds") == 3


def test_a_loop_of_the_same_name_with_other_settings_is_refused(file: Path) -> None:
    opened(file)
    with pytest.raises(UsageError, match=r"exists with other settings \(rounds: 5, not 3"):
        CliRunner().invoke(app, ["loop", str(file), "--set", "rounds=3"], catch_exceptions=False)
    (file.parent / "shots.jsonl").write_text(json.dumps({"question": "2 + 2?", "answer": "The answer is 4."}))
    with pytest.raises(UsageError, match=r"exists with other settings \(file of examples"):
        CliRunner().invoke(app, ["loop", str(file)], catch_exceptions=False)


def test_dev_and_reported_sets_with_shared_questions_are_refused_first(file: Path) -> None:
    evaluation("mostly-dev", ["What is 3 + 50?", "What is 8 + 90?"])
    with pytest.raises(UsageError, match=r"\[dev\] and \[evaluate\] share 1 questions"):
        CliRunner().invoke(app, ["loop", str(file), "--set", 'dev.jobs=["mostly-dev"]'], catch_exceptions=False)
    assert taught() == []
    assert value("select count(*) from loops") == 0


def test_loops_are_listed_and_shown_at_eighty_columns(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with simulated_processes(monkeypatch, accepted):
        tracemill("loop", file)
    monkeypatch.setattr("cli.output.console.width", 80)
    for words in (["loops"], ["loops", "list"], ["loops", "show", "star"], ["loop", str(file)]):
        printed = CliRunner().invoke(app, words).stdout
        assert max(map(len, printed.splitlines())) <= 80
        assert "star" in printed
        assert "…" not in printed
    assert job_state("star-1-attempt") == "done"
    (row,) = tracemill("loops", "list")
    assert (row["loop"], row["state"], row["round"]) == ("star", "done", 3)


def test_a_loop_that_is_not_there_is_named(clean: Stack) -> None:
    with pytest.raises(UsageError, match=r"no loop 'stra'\. Loops: none yet"):
        CliRunner().invoke(app, ["loops", "show", "stra"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("./none", [], "model alias 'student': ./none is not a model folder"),
        (
            "",
            ["attempt.max_tokens=9999", "evaluate.jobs=[]", 'evaluate.benchmarks=["words:?size=4"]'],
            "max_tokens = 9999",
        ),
    ],
)
def test_a_loop_that_cannot_start_stores_no_question(
    file: Path, monkeypatch: pytest.MonkeyPatch, model: str, changes: list[str], message: str
) -> None:
    if model:
        monkeypatch.setenv("TRACEMILL_MODELS", json.dumps({"student": {"model": model}}))
        forget()
    before = value("select count(*) from questions")
    options = [word for change in changes for word in ("--set", change)]
    refused = CliRunner().invoke(app, ["loop", str(file), "--no-wait", *options])
    assert isinstance(refused.exception, UsageError)
    assert message in str(refused.exception)
    assert value("select count(*) from questions") == before
