"""The recipes, and rounds that open their teaching jobs. Threads replace the workers (`players.py`)."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import app
from tests import ROOT
from tests.conftest import forget
from tests.hub import Hub
from tests.integration.factory import rows, value
from tests.integration.players import simulated_processes
from tracemill.errors import UsageError
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

RECIPES = sorted(path for path in (ROOT / "recipes").glob("*.toml") if path.name != "tracemill.toml")


@pytest.fixture(autouse=True)
def _models(clean: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings for the recipes."""
    monkeypatch.setenv("TRACEMILL_CONFIG", str(ROOT / "recipes" / "tracemill.toml"))
    forget()
    yield
    forget()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "sums.jsonl"
    sums = ({"question": f"How much is {n} and one more?", "gold": str(n + 1)} for n in range(6))
    file.write_text("\n".join(map(json.dumps, sums)))
    return file


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


def command(recipe: Path) -> str:
    return "loop" if "[attempt]" in recipe.read_text() else "train"


def accepted(name: str, index: int, count: int) -> bool:
    return index % 2 == 0


def test_there_is_a_recipe_for_every_way() -> None:
    assert {path.stem for path in RECIPES} == {
        *("arc-choice", "gsm8k-contrast", "gsm8k-cot", "gsm8k-logits", "gsm8k-orca", "gsm8k-star", "gsm8k-stepwise"),
        "mbpp-code",
    }


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_states_its_requests_and_its_needs(recipe: Path) -> None:
    done = run(command(recipe), recipe, "--dry-run", "--json")
    assert done.exception is None, done.output
    plan = json.loads(done.stdout)
    assert plan["teach"]
    assert plan["evaluate"]
    assert value("select count(*) from jobs") == 0
    head = recipe.read_text().split("\nname")[0]
    assert "GPU: one of" in head
    assert "not measured" in head


def test_a_round_opens_its_teaching_jobs_and_learns_from_their_traces(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = source.parent / "held-out.jsonl"
    held_out.write_text(json.dumps({"question": "7 times 8?", "gold": "56"}))
    changes = [f"teach.0.source={source}", "teach.0.map={}", f'evaluate.benchmarks=["{held_out}"]']
    words = [part for change in changes for part in ("--set", change)]
    with simulated_processes(monkeypatch, accepted):
        done = run("train", ROOT / "recipes" / "gsm8k-cot.toml", *words, "--json")
    assert done.exception is None, done.output
    assert json.loads(done.stdout)["state"] == "done"
    learnt = rows("select distinct job, teacher, question from round_lineage where round = 'gsm8k-cot'")
    assert {(row.job, row.teacher) for row in learnt} == {("gsm8k-train-cot", "teacher")}
    assert len(learnt) == 3
    assert value("select count(*) from jobs where purpose = 'teach'") == 1


def test_a_round_is_uploaded_to_the_hub_on_request(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = source.parent / "held-out.jsonl"
    held_out.write_text(json.dumps({"question": "7 times 8?", "gold": "56"}))
    changes = [f"teach.0.source={source}", "teach.0.map={}", f'evaluate.benchmarks=["{held_out}"]']
    words = [part for change in changes for part in ("--set", change)]
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    with simulated_processes(monkeypatch, accepted):
        done = run("train", ROOT / "recipes" / "gsm8k-cot.toml", *words, "--push", "me/mine", "--json")
    assert done.exception is None, done.output
    assert json.loads(done.stdout)["hub"] == "hub/me/mine"
    assert Hub.calls[:2] == [("token", "secret"), ("me/mine", True)]


@pytest.mark.parametrize(
    ("token", "words", "message"),
    [
        ("", ["--push", "me/mine"], "HF_TOKEN"),
        ("secret", ["--push", "not a name"], "no name of a repository"),
        ("secret", ["--push", "me/mine", "--no-wait"], "remove --no-wait"),
        ("secret", ["--public"], "--push OWNER/NAME"),
    ],
)
def test_a_push_that_cannot_work_is_refused_before_any_request(
    token: str, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    done = run("train", ROOT / "recipes" / "gsm8k-cot.toml", *words)
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)
    assert value("select count(*) from jobs") == 0


def test_a_teaching_job_can_ask_the_failed_questions_of_another(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source.parent / "round.toml").write_text(
        f"""
        name = "hinted"
        [[teach]]
        name = "plain"
        source = "{source}"
        [[teach]]
        name = "hinted"
        source = "job:plain?failed"
        method = "rationalize"
        [evaluate]
        benchmarks = ["{source.parent}/held-out.jsonl"]
        """
    )
    (source.parent / "held-out.jsonl").write_text(json.dumps({"question": "7 times 8?", "gold": "56"}))
    with simulated_processes(monkeypatch, accepted):
        done = run("train", source.parent / "round.toml")
    assert done.exception is None, done.output
    query = "select j.name, count(*) as questions from jobs j join job_questions q on q.job_id = j.id "
    counts = {row.name: row.questions for row in rows(query + "where purpose = 'teach' group by 1")}
    assert counts == {"plain": 6, "hinted": 3}
    assert {row.job for row in rows("select distinct job from round_lineage")} == {"plain", "hinted"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["teach.0.model=nobody"], "nobody"),
        (["teach.0.method=shouting"], "unknown method 'shouting'"),
        (["teach.0.enough=9"], "enough = 9 is more than the 4 traces"),
        (["teach.0.samples=0"], "teach.0.samples"),
        (["teach.7.samples=1"], "there is no such key"),
        (["teach.0.examples=none.jsonl"], "no such file"),
        (["student=teacher"], "cannot serve an adapter"),
        (["fit.objective=luck"], "there is no objective 'luck'"),
        (["nonsense"], "write KEY=VALUE"),
    ],
)
def test_a_wrong_recipe_is_refused_before_any_request(changes: list[str], message: str) -> None:
    words = [part for change in changes for part in ("--set", change)]
    done = run("train", ROOT / "recipes" / "gsm8k-cot.toml", *words)
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)
    assert value("select count(*) from jobs") == 0


def test_a_wrong_second_job_is_refused_before_the_first_one_is_opened(source: Path) -> None:
    changes = ("--set", f"teach.0.source={source}", "--set", "teach.0.map={}", "--set", "teach.1.method=shouting")
    done = run("train", ROOT / "recipes" / "gsm8k-contrast.toml", *changes)
    assert "unknown method 'shouting'" in str(done.exception)
    assert value("select count(*) from jobs") == 0


@pytest.mark.parametrize("missing", ["teach.1.source=nowhere.jsonl", "evaluate.benchmarks.1=nowhere.jsonl"])
def test_a_missing_source_is_refused_before_the_first_job_is_opened(missing: str, source: Path) -> None:
    (source.parent / "round.toml").write_text(
        f"""
        name = "two"
        [[teach]]
        name = "first"
        source = "{source}"
        [[teach]]
        name = "second"
        source = "{source}"
        [evaluate]
        benchmarks = ["{source}", "{source}"]
        """
    )
    done = run("train", source.parent / "round.toml", "--set", missing)
    assert "nowhere.jsonl" in str(done.exception)
    assert value("select count(*) from jobs") == 0
