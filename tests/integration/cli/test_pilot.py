"""`tracemill pilot` with a scripted model: its forecast, its arms as ordinary jobs, and wrong use."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

import pytest

from db.question_figures import FIRST_QUESTIONS, useless_traces
from db.session import transaction
from tests.conftest import empty, forget
from tests.in_process import here
from tests.integration.factory import Processes, change, rows, value
from tests.integration.rounds import finish, job, question, trace
from tests.scripted_server import ScriptedServer
from tracemill.settings import settings
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

SETTINGS = """
verify_concurrency = 1
[models.teacher]
engine = "openai"
openai.base_url = "{url}"
model = "scripted"
price_in = 1.0
price_out = 10.0
[methods.short]
user = "Be short. {{question}}"
[feeder]
interval_seconds = 0.2
"""
QUESTIONS, SAMPLE = 40, 10
WORDS = (
    "pilot",
    "sums.jsonl",
    "--method",
    "cot",
    "--method",
    "short",
    "--questions",
    str(SAMPLE),
    "--max-tokens",
    "20",
)


def answer(prompt: str) -> list[str]:
    """Derivations, half of them right; bare answers, and one that is cut off, to a prompt for short ones."""
    match = re.search(r"What is (\d+) \+ 1\?", prompt)
    n = int(match[1]) if match else 0
    if prompt.startswith("Be short."):
        return [f"The answer is {n + 1}.", "so " * 30]
    return [f"{n} + 1 = {n + 1}. The answer is {n + 1}.", f"{n} + 1 = {n + 1}. The answer is {n}."]


class World(NamedTuple):
    """A folder with 40 questions, and a pilot of two arms that has ended."""

    folder: Path
    first: CompletedProcess[str]

    def run(self, *words: str) -> CompletedProcess[str]:
        return here(self.folder, *words, **variables())


def variables() -> dict[str, str]:
    return {"TRACEMILL_DATA_DIR": str(settings().data_dir.absolute())}


@pytest.fixture(scope="module")
def world(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("pilot")
    levels = ({"question": f"What is {n} + 1?", "gold": str(n + 1), "level": 1 + n % 2} for n in range(QUESTIONS))
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in levels))
    empty(stack)
    with ScriptedServer(answer) as server:
        config = folder / "tracemill.toml"
        config.write_text(SETTINGS.format(url=server.base_url))
        processes = Processes(folder, {"TRACEMILL_CONFIG": str(config)})
        try:
            processes.start("producer", "producer")
            processes.start("generate", "worker", "generate", "--model", "teacher")
            processes.start("verify", "worker", "verify")
            first = here(folder, *WORDS, "--json", **variables())
        finally:
            processes.stop_all()
    yield World(folder, first)
    forget()


def test_arms_answer_the_same_questions_as_ordinary_jobs(world: World) -> None:
    assert world.first.returncode == 0, world.first.stderr
    arms = rows("select job, purpose, state, done, traces from job_progress where job like 'sums:%' order by 1")
    assert arms == [(f"sums:teacher-{name}", "teach", "done", SAMPLE, 4 * SAMPLE) for name in ("cot", "short")]
    assert value("select count(distinct question_id) from trace_scores where job like 'sums:%'") == SAMPLE


def test_the_forecast_agrees_with_the_stored_traces(world: World) -> None:
    result = json.loads(world.first.stdout)
    assert (result["pilot"], result["questions"], result["of"]) == ("sums", SAMPLE, QUESTIONS)
    assert result["strata"] == {"1": SAMPLE // 2, "2": SAMPLE // 2}
    for arm in result["arms"]:
        (row,) = rows(
            "select p.accepted::float / p.traces as accepted, p.tokens_out / 10.0 * 40 as tokens, p.cost / 10 * 40 as "
            "cost, p.engine_seconds / 10 * 40 as seconds, (select avg((finish_reason = 'length')::int) from "
            "trace_scores t where t.job = p.job) as cut_off from job_progress p where job = :job",
            job=arm["job"],
        )
        assert arm["accepted_share"]["value"] == pytest.approx(row.accepted)
        assert arm["tokens"]["value"] == pytest.approx(float(row.tokens))
        assert arm["cost"]["value"] == pytest.approx(row.cost)
        assert arm["engine_seconds"]["value"] == pytest.approx(row.seconds)
        assert arm["cut_off"]["value"] == pytest.approx(float(row.cut_off))
        assert arm["tokens"]["low"] <= arm["tokens"]["value"] <= arm["tokens"]["high"]
    cot, short = result["arms"]
    assert (cot["bare"]["value"], cot["malformed"]["value"]) == (0, 0)
    assert (short["bare"]["value"], short["cut_off"]["value"], short["malformed"]["value"]) == (0.5, 0.5, 0.5)


def test_the_same_command_asks_nothing_again_and_fits_80_columns(world: World) -> None:
    before = value("select count(*) from traces")
    ended = world.run(*WORDS)
    assert ended.returncode == 0, ended.stderr
    assert value("select count(*) from traces") == before
    assert max(map(len, ended.stdout.split("take sums:")[0].splitlines())) <= 80
    assert re.search(r"│ teacher-short │ +50 \[\d+\.\d, \d+\.\d\] │", ended.stdout)
    assert re.search(r"^take sums:teacher-(cot|short): its accepted traces are cheapest, by cost$", ended.stdout, re.M)
    picture = settings().data_dir / "pilots" / "sums.svg"
    assert "malformed" in picture.read_text()


def test_a_job_like_an_arm_has_its_settings(world: World) -> None:
    ended = world.run("enqueue", "sums.jsonl", "--like", "sums:teacher-short", "--name", "like", "--enough", "2")
    assert ended.returncode == 0, ended.stderr
    columns = "model, method, samples, sampling, policy, verifier, purpose, source, source_options"
    arm, like = rows(f"select {columns} from jobs where name in ('sums:teacher-short', 'like') order by id")
    assert like == arm
    assert value("select count(distinct prompt_hash) from job_prompts p join jobs j on j.id = p.job_id "
                 "where name in ('sums:teacher-short', 'like') and domain = 'math'") == 1  # fmt: skip
    assert rows(
        "select j.enough, j.batch, p.questions from jobs j join job_progress p on p.job = j.name where j.name = 'like'"
    ) == [(2, 1, QUESTIONS)]


def test_arms_can_be_deleted(world: World) -> None:
    change("insert into jobs select (jsonb_populate_record(j, '{\"id\": 900, \"name\": \"gone:teacher-cot\"}')).* "
           "from jobs j where name = 'sums:teacher-cot'")  # fmt: skip
    ended = world.run("jobs", "delete", "gone:teacher-cot", "--yes")
    assert (ended.returncode, ended.stdout) == (0, "gone:teacher-cot is deleted: 0 traces\n")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("pilot sums.jsonl --model techer", "unknown model alias 'techer'"),
        ("pilot sums.jsonl --method magic", "unknown method 'magic'"),
        ("pilot missing.jsonl", "missing.jsonl"),
        ("pilot sums.jsonl --limit 4", "4 readable questions in it, and a pilot needs 5"),
        ("pilot job:sums:teacher-cot", "a pilot draws its questions from a source, not from another job"),
        ("pilot sums.jsonl --samples 2", "exists with other settings (samples: 4, not 2)"),
        ("pilot sums.jsonl --name a:b", "use letters, digits"),
        ("pilot sums.jsonl --picture a.gif", "must end in .svg or .png"),
        ("enqueue sums.jsonl --like sums:teacher-magic", "no job 'sums:teacher-magic'"),
        ("enqueue sums.jsonl --like sums:teacher-cot --samples 8", "--like sums:teacher-cot and --samples exclude"),
        (
            "enqueue sums.jsonl --like sums:teacher-cot --escalate student",
            "--like sums:teacher-cot and --escalate exclude",
        ),
        ("enqueue sums.jsonl --like sums:teacher-cot --enough 5 --name x", "more than the 4 traces"),
    ],
)
def test_wrong_use_of_a_pilot_stores_nothing(world: World, words: str, error: str) -> None:
    before = value("select count(*) from jobs")
    more = ("--max-tokens", "20") if "--samples 2" in words else ()
    ended = world.run(*words.split(), *more)
    assert ended.returncode == 2, ended.stdout
    assert error in ended.stderr
    assert value("select count(*) from jobs") == before


def stored(name: str, questions: int, bare: int, cut_off: int = 0) -> None:
    """Store a job that is done, with one trace a question; the first ones derive nothing or are cut off."""
    with transaction() as connection:
        ids = [question(connection, f"{name} {n}", name) for n in range(questions)]
        job_id = job(connection, name, ids)
        traces = [trace(connection, job_id, each, "The answer is 1.") for each in ids]
        bare_ids, cut_off_ids = traces[:bare], traces[bare : bare + cut_off]
        for statement, chosen in (
            ("update verdicts set steps = 1, equations_checked = 1 where trace_id = any(%s)", traces),
            ("update verdicts set equations_checked = 0 where trace_id = any(%s)", bare_ids + cut_off_ids),
            ("update traces set finish_reason = 'length' where id = any(%s)", cut_off_ids),
        ):
            connection.exec_driver_sql(statement, (chosen,))
        finish(connection, job_id)


def test_useless_traces_are_reported_once_fifty_questions_are_in(world: World) -> None:
    stored("early", FIRST_QUESTIONS - 1, FIRST_QUESTIONS - 1)
    stored("good", FIRST_QUESTIONS, 6, 4)
    stored("bare", FIRST_QUESTIONS + 10, 7, 4)
    assert (useless_traces("early"), useless_traces("good")) == (None, None)
    warning = useless_traces("bare")
    assert warning is not None
    assert "of the first 50 traces of job bare, 14% derive nothing and 8% are cut off" in warning
    for words in (("jobs", "watch", "bare"), ("jobs", "show", "bare")):
        assert warning in " ".join(world.run(*words).stdout.split())
    change(
        "update jobs set source = 'sums.jsonl', source_options = "
        "(select source_options from jobs where name = 'sums:teacher-cot') where name = 'bare'"
    )
    again = world.run("enqueue", "sums.jsonl", "--like", "bare", "--name", "bare")
    assert warning in " ".join(again.stderr.split())
