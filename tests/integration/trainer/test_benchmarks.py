"""Benchmarks of a ROUND.toml: opened as evaluation jobs once for any number of rounds."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from producer.sources import benchmarks as named
from producer.sources import open_source
from tests.integration.factory import rows, value
from tests.integration.rounds import round_spec
from tracemill.errors import UsageError
from tracemill.stack import Stack
from trainer.benchmarks import open_benchmarks, with_benchmarks
from trainer.spec import RoundSpec

pytestmark = pytest.mark.integration


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "sums.jsonl"
    path.write_text("\n".join(json.dumps({"question": f"{n} + 1?", "answer": str(n + 1)}) for n in range(5)))
    return str(path)


def spec_of(source: str, name: str = "r1", **evaluate: object) -> RoundSpec:
    whole = round_spec(name).model_dump() | {"evaluate": {"benchmarks": [source], **evaluate}}
    return RoundSpec.model_validate(whole)


def test_a_benchmark_becomes_an_evaluation_job_of_the_student(clean: Stack, source: str) -> None:
    opened = open_benchmarks(spec_of(source, jobs=["mine"]))
    assert opened.evaluate.jobs == ["mine", "sums-student"]
    jobs = rows("select purpose, model, state, sampling->>'temperature', round_id from jobs")
    assert list(map(tuple, jobs)) == [("evaluate", "student", "running", "0.0", None)]
    assert value("select count(*) from job_questions") == 5


def test_rounds_share_a_benchmark_that_they_ask_alike(clean: Stack, source: str) -> None:
    first, second = open_benchmarks(spec_of(source)), open_benchmarks(spec_of(source, "r2"))
    assert first.evaluate == second.evaluate
    assert open_benchmarks(first) == first  # the stored round
    assert value("select count(*) from jobs") == 1


def test_part_of_a_benchmark_and_several_samples_are_jobs_of_their_own(clean: Stack, source: str) -> None:
    open_benchmarks(spec_of(source))
    part = open_benchmarks(spec_of(source, limit=2, samples=4, temperature=0.7))
    assert part.evaluate.jobs == ["sums-student-first-2-x4"]
    counts = rows("select j.name, count(*) from jobs j join job_questions q on q.job_id = j.id group by 1 order by 1")
    assert list(map(tuple, counts)) == [("sums-student", 5), ("sums-student-first-2-x4", 2)]


def test_a_benchmark_job_with_other_settings_is_refused(clean: Stack, source: str) -> None:
    open_benchmarks(spec_of(source))
    with pytest.raises(UsageError, match="sums-student"):
        open_benchmarks(spec_of(source, max_tokens=64))


def test_naming_the_jobs_of_benchmarks_opens_none(clean: Stack, source: str) -> None:
    assert with_benchmarks(spec_of(source)).evaluate.jobs == ["sums-student"]
    assert value("select count(*) from jobs") == 0


def test_a_benchmark_that_is_not_there_is_named(clean: Stack) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.jsonl"):
        open_benchmarks(spec_of("nowhere.jsonl"))


def test_no_benchmark_is_opened_before_all_sources_can_be_read(clean: Stack, source: str) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.jsonl"):
        open_benchmarks(spec_of(source, benchmarks=[source, "nowhere.jsonl"]))
    assert value("select count(*) from jobs") == 0


def test_a_known_name_stands_for_its_source_and_its_columns(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(source).write_text('{"problem": "2 + 2?", "answer": "4", "solution": "It is 4."}')
    kept = named.BENCHMARKS["math-500"]
    monkeypatch.setitem(named.BENCHMARKS, "math-500", kept._replace(source=source))
    (question,) = open_source("math-500", mapping={})
    assert (question.text, question.gold) == ("2 + 2?", "4")


ROUND = """
name = "r1"
[[teach]]
name = "teach"
source = "{source}"
"""
LOOP = """
name = "star"
[attempt]
source = "{source}"
"""


@pytest.mark.parametrize(("command", "file"), [("train", ROUND), ("loop", LOOP)])
@pytest.mark.parametrize(
    ("evaluate", "problem"),
    [
        ('benchmarks = ["nowhere.jsonl"]', "there is no file nowhere.jsonl"),
        ('jobs = ["nowhere"]', "evaluate.jobs: there is no job 'nowhere'"),
    ],
)
def test_a_wrong_evaluation_is_refused_before_anything_is_taught(
    clean: Stack, source: str, command: str, file: str, evaluate: str, problem: str
) -> None:
    path = Path(source).with_name("file.toml")
    path.write_text(f"{file.format(source=source)}[evaluate]\n{evaluate}\n")
    error = CliRunner().invoke(app, [command, str(path), "--no-wait"]).exception
    assert isinstance(error, UsageError)
    assert problem in str(error)
    assert value("select count(*) from jobs") == 0
