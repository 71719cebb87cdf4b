"""A round's evaluations: counted by question, paired, and traced to the training examples."""

import json
import re

import psycopg
import pytest
from pydantic import ValidationError
from sqlalchemy import text
from typer.testing import CliRunner

from cli.main import app
from db import migrate
from db.queries import Q
from db.session import transaction
from tests import ROOT
from tests.integration.factory import rows as factory_rows
from tests.integration.measured import benchmark, evaluate, measured, teach
from tests.integration.rounds import ASK, TEACH, finish, job, new_round, question, round_spec, trace
from tracemill.errors import UsageError
from tracemill.settings import settings
from tracemill.stack import Stack
from tracemill.statistics import mean_share, share
from trainer.benchmarks import open_benchmarks
from trainer.compare import OverSeeds
from trainer.evaluate import measure
from trainer.report.facts import facts
from trainer.spec import RoundSpec

pytestmark = pytest.mark.integration

#: Right before and after: both, lost, gained, neither.
BEFORE = [True] * 3 + [True] * 1 + [False] * 9 + [False] * 7
AFTER = [True] * 3 + [False] * 1 + [True] * 9 + [False] * 7


@pytest.fixture
def rounds(clean: Stack) -> list[int]:
    """Rounds `good` and `control`, measured on `sums`, and their training traces."""
    with transaction() as connection:
        traces = teach(connection)
        benchmark(connection, "sums", BEFORE)
        measured(connection, "good", {"sums": AFTER}, traces)
        measured(connection, "control", {"sums": BEFORE}, traces[:3])
    return traces


def ask(query: str, **values: object) -> list[dict[str, object]]:
    """The rows for an SQL user with access to the views only."""
    url = settings().reader_url
    assert url is not None
    with psycopg.connect(url.get_secret_value(), row_factory=psycopg.rows.dict_row) as connection:
        return connection.execute(query.encode(), values).fetchall()


def shown(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


def documented(section: str) -> list[str]:
    """The queries of a section of docs/training.md."""
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    (part,) = (part for part in page.split("\n## ") if part.startswith(f"{section}\n"))
    return re.findall(r"```sql\n(.*?)```", part, re.DOTALL)


def test_one_query_lists_the_training_traces_behind_a_flip(rounds: list[int]) -> None:
    flipped = ask("select question_id from round_flips where round = 'good' and flip = 'gained' limit 1")[0]
    result = ask(documented("Lineage")[0].replace("17", str(flipped["question_id"])))
    assert [row["trace_id"] for row in result] == rounds
    assert {row["teacher"] for row in result} == {"teacher"}
    assert {row["adapter_path"] for row in result} == {"/adapters/good"}
    assert result[0]["teacher_prompt"] == list(TEACH.messages)
    assert (result[0]["teacher_prompt_hash"], result[0]["student_prompt_hash"]) == (TEACH.hash, ASK.hash)
    assert result[0]["text"] == "0 + 1 = 1. The answer is 1."


def test_one_query_lists_the_flips_after_training_on_a_trace(rounds: list[int]) -> None:
    flips = ask(documented("Lineage")[1].replace("= 4 ", f"= {rounds[0]} "))
    assert sorted(str(row["flip"]) for row in flips) == ["gained"] * 9 + ["lost"]


def test_the_documented_breakdown_runs(rounds: list[int]) -> None:
    (query,) = documented("Evaluation")
    result = ask(query.replace("round-1", "good"))
    assert [(row["stage"], row["questions"], float(str(row["accuracy"]))) for row in result] == [
        ("before", 20, 0.2),
        ("after", 20, 0.6),
    ]


def test_a_flip_shows_both_traces(rounds: list[int]) -> None:
    flips = ask("select flip, before_text, after_text from round_flips where round = 'good'")
    gained = {"flip": "gained", "before_text": "base says wrong", "after_text": "good says right"}
    assert sorted((row["flip"] for row in flips), key=str) == ["gained"] * 9 + ["lost"]
    assert gained in flips
    assert ask("select * from round_flips where round = 'control'") == []


def test_results_are_broken_down_by_difficulty_and_length_and_add_up(clean: Stack) -> None:
    with transaction() as connection:
        benchmark(connection, "sums", [True, False, True])
        other = job(connection, "other", [])
        questions = connection.execute(text("select id from questions order by id")).scalars().all()
        for question_id, right in zip(questions, (True, False), strict=False):
            trace(connection, other, question_id, "?", accepted=right)
        connection.execute(
            text("update questions set question = repeat('word ', 50) where id = :id"), {"id": questions[2]}
        )
        connection.execute(
            text('update questions set meta = \'{"level": "Level 4"}\' where id = :id'), {"id": questions[2]}
        )
        measured(connection, "r", {"sums": [True, True, False]}, [])
    result = ask("select * from round_results where stage = 'after' order by length, difficulty")
    cells = [(row["difficulty"], row["length"], row["questions"], row["correct"]) for row in result]
    assert cells == [("level 4", "medium", 1, 0), ("easy", "short", 1, 1), ("hard", "short", 1, 1)]
    assert (result[0]["low"], result[0]["high"]) == pytest.approx(share(0, 1)[1:])


def test_the_measured_answers_do_not_set_a_questions_difficulty(rounds: list[int]) -> None:
    assert ask("select distinct difficulty from round_results") == [{"difficulty": "unknown"}]


def test_several_samples_are_measured_as_pass_at_k_and_majority_at_k(clean: Stack) -> None:
    with transaction() as connection:
        questions = [question(connection, f"What is {n} + 50?") for n in range(3)]
        job_id = job(connection, "four", questions, evaluate=True)
        connection.execute(text("update jobs set samples = 4 where id = :id"), {"id": job_id})
        for index, (first, second) in enumerate(((True, False), (False, False), (True, False), (True, True))):
            trace(connection, job_id, questions[0], "a", index=index, accepted=first)
            trace(connection, job_id, questions[1], "b", index=index, accepted=second)
        connection.execute(text("update traces set answer = id::text, tokens_out = 10"))
        connection.execute(text("update verdicts set steps = 2"))
        finish(connection, job_id)
        measures = measure(connection, dict(connection.execute(Q["job_by_name"], {"name": "four"}).mappings().one()))
    # 3, 1 and no samples of 4 are right; the third question has no answer at all.
    assert json.loads(measures["pass_at"]) == pytest.approx({"1": 1 / 3, "2": (1 + 1 / 2 + 0) / 3, "4": 2 / 3})
    # The first, the first two, and all four: of the first question a tie of two, then three of four are right.
    assert json.loads(measures["majority_at"]) == pytest.approx({"1": 1 / 3, "2": 1 / 6, "4": (1 + 1 / 4 + 0) / 3})
    assert (measures["questions"], measures["correct"], measures["steps"], measures["tokens_out"]) == (3, 1, 2, 10)
    # The accuracy is the mean of 3/4, 1/4 and 0, over questions.
    interval = (measures["accuracy"], measures["low"], measures["high"])
    assert interval == pytest.approx(mean_share(3, 1.0, 10 / 16, 4))


def test_rounds_are_compared_on_the_questions_that_both_answered(rounds: list[int]) -> None:
    output = json.loads(shown("rounds", "compare", "control", "good", "--json"))
    (sums,) = output["benchmarks"]
    assert (sums["benchmark"], sums["questions"]) == ("sums", 20)
    assert (sums["first"]["value"], sums["second"]["value"]) == pytest.approx((0.2, 0.6))
    assert sums["difference"]["value"] == pytest.approx(0.4)
    assert 0 < sums["difference"]["low"] < 0.4 < sums["difference"]["high"]
    assert (sums["only_first"], sums["only_second"]) == (1, 9)
    assert sums["p"] == pytest.approx(2 * (1 + 10) / 2**10)
    printed = shown("rounds", "compare", "control", "good")
    assert "sums: +40.0 points [" in printed
    assert "p = 0.021: more than chance" in printed


def test_compared_rounds_list_their_different_settings(rounds: list[int]) -> None:
    with transaction() as connection:
        measured(connection, "capped", {"sums": AFTER}, rounds, select={"limit": 5})
    output = json.loads(shown("rounds", "compare", "good", "capped", "--json"))
    assert output["settings"] == [{"key": "select.limit", "first": 0, "second": 5}]
    assert "no difference is shown" in shown("rounds", "compare", "good", "capped")


@pytest.fixture
def seeds(rounds: list[int]) -> None:
    """Two recipes with seeds 1 and 2: `good-1`, `good-2`, and their controls."""
    gains = {"good-1": 12, "good-2": 14, "good-1-control": 8, "good-2-control": 6}
    with transaction() as connection:
        for name, right in gains.items():
            select: dict[str, object] = {"seed": int(name[5]), "limit": 6}
            if name.endswith("control"):
                select |= {"accepted": "any", "like": name.removesuffix("-control")}
            measured(connection, name, {"sums": [n < right for n in range(20)]}, rounds, select=select)


def test_recipes_are_compared_over_their_seeds(seeds: None) -> None:
    arms = ("good-1-control,good-2-control", "good-1,good-2")
    output = json.loads(shown("rounds", "compare", *arms, "--json"))
    (sums,) = output["benchmarks"]
    assert (sums["seeds"], sums["over"]) == (2, "seeds")
    assert (sums["firsts"], sums["seconds"]) == ([0.4, 0.3], [0.6, 0.7])
    # 20 and 40 points: a mean of 30 whose standard error is 10, times Student's quantile 12.706.
    assert sums["difference"] == pytest.approx({"value": 0.3, "low": 0.3 - 1.2706, "high": 0.3 + 1.2706}, abs=1e-4)
    assert [each["key"] for each in output["settings"]] == ["select.accepted", "select.like"]
    printed = shown("rounds", "compare", *arms)
    assert "sums: +30.0 points [-97.1, +157.1] over 2 seeds, p = 0.205: no difference is shown" in printed
    assert "over questions" not in printed
    alone = shown("rounds", "compare", "good-1-control", "good-1")
    assert "over 20 questions" in alone
    assert "Other seeds would give other students" in alone


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("good-1,good-2", "control", "2 and 1 rounds cannot be paired"),
        (
            "good-1,good-2",
            "control,capped",
            "control and capped are not two seeds of one recipe: they differ in select.limit",
        ),
        ("good-1,good-2", "control,good", "they have the same seeds"),
        ("good-1,goof", "control,good", "goof"),
    ],
)
def test_lists_of_rounds_must_be_seeds_of_one_recipe(
    seeds: None, rounds: list[int], first: str, second: str, message: str
) -> None:
    with transaction() as connection:
        measured(connection, "capped", {"sums": AFTER}, rounds, select={"limit": 5, "seed": 3})
    done = CliRunner().invoke(app, ["rounds", "compare", first, second])
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception).replace("'", "")


def test_a_report_reads_the_seeds_of_its_recipe(seeds: None) -> None:
    with transaction() as connection:
        of_a_seed, of_one_run = (facts(connection, connection, name) for name in ("good-1", "good-1-control"))
    assert of_a_seed.seeds == ["good-1", "good-2"]
    assert of_a_seed.over_seeds == OverSeeds("all benchmarks", (0.2, 0.2), (0.6, 0.7))
    assert of_a_seed.control_over_seeds == OverSeeds("all benchmarks", (0.4, 0.3), (0.6, 0.7))
    assert (of_one_run.seeds, of_one_run.control_over_seeds) == (["good-1-control", "good-2-control"], None)


@pytest.fixture
def chosen(rounds: list[int]) -> None:
    """Two rounds that are reported on `sums` and chosen by `words`, on which only the second one gained."""
    with transaction() as connection:
        benchmark(connection, "words", [False] * 8, template="How many are {n} apples?")
        for name, right in (("low", 0), ("high", 8)):
            content = round_spec(name).model_dump() | {"evaluate": {"jobs": ["sums"]}, "dev": {"jobs": ["words"]}}
            spec = RoundSpec.model_validate(content)
            after = {"sums": AFTER, "words": [n < right for n in range(8)]}
            evaluate(connection, new_round(connection, spec), spec, after)


def test_rounds_are_chosen_by_the_dev_set_and_reported_on_another(chosen: None) -> None:
    reported, dev = (
        json.loads(shown("rounds", "compare", "low", "high", *flag, "--json"))["benchmarks"]
        for flag in ((), ("--dev",))
    )
    assert [each["benchmark"] for each in (*reported, *dev)] == ["sums", "words"]
    assert dev[0]["difference"]["value"] == 1.0
    assert "To choose by, not to report: words" in shown("rounds", "show", "high")
    with transaction() as connection:
        figures = facts(connection, connection, "high")
    assert (figures.whole.questions, figures.flipped) == (20, {"gained": 9, "lost": 1})
    assert {each["benchmark"] for each in figures.evaluations} == {"sums"}
    assert sum(cell.questions for cell in figures.breakdown["domain"]) == 20
    done = CliRunner().invoke(app, ["rounds", "compare", "low", "good", "--dev"])
    assert "no [dev] set in common" in str(done.exception)


def test_a_dev_set_shares_no_question_with_the_reported_one(chosen: None) -> None:
    shared = {"evaluate": {"jobs": ["sums"]}, "dev": {"jobs": ["words", "sums"]}}
    with pytest.raises(ValidationError, match="both name sums: what decides must not be what is reported"):
        RoundSpec.model_validate(round_spec("r").model_dump() | shared)
    with transaction() as connection:
        same = (
            connection.execute(
                text(
                    "select question_id from job_questions q join jobs j on j.id = q.job_id "
                    "where j.name = 'sums' limit 3"
                )
            )
            .scalars()
            .all()
        )
        job(connection, "again", same, evaluate=True)
    spec = RoundSpec.model_validate(
        round_spec("r").model_dump() | {"evaluate": {"jobs": ["sums"]}, "dev": {"jobs": ["again"]}}
    )
    with pytest.raises(UsageError, match="share 3 questions"):
        open_benchmarks(spec)


def test_rounds_without_a_common_evaluation_are_not_compared(rounds: list[int]) -> None:
    with transaction() as connection:
        benchmark(connection, "words", [True, False])
        measured(connection, "elsewhere", {"words": [True, True]}, rounds)
    done = CliRunner().invoke(app, ["rounds", "compare", "good", "elsewhere"])
    assert isinstance(done.exception, UsageError)
    assert "no evaluation in common (good: sums; elsewhere: words)" in str(done.exception)


def test_a_round_is_shown_with_its_measures_and_whether_it_gained(rounds: list[int]) -> None:
    printed = shown("rounds", "show", "good")
    assert "60.0 [" in printed
    assert "sums: +40.0 points [" in printed
    output = json.loads(shown("rounds", "show", "good", "--json"))
    assert [row["stage"] for row in output["evaluations"]] == ["before", "after"]
    assert output["before_after"][0]["only_second"] == 9


def test_evaluations_of_an_older_release_find_their_benchmark(clean: Stack, rounds: list[int]) -> None:
    known = "select benchmark, stage, correct from evaluations order by id"
    before = factory_rows(known)
    migrate.downgrade(clean.database_url, "0005")
    try:
        assert factory_rows("select stage from evaluations") != []
    finally:
        migrate.upgrade(clean.database_url)
    assert factory_rows(known) == before
    assert {row.benchmark for row in before} == {"sums"}
