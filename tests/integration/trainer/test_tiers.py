"""`tracemill rounds tiers`: a tier's answers are an evaluate job of a worker of its own; the model is scripted."""

import json

import pytest
from sqlalchemy import text

from db.session import transaction
from tests.integration.factory import Processes, rows, value, wait_until
from tests.integration.measured import benchmark, measured, teach
from tests.integration.scripted import Teacher, command

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stored(processes: Processes) -> None:
    """Round r1, which is measured on eight questions. No trainer ran, so there are no weights."""
    with transaction() as connection:
        traces = teach(connection)
        benchmark(connection, "held-out", [False] * 8, template="What is {n} + 1?")
        measured(connection, "r1", {"held-out": [True] * 8}, traces)
        connection.execute(text("update questions set gold = substring(question from '[0-9]+')::int + 1"))


def test_a_tier_is_measured_once_and_its_settings_are_recorded(
    stored: None, factory: Processes, teacher: Teacher
) -> None:
    wait_until(lambda: value("select count(*) from processes where kind = 'producer'") == 1, 120)
    words = ("rounds", "tiers", "r1", "--formats", "bf16", "--limit", "6", "--hourly", "3.6", "--json")
    done = command(factory, *words, seconds=300)
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)
    (tier,) = output["tiers"]
    assert (tier["tier"], tier["job"], tier["questions"]) == ("teacher-bf16", "r1/teacher-bf16/held-out-first-6", 6)
    assert tier["over"] == "questions"
    assert tier["seconds"] > 0
    assert tier["tokens_per_second"] == pytest.approx(tier["tokens_out"] / tier["seconds"])
    right = tier["accuracy"]["value"] * 6
    assert right == 6
    assert tier["cost_per_right"] == pytest.approx(tier["seconds"] * 0.001 / right)
    assert tier["footprint"]["memory"] > 2**20
    assert set(output["not_tried_here"]) == {"adapter-bf16", "merged-bf16"}
    job = rows("select purpose, model, round_id, samples, sampling from jobs where name = :name", name=tier["job"])
    assert [tuple(row)[:4] for row in job] == [("evaluate", "tier.r1.teacher-bf16", None, 1)]
    (settings,) = rows("select settings from job_models where job = :name", name=tier["job"])
    assert settings.settings["engine"] == "openai"

    requests = teacher.n_requests
    again = command(factory, *words, seconds=300)
    assert json.loads(again.stdout)["tiers"] == output["tiers"]
    assert teacher.n_requests == requests
    # Its worker has left.
    alive = "select count(*) from processes where queues::text like '%tier.%' and not is_hidden"
    assert value(alive) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["r1", "--formats", "bf16,int3"], "there is no format 'int3'. Formats: bf16, int8, fp8, int4"),
        (["r1", "--teacher", "nobody"], "unknown model alias 'nobody'"),
        (["r7"], "no round 'r7'"),
    ],
)
def test_a_wrong_request_is_refused_before_a_worker_starts(factory: Processes, words: list[str], message: str) -> None:
    done = command(factory, "rounds", "tiers", *words)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
