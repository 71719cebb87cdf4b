"""The figures of a report, of the demo's summary and of `jobs show`, computed by hand from a small database."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from cli.demo_report import report as demo_report
from cli.main import app
from cli.output import console
from db.session import transaction
from tests.conftest import forget
from tests.integration.scenario import question_text
from tracemill.statistics import Paired, PairedShares, holm, share
from trainer.compare import Compared, Side, compare
from trainer.report.facts import Bins, Cost, Facts, facts

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def r1(filled: None) -> Facts:
    """The facts of round `r1`."""
    with transaction() as connection:
        return facts(connection, connection, "r1")


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Assert that no table cell is broken over lines."""
    monkeypatch.setattr(console, "width", 400)


def shown(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def cells(*rows: tuple[str, int, int, int, int]) -> list[tuple[str, Paired]]:
    """First samples that are right both times, only before, only after, never."""
    return [(name, Paired(*counts)) for name, *counts in rows]


def tables(compared: Sequence[Compared]) -> list[tuple[str, Paired]]:
    return [(each.benchmark, each.table) for each in compared]


def test_before_and_after_pair_the_questions_by_their_first_sample(r1: Facts) -> None:
    assert tables(r1.before_after) == cells(("exam", 1, 1, 4, 2))
    assert tables([r1.whole]) == cells(("all benchmarks", 1, 1, 4, 2))
    assert r1.flipped == {"gained": 4, "lost": 1}
    assert (r1.name, r1.finished, r1.metrics["seconds"]) == ("r1", "2026-03-05", 30.5)


def test_the_control_is_the_first_side_and_the_round_the_second(r1: Facts) -> None:
    assert r1.control is not None
    assert (r1.control.name, r1.control.state) == ("r1-control", "done")
    assert tables(r1.control.compared) == cells(("exam", 2, 1, 3, 2))
    assert r1.control.metrics["loss"] == [[1, 2.5], [2, 1.5]]


def test_the_breakdown_has_a_cell_for_each_value_easiest_first(r1: Facts) -> None:
    assert {by: tables(compared) for by, compared in r1.breakdown.items()} == {
        "domain": cells(("code", 0, 0, 1, 0), ("legal", 0, 0, 1, 2), ("math", 1, 1, 2, 0)),
        "difficulty": cells(
            ("easy", 1, 0, 1, 0),
            ("hard", 0, 1, 0, 0),
            ("unknown", 0, 0, 1, 2),
            ("level 3", 0, 0, 1, 0),
            ("level 4", 0, 0, 1, 0),
        ),
        "length": cells(("short", 1, 0, 2, 2), ("medium", 0, 1, 1, 0), ("long", 0, 0, 1, 0)),
    }


def test_a_question_of_two_benchmarks_counts_once_in_each(filled: None) -> None:
    with transaction() as connection:
        figures = facts(connection, connection, "r3")
    assert tables([figures.whole]) == cells(("all benchmarks", 0, 4, 0, 12))
    assert tables(figures.breakdown["domain"]) == cells(
        ("code", 0, 1, 0, 1), ("legal", 0, 0, 0, 6), ("math", 0, 3, 0, 5)
    )


def test_two_sides_are_paired_in_the_order_they_are_named(filled: None) -> None:
    with transaction() as connection:
        assert tables(compare(connection, Side("r1"), Side("r1-control"))) == cells(("exam", 2, 3, 1, 2))
        assert tables(compare(connection, Side("r1", "before"), Side("r1-control"))) == cells(("exam", 2, 0, 1, 5))
        assert compare(connection, Side("r1"), Side("r2")) == []
        both = compare(connection, Side("r3", "before"), Side("r3"))
    assert tables(both) == cells(("exam", 0, 2, 0, 6), ("other-exam", 0, 2, 0, 6))
    assert [each.p_holm for each in both] == holm([each.p for each in both])
    # Questions 31, 32 and 34 have 2, 1 and 1 right samples of 3 before; 31 and 33 have 2 and 1 in the other exam.
    assert both[0].shares == pytest.approx(PairedShares(8, 3, 4 / 3, 0, 6 / 9, 0, 0))
    assert [each.first.value for each in both] == pytest.approx([4 / 3 / 8, 3 / 3 / 8])


def test_a_round_is_compared_by_all_samples_of_a_question(r1: Facts) -> None:
    # Right samples of 3: 2, 1, 0, 1 of questions 31 to 34 before; 1 of each but 36 and 38 after.
    products = (2 + 1 + 1) / 9
    assert r1.whole.shares == pytest.approx(PairedShares(8, 3, 4 / 3, 6 / 3, 6 / 9, 6 / 9, products))
    assert r1.whole.difference.value == pytest.approx(2 / 3 / 8)


def test_scores_are_counted_in_bins_of_equal_width(r1: Facts) -> None:
    # trained on: 101, 103, 108, 112, 113; others: 102, 105, 106, 107, 111, and 104, which has no verdict
    steps = {101: 1, 102: 2, 103: 3, 105: 5, 106: 6, 107: 7, 108: 8, 111: 11, 112: 12, 113: 13}
    trained, others = [0] * 13, [0] * 13
    for n, number in steps.items():
        (trained if n in (101, 103, 108, 112, 113) else others)[number - 1] += 1
    assert r1.scores["steps"] == Bins(106.0, 118.0, trained, others)
    # 16 bins of 7.5 tokens from 1010 to 1130
    assert r1.scores["tokens_out"] == Bins(
        1010.0,
        1130.0,
        [1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1],
        [0, 1, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0],
    )
    # Shares accepted of 0.2, 0.3, 0.5, 0.6 and 0.7; question 16 is not settled.
    assert r1.scores["pass_rate"] == Bins(0.2, 0.7, [0, 0, 0, 2, 3], [1, 1, 0, 1, 2])
    tenths = [1, 1, 0, 0, 0, 1, 0, 0, 0, 2], [1, 0, 0, 1, 1, 1, 0, 0, 1, 0]
    assert r1.scores["faithfulness"] == Bins(101 / 16, 113 / 16, *tenths)
    assert r1.scores["coherence"] == Bins(101 / 32, 113 / 32, *tenths)
    assert set(r1.scores) == {"steps", "tokens_out", "pass_rate", "faithfulness", "coherence"}


def test_a_stage_counts_a_pair_once_and_its_tokens_twice(r1: Facts) -> None:
    first, second = ({name: float(number) for name, number in stage.items()} for stage in r1.stages)
    assert first == {
        "stage": 0,
        "examples": 2,
        "tokens": 1030 + 1120 + 1010 + 1130,
        "length": 1072.5,
        "steps": (108 + 117 + 106 + 118) / 4,
        "pass_rate": pytest.approx((0.6 + 0.5 + 0.7 + 0.5) / 4),
    }
    assert second == {"stage": 1, "examples": 1, "tokens": 1080, "length": 1080, "steps": 113, "pass_rate": 0.7}


def test_the_cost_is_that_of_all_traces_of_the_round_s_jobs(r1: Facts) -> None:
    assert r1.cost == Cost(
        traces=8 + 3,
        tokens=8360 + 3360,
        trained_tokens=4290 + 1080,
        engine_seconds=209.0 + 84.0,
        price=104.5 + 42.0,
        fit_seconds=30.5,
        evaluation_tokens=24360,
    )


def test_a_flip_shows_both_answers_and_its_nearest_examples(r1: Facts) -> None:
    flips = {flip.question: flip for flip in r1.flips}
    assert set(flips) == {question_text(n) for n in (32, 33, 34, 35, 37)}
    lost = flips[question_text(32)]
    assert (lost.flip, lost.gold, lost.benchmark) == ("lost", "gold 32", "exam")
    assert (lost.before, lost.after) == ("text 204", "text 302")
    assert flips[question_text(37)].before is None
    # The long question is more similar to the long one. The first example of question 11 is trace 101; 112 is rejected.
    assert [near["question_id"] for near in lost.nearest] == [12, 11]
    assert [near["question_id"] for near in flips[question_text(35)].nearest] == [11, 12]
    likeness = lost.nearest[1].pop("similarity")
    assert lost.nearest[1] == {
        "question_id": 11,
        "question": "question 11",
        "text": "text 101",
        "trace_id": 101,
        "teacher": "teacher",
        "method": "cot",
        "prompt_hash": "teach-prompt",
    }
    assert 0 < likeness < lost.nearest[0]["similarity"] < 1


def test_the_evaluations_are_listed_before_first(r1: Facts) -> None:
    assert [(row["stage"], row["job"], row["accuracy"]) for row in r1.evaluations] == [
        ("before", "exam", 0.125),
        ("after", "r1/exam", 0.25),
    ]


def test_jobs_show_has_the_savings_of_adaptive_sampling(filled: None) -> None:
    output = json.loads(shown("jobs", "show", "teach", "--json"))
    # Two questions are done, with 10 of at most 16 traces each; a trace of the job has 8360 / 8 tokens.
    assert output["adaptive"] == {
        "traces": 20,
        "traces_of_fixed": 32,
        "share_saved": 0.375,
        "tokens_saved": 12 * 1045,
        "ended": {"all asked": 1, "enough": 1},
    }
    assert output["ends"] == [
        {"ended": "all asked", "questions": 1, "traces": 10, "accepted": 6},
        {"ended": "enough", "questions": 1, "traces": 10, "accepted": 7},
    ]
    assert [canary["attack"] for canary in output["canaries"] if canary["fooled"]] == ["instruction"]
    assert json.loads(shown("jobs", "show", "wrong", "--json"))["adaptive"] is None


def test_jobs_show_has_the_acceptance_by_difficulty(filled: None) -> None:
    output = json.loads(shown("jobs", "show", "teach", "--json"))["acceptance"]
    order = [(row["domain"], row["difficulty"], row["tokens_per_accepted"]) for row in output]
    assert order == [
        ("code", "medium", 1030.0),
        ("math", "easy", 1555.0),
        ("math", "medium", None),
        ("math", "hard", None),
        ("math", "unknown", 1070.0),
    ]


def test_rounds_show_prints_each_measure_of_both_stages(filled: None) -> None:
    printed = " ".join(shown("rounds", "show", "r1").replace("│", " ").split())
    assert "exam before 8 12.5 [6.2, 25.0] 1 @1 12.5 @3 25.0 @1 6.2 1.5 0.03125 0.01562 100" in printed
    assert "exam after 8 25.0 [12.5, 50.0] 2 @1 25.0 @3 50.0 @1 12.5 2.5 0.0625 0.03125 200" in printed
    # Right samples of 3 rose from 4 to 6 in all: a mean of 1/12 by question, with a standard error of as much.
    assert "exam: +8.3 points [-11.6, +26.7] over 8 questions, p = 0.351: no difference is shown" in printed


def test_rounds_compare_prints_shares_and_flips_of_each_side(filled: None) -> None:
    printed = shown("rounds", "compare", "r1-control", "r1")
    (line,) = (line for line in printed.splitlines() if line.startswith("│ exam"))
    columns = [column.strip() for column in line.strip("│").split("│")]
    assert columns == [
        *("exam", "8", "12.5 [4.3, 31.0]", "25.0 [12.0, 44.9]", "+12.5 [-4.7, +30.3]", "p = 0.080", "1", "3"),
    ]


@pytest.fixture
def demo(filled: None) -> dict[str, Any]:
    seconds = {"ask and verify": 20.0, "train": 61.4}
    return demo_report("r1", before="exam", teacher="other-exam", teach="teach", seconds=seconds)


def test_the_demo_reports_the_gain_and_the_cost_of_teaching(demo: dict[str, Any]) -> None:
    assert demo["teaching"] == {
        "questions": 21,
        "traces": 8,
        "right": 5,
        "right_with_false_equation": 4,
        "accepted": 4,
        "failed_questions": 1,
        "tokens_out": 8360,
        "tokens_per_accepted": 2090,
        "tokens_per_second": 418,
    }
    assert demo["judge"] == {
        "rated": 4 + 7,
        "auc": None,
        "uninformative": "not calibrated",
        "threshold": None,
        "plain": None,
        "canaries": 3,
        "fooled_by": ["instruction"],
    }
    assert demo["training"] == {"seconds": 30.5, "selection": {"removed": {"accepted": 4}}}


def test_the_demo_counts_a_question_once_and_one_without_answer_as_wrong(demo: dict[str, Any]) -> None:
    def of(strict: int, lenient: int) -> dict[str, Any]:
        return {"questions": 8, "strict": share(strict, 8)._asdict(), "lenient": share(lenient, 8)._asdict()}

    assert demo["accuracy"] == {
        "student before": of(2, 2),
        "teacher, four examples shown": of(2, 2),
        "student after": of(3, 5),
    }


LONG_READS = ("report r1", "rounds show r1", "rounds compare r1-control r1", "jobs show teach")


@pytest.mark.parametrize("command", LONG_READS)
def test_long_reads_use_the_address_of_the_reader(filled: None, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_READER_URL", "postgresql://tracemill_reader@127.0.0.1:1/tracemill")
    forget()
    done = CliRunner().invoke(app, command.split())
    monkeypatch.undo()
    forget()
    assert isinstance(done.exception, OperationalError), done.output
    assert "port 1 failed" in str(done.exception)
