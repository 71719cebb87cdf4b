"""Every value that a view shows, column by column, against the one that was worked out by hand."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from db.session import transaction
from tests.integration import scenario
from tests.integration.factory import rows as query
from tests.integration.factory import value
from tests.integration.scenario import at, question_text
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

#: Every view, and the columns that its rows are sorted by.
ORDERS = {
    "trace_scores": "trace_id",
    "job_progress": "job_id",
    "acceptance": "job, variant, domain, difficulty",
    "round_lineage": "round, position, role, evaluation_stage desc",
    "round_exclusions": "question_id",
    "round_answers": "round, stage desc, benchmark, question_id",
    "round_flips": "round, benchmark, question_id",
    "round_results": "round, stage desc, domain, length desc, difficulty",
}
#: Wilson's 95 % interval of 0 of 1 to 1 of 3, from the roots of (p - x)² = 1.959964² x (1 - x) / n.
WILSON = {(0, 1): (0.0, 0.7934507), (1, 1): (0.2065493, 1.0), (0, 3): (0.0, 0.5614970), (1, 3): (0.0614919, 0.7923404)}

Row = dict[str, Any]


@pytest.fixture(scope="module")
def filled(stack: Stack) -> None:
    with transaction() as connection:
        connection.execute(text("truncate questions, jobs, rounds, prompts, calibrations restart identity cascade"))
        scenario.build(connection)


@pytest.fixture
def views(filled: None) -> dict[str, list[Row]]:
    """The rows of every view."""
    with transaction() as connection:
        return {
            view: [dict(row) for row in connection.execute(text(f"select * from {view} order by {order}")).mappings()]
            for view, order in ORDERS.items()
        }


def table(header: str, *lines: Sequence[Any]) -> list[Row]:
    """Rows of these columns."""
    return [dict(zip(header.split(), line, strict=True)) for line in lines]


def test_no_view_is_left_out_of_these_tests(stack: Stack) -> None:
    names = query("select viewname from pg_views where schemaname = 'public'")
    assert {row.viewname for row in names} == set(ORDERS)


def trace_columns(n: int) -> Row:
    """What trace_scores shows of trace n itself."""
    return {
        "trace_id": n,
        "text": f"text {n}",
        "reasoning": f"reasoning {n}",
        "answer": f"answer {n}",
        "answer_form": "stated",
        "tokens_in": n,
        "tokens_out": 10 * n,
        "thinking_tokens": 3 * n,
        "cost": n / 8,
        "engine_seconds": n / 4,
        "latency_seconds": n + 0.5,
        "finish_reason": f"reason {n}",
        "calls": [{"call": f"draft {n}"}],
        "prompt_hash": "teach-prompt",
        "created_at": at(n),
    }


def verdict_columns(n: int, verifier: str, *, correct: bool | None, accepted: bool) -> Row:
    """What trace_scores shows of the verdict on trace n."""
    return {
        "correct": correct,
        "proof": f"proof {n}",
        "equations_checked": n + 1,
        "equations_false": 0 if n == 101 else n + 2,
        "faithfulness": n / 16,
        "coherence": n / 32,
        "signals": {"rating": n / 4096},
        "refused": f"refused {n}",
        "accepted": accepted,
        "error": f"error {n}",
        "verifier": verifier,
        "kind": f"kind {n}",
        "majority": n / 2,
        "margin": n / 64,
        "steps": n + 5,
        "first_error": n + 6,
        "ungrounded": n + 7,
        "concludes": n % 2 == 0,
        "findings": [{"step": n}],
        "verified_at": at(1000 + n),
        "equations_compound": n + 3,
        "unused": n + 4,
    }


def test_a_trace_has_one_row_with_all_its_scores(views: dict[str, list[Row]]) -> None:
    scores = {row["trace_id"]: row for row in views["trace_scores"]}
    assert len(scores) == len(views["trace_scores"]) == value("select count(*) from traces") == 38
    teach = {"job": "teach", "purpose": "teach", "model": "teacher", "adapter": None, "method": "cot"}
    easy = {"dataset": "data 11", "domain": "math", "question_id": 11, "question": "question 11", "gold": "gold 11"}
    one = teach | easy | {"negative": False, "variant": "", "sample_index": 0}
    assert scores[101] == one | trace_columns(101) | verdict_columns(101, "checks", correct=True, accepted=True)
    assert scores[102] == one | {"sample_index": 1} | trace_columns(102) | verdict_columns(
        102, "checks", correct=True, accepted=False
    )
    wrong = {"job": "wrong", "method": "contrast", "negative": True, "variant": "b"}
    assert scores[112] == one | wrong | trace_columns(112) | verdict_columns(
        112, "checks+judge", correct=False, accepted=False
    )
    exam = {"job": "r1/exam", "purpose": "evaluate", "model": "student", "adapter": "r1", "dataset": "held-out"}
    asked = {"domain": "legal", "question_id": 37, "question": "question 37", "gold": "gold 37"}
    answered = trace_columns(307) | {"answer_form": "equation", "prompt_hash": "ask-prompt"}
    assert scores[307] == one | exam | asked | answered | verdict_columns(307, "checks", correct=True, accepted=False)


def test_a_trace_that_is_not_verified_has_a_row_without_scores(views: dict[str, list[Row]]) -> None:
    (row,) = (row for row in views["trace_scores"] if row["trace_id"] == 104)
    own = {"job": "teach", "purpose": "teach", "model": "teacher", "adapter": None, "method": "cot", "negative": False}
    asked = {"dataset": "data 12", "domain": "code", "question_id": 12, "question": question_text(12), "gold": None}
    nothing = dict.fromkeys(verdict_columns(104, "checks", correct=None, accepted=False))
    assert row == own | asked | nothing | trace_columns(104) | {"variant": "", "sample_index": 1}


def test_a_job_has_one_row_with_the_states_of_its_questions_and_its_sums(views: dict[str, list[Row]]) -> None:
    whose = "job_id job purpose state model adapter method samples enough most created_at finished_at"
    jobs = table(
        whose,
        (21, "teach", "teach", "running", "teacher", None, "cot", 2, 2, 16, at(21), None),
        (22, "wrong", "teach", "done", "teacher", None, "contrast", 1, None, 2, at(22), at(9022)),
        (23, "exam", "evaluate", "done", "student", None, "cot", 3, None, 3, at(23), at(9023)),
        (24, "r1/exam", "evaluate", "done", "student", "r1", "cot", 3, None, 3, at(24), at(9024)),
        (25, "r1-control/exam", "evaluate", "done", "student", "r1-control", "cot", 3, None, 3, at(25), at(9025)),
        (26, "r3/exam", "evaluate", "done", "student", "r3", "cot", 3, None, 3, at(26), at(9026)),
        (27, "other-exam", "evaluate", "done", "student", None, "cot", 3, None, 3, at(27), at(9027)),
        (28, "r3/other-exam", "evaluate", "done", "student", "r3", "cot", 3, None, 3, at(28), at(9028)),
        (29, "own", "teach", "done", "student", "r1", "cot", 1, None, 1, at(29), at(9029)),
    )
    questions = table(
        "questions pending queued running generated done failed",
        (21, 6, 5, 4, 3, 2, 1),
        (2, 0, 0, 0, 0, 2, 0),
        *[(8, 0, 0, 0, 0, 8, 0)] * 6,
        (1, 0, 0, 0, 0, 1, 0),
    )
    traces = table(
        "traces verified correct accepted tokens_in tokens_out cost engine_seconds first_trace_at last_trace_at",
        (8, 7, 5, 4, 836, 8360, 104.5, 209.0, at(101), at(108)),
        (3, 3, 1, 1, 336, 3360, 42.0, 84.0, at(111), at(113)),
        (11, 11, 4, 0, 2266, 22660, 283.25, 566.5, at(201), at(211)),
        (8, 7, 6, 0, 2436, 24360, 304.5, 609.0, at(301), at(308)),
        (3, 3, 3, 0, 1208, 12080, 151.0, 302.0, at(401), at(405)),
        (0, 0, 0, 0, 0, 0, 0.0, 0.0, None, None),
        (4, 4, 3, 0, 2010, 20100, 251.25, 502.5, at(501), at(504)),
        (0, 0, 0, 0, 0, 0, 0.0, 0.0, None, None),
        (1, 1, 1, 0, 601, 6010, 75.125, 150.25, at(601), at(601)),
    )
    budgets = table("budget budget_unit spent", (90000.0, "tokens", 1234.5), *[(None, None, 0.0)] * 8)
    assert views["job_progress"] == [a | b | c | d for a, b, c, d in zip(jobs, questions, traces, budgets, strict=True)]


def test_a_job_without_questions_has_a_row_of_zeros(filled: None) -> None:
    with transaction() as connection:
        scenario.job(connection, 39, "empty", samples=1, most=1)
        shown = text("select * from job_progress where job = 'empty'")
        row = dict(connection.execute(shown).mappings().one())
        connection.execute(text("delete from jobs where id = 39"))
    counts = ["questions", "pending", "queued", "running", "generated", "done", "failed"]
    assert {name: row[name] for name in counts} == dict.fromkeys(counts, 0)


def test_acceptance_has_a_row_for_each_variant_domain_and_difficulty(views: dict[str, list[Row]]) -> None:
    header = (
        "job method variant domain difficulty questions traces accepted rate tokens_in tokens_out thinking_tokens "
        "engine_seconds cost tokens_per_accepted cost_per_accepted"
    )
    expected = table(
        header,
        # 0.6 of the question's traces accepted; 104 has no verdict, so it does not count
        ("teach", "cot", "", "code", "medium", 1, 1, 1, 1.0, 103, 1030, 309, 25.75, 12.875, 1030.0, 12.875),
        # exactly 0.7 accepted; 101, 102 and 108, of which 102 is not accepted
        ("teach", "cot", "", "math", "easy", 1, 3, 2, 2 / 3, 311, 3110, 933, 77.75, 38.875, 1555.0, 19.4375),
        ("teach", "cot", "", "math", "hard", 1, 1, 0, 0.0, 106, 1060, 318, 26.5, 13.25, None, None),
        # exactly 0.3 accepted
        ("teach", "cot", "", "math", "medium", 1, 1, 0, 0.0, 105, 1050, 315, 26.25, 13.125, None, None),
        ("teach", "cot", "", "math", "unknown", 1, 1, 1, 1.0, 107, 1070, 321, 26.75, 13.375, 1070.0, 13.375),
        ("wrong", "contrast", "a", "math", "medium", 2, 2, 1, 0.5, 224, 2240, 672, 56.0, 28.0, 2240.0, 28.0),
        ("wrong", "contrast", "b", "math", "medium", 1, 1, 0, 0.0, 112, 1120, 336, 28.0, 14.0, None, None),
    )
    taught = [row for row in views["acceptance"] if row["job"] in ("teach", "wrong")]
    assert taught == [row | {"model": "teacher"} for row in expected]
    measured = [row for row in views["acceptance"] if row["job"] not in ("teach", "wrong")]
    assert {row["model"] for row in measured} == {"student"}
    assert [(row["job"], row["domain"], row["traces"]) for row in measured] == [
        ("exam", "code", 1),
        ("exam", "legal", 2),
        ("exam", "math", 8),
        ("other-exam", "code", 1),
        ("other-exam", "math", 3),
        ("own", "math", 1),
        ("r1-control/exam", "math", 3),
        ("r1/exam", "code", 1),
        ("r1/exam", "legal", 1),
        ("r1/exam", "math", 5),
    ]


@pytest.mark.parametrize(
    ("accepted", "settled", "difficulty"),
    [
        (7, 10, "easy"),
        (69, 100, "medium"),
        (3, 10, "medium"),
        (29, 100, "hard"),
        (0, 1, "hard"),
        (0, 0, "unknown"),
        (0, None, "unknown"),
    ],
)
def test_difficulty_is_the_share_accepted(stack: Stack, accepted: int, settled: int | None, difficulty: str) -> None:
    asked = "select difficulty(cast(:accepted as bigint), cast(:settled as bigint))"
    assert value(asked, accepted=accepted, settled=settled) == difficulty


def test_an_example_has_one_row_for_each_evaluation_of_its_round(views: dict[str, list[Row]]) -> None:
    examples = table(
        "round round_state role position question_id question trace_id job method text curriculum_stage adapter_path",
        ("r1", "done", "chosen", 0, 12, question_text(12), 103, "teach", "cot", "text 103", 0, "/adapters/r1"),
        ("r1", "done", "rejected", 0, 11, "question 11", 112, "wrong", "contrast", "text 112", 0, "/adapters/r1"),
        ("r1", "done", "chosen", 1, 11, "question 11", 101, "teach", "cot", "text 101", 0, "/adapters/r1"),
        ("r1", "done", "rejected", 1, 31, question_text(31), 113, "wrong", "contrast", "text 113", 0, "/adapters/r1"),
        ("r1", "done", "sft", 2, 11, "question 11", 108, "teach", "cot", "text 108", 1, "/adapters/r1"),
        ("r2", "fitting", "sft", 7, 11, "question 11", 102, "teach", "cot", "text 102", 2, None),
    )
    before, after, nothing = table(
        "evaluation_stage evaluation_job evaluated accuracy low high benchmark",
        ("before", "exam", 8, 0.125, 0.0625, 0.25, "exam"),
        ("after", "r1/exam", 8, 0.25, 0.125, 0.5, "exam"),
        (None,) * 7,
    )
    prompts = {"teacher_prompt_hash": "teach-prompt", "student_prompt_hash": "ask-prompt", "teacher": "teacher"}
    shared = prompts | {"teacher_prompt": [{"role": "user", "content": "teacher: {question}"}]}
    *measured, unmeasured = examples
    assert views["round_lineage"] == [
        *(example | evaluation | shared for example in measured for evaluation in (before, after)),
        unmeasured | nothing | shared,
    ]


def test_an_excluded_question_is_shown_beside_the_one_it_overlaps(views: dict[str, list[Row]]) -> None:
    assert views["round_exclusions"] == [
        {
            "round": "r1",
            "question_id": question_id,
            "question": f"question {question_id}",
            "dataset": f"data {question_id}",
            "rule": rule,
            "share": share,
            "evaluation_question_id": other,
            "evaluation_question": question_text(other),
            "evaluation_dataset": "held-out",
        }
        for question_id, rule, share, other in ((41, "exact", 1.0, 31), (42, "ngram", 0.625, 33))
    ]


#: Of the questions 31 to 38: domain, difficulty and length. Question 31 has three right answers of four elsewhere, one
#: that nobody could decide apart; 32 has none of one, 33 one of one; 34 and 35 have a level of their data set.
EXAM = (
    ("math", "easy", "short"),
    ("math", "hard", "medium"),
    ("code", "easy", "medium"),
    ("math", "level 3", "long"),
    ("math", "level 4", "short"),
    *[("legal", "unknown", "short")] * 3,
)
#: Of each question: correct, correct_strict, trace_id, samples_correct.
BEFORE = (
    (True, True, 201, 2),
    (True, True, 204, 1),
    (False, False, 206, 0),
    (False, False, 207, 1),
    (False, False, 209, 0),
    (False, False, 210, 0),
    (False, False, None, 0),
    (False, False, 211, 0),
)
AFTER = (
    (True, True, 301, 1),
    (False, False, 302, 1),
    (True, False, 304, 1),
    (True, True, 305, 1),
    (True, True, 306, 1),
    (False, False, None, 0),
    (True, False, 307, 1),
    (False, False, 308, 0),
)
CONTROL = (
    (True, True, 401, 1),
    (True, True, 402, 1),
    *[(False, False, None, 0)] * 2,
    (True, False, 405, 1),
    *[(False, False, None, 0)] * 3,
)


NOTHING = ((False, False, None, 0),) * 8
#: The same questions in `other-exam`: here the answers of `exam` are those given elsewhere.
OTHER_EXAM = tuple(
    (domain, difficulty, length)
    for (domain, _, length), difficulty in zip(
        EXAM, ("easy", "medium", "hard", "level 3", "level 4", "hard", "unknown", "hard"), strict=True
    )
)
OTHER_BEFORE = ((True, True, 501, 2), NOTHING[0], (True, True, 504, 1), *NOTHING[:5])


def answers(
    name: str,
    stage: str,
    job: str,
    given: Sequence[tuple[bool, bool, int | None, int]],
    benchmark: str = "exam",
) -> list[Row]:
    """The rows of round_answers for one evaluation."""
    asked = EXAM if benchmark == "exam" else OTHER_EXAM
    shown = []
    for question, (correct, strict, n, right), (domain, difficulty, length) in zip(
        range(31, 39), given, asked, strict=True
    ):
        verified = n is not None and n != 308
        written = n is not None
        shown.append(
            {
                "round": name,
                "stage": stage,
                "benchmark": benchmark,
                "job": job,
                "question_id": question,
                "question": question_text(question),
                "gold": f"gold {question}",
                "domain": domain,
                "difficulty": difficulty,
                "length": length,
                "correct": correct,
                "correct_strict": strict,
                "trace_id": n,
                "text": f"text {n}" if written else None,
                "answer": f"answer {n}" if written else None,
                "steps": (n or 0) + 5 if verified else None,
                "faithfulness": (n or 0) / 16 if verified else None,
                "coherence": (n or 0) / 32 if verified else None,
                "tokens_out": 10 * (n or 0) if written else None,
                "finish_reason": f"reason {n}" if written else None,
                "samples": 3,
                "samples_correct": right,
            }
        )
    return shown


def test_a_question_has_one_row_a_stage_however_many_samples_it_has(views: dict[str, list[Row]]) -> None:
    assert views["round_answers"] == [
        *answers("r1", "before", "exam", BEFORE),
        *answers("r1", "after", "r1/exam", AFTER),
        *answers("r1-control", "before", "exam", BEFORE),
        *answers("r1-control", "after", "r1-control/exam", CONTROL),
        *answers("r3", "before", "exam", BEFORE),
        *answers("r3", "before", "other-exam", OTHER_BEFORE, "other-exam"),
        *answers("r3", "after", "r3/exam", NOTHING),
        *answers("r3", "after", "r3/other-exam", NOTHING, "other-exam"),
    ]


def test_a_flip_shows_the_question_and_both_answers(views: dict[str, list[Row]]) -> None:
    expected = []
    for name, benchmark, flip, question, before, after in (
        ("r1", "exam", "lost", 32, 204, 302),
        ("r1", "exam", "gained", 33, 206, 304),
        ("r1", "exam", "gained", 34, 207, 305),
        ("r1", "exam", "gained", 35, 209, 306),
        ("r1", "exam", "gained", 37, None, 307),
        ("r1-control", "exam", "gained", 35, 209, 405),
        ("r3", "exam", "lost", 31, 201, None),
        ("r3", "exam", "lost", 32, 204, None),
        ("r3", "other-exam", "lost", 31, 501, None),
        ("r3", "other-exam", "lost", 33, 504, None),
    ):
        domain, difficulty, length = (EXAM if benchmark == "exam" else OTHER_EXAM)[question - 31]
        expected.append(
            {
                "round": name,
                "benchmark": benchmark,
                "flip": flip,
                "question_id": question,
                "question": question_text(question),
                "gold": f"gold {question}",
                "domain": domain,
                "difficulty": difficulty,
                "length": length,
                "before_trace_id": before,
                "before_answer": before and f"answer {before}",
                "before_text": before and f"text {before}",
                "after_trace_id": after,
                "after_answer": after and f"answer {after}",
                "after_text": after and f"text {after}",
            }
        )
    assert views["round_flips"] == expected


def test_results_are_counts_means_and_wilson_intervals_of_a_cell(views: dict[str, list[Row]]) -> None:
    cells = ((33,), (36, 37, 38), (35,), (31,), (32,), (34,))
    shown = table(
        "round stage correct correct_strict any_correct traces",
        *(("r1", "before", *line) for line in ((0, 0, 0, [206]), (0, 0, 0, [210, 211]), (0, 0, 0, [209]))),
        *(("r1", "before", *line) for line in ((1, 1, 1, [201]), (1, 1, 1, [204]), (0, 0, 1, [207]))),
        *(("r1", "after", *line) for line in ((1, 0, 1, [304]), (1, 0, 1, [307]), (1, 1, 1, [306]))),
        *(("r1", "after", *line) for line in ((1, 1, 1, [301]), (0, 0, 1, [302]), (1, 1, 1, [305]))),
    )
    expected = []
    for number, row in enumerate(shown):
        questions = cells[number % len(cells)]
        domain, difficulty, length = EXAM[questions[0] - 31]
        n = sum(row["traces"]) / len(row.pop("traces"))
        low, high = WILSON[row["correct"], len(questions)]
        cell = {"benchmark": "exam", "domain": domain, "difficulty": difficulty, "length": length}
        measures = {"steps": n + 5, "faithfulness": n / 16, "coherence": n / 32, "tokens_out": 10 * n}
        share = {"accuracy": row["correct"] / len(questions), "low": pytest.approx(low, abs=1e-6)}
        expected.append(
            row | cell | measures | share | {"high": pytest.approx(high, abs=1e-6), "questions": len(questions)}
        )
    # 308 has no verdict that counts: its tokens count, its steps do not.
    expected[7]["tokens_out"] = 3075.0

    def key(row: Row) -> tuple[Any, ...]:
        return row["round"], row["stage"], row["domain"], row["length"], row["difficulty"]

    assert sorted((row for row in views["round_results"] if row["round"] == "r1"), key=key) == sorted(expected, key=key)
