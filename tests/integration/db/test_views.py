"""Every value that the views of jobs and traces show, column by column, against the one worked out by hand."""

import pytest
from sqlalchemy import text

from db.session import transaction
from tests.integration import scenario
from tests.integration.factory import rows as query
from tests.integration.factory import value
from tests.integration.scenario import at, question_text
from tests.integration.views import ORDERS, Row, rows, table
from tracemill.stack import Stack

pytestmark = pytest.mark.integration


def test_no_view_is_left_out_of_these_tests(stack: Stack) -> None:
    names = query("select viewname from pg_views where schemaname = 'public'")
    assert {row.viewname for row in names} == set(ORDERS)


def trace_columns(n: int) -> Row:
    """What trace_scores shows of trace n itself."""
    return {
        "trace_id": n,
        "text": f"text {n}",
        "thoughts": f"thoughts {n}",
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
        "model_hash": None,
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
        "restatements": n / 128,
    }


def test_a_trace_has_one_row_with_all_its_scores(filled: None) -> None:
    scores = {row["trace_id"]: row for row in rows("trace_scores")}
    assert len(scores) == len(rows("trace_scores")) == value("select count(*) from traces") == 38
    teach = {"job": "teach", "purpose": "teach", "model": "teacher", "adapter": None, "method": "cot"}
    easy = {"dataset": "data 11", "domain": "math", "question_id": 11, "question": "question 11", "gold": "gold 11"}
    common = (
        teach | easy | {"negative": False, "training_use": "train", "variant": "", "sample_index": 0, "pass_rate": 0.7}
    )
    assert scores[101] == common | trace_columns(101) | verdict_columns(101, "checks", correct=True, accepted=True)
    assert scores[102] == common | {"sample_index": 1, "training_use": "rejected"} | trace_columns(
        102
    ) | verdict_columns(102, "checks", correct=True, accepted=False)
    wrong = {
        "job": "wrong",
        "method": "contrast",
        "negative": True,
        "variant": "b",
        "training_use": "rejected",
        "pass_rate": 0.5,
    }
    assert scores[112] == common | wrong | trace_columns(112) | verdict_columns(
        112, "checks+judge", correct=False, accepted=False
    )
    exam = {
        "job": "r1/exam",
        "purpose": "evaluate",
        "model": "student",
        "adapter": "r1",
        "training_use": "evaluate",
        "pass_rate": None,
    }
    question_ = {
        "dataset": "held-out",
        "domain": "legal",
        "question_id": 37,
        "question": "question 37",
        "gold": "gold 37",
    }
    answered = trace_columns(307) | {"answer_form": "equation", "prompt_hash": "ask-prompt"}
    assert scores[307] == common | exam | question_ | answered | verdict_columns(
        307, "checks", correct=True, accepted=False
    )


def test_a_trace_that_is_not_verified_has_a_row_without_scores(filled: None) -> None:
    (row,) = (row for row in rows("trace_scores") if row["trace_id"] == 104)
    job_ = {"job": "teach", "purpose": "teach", "model": "teacher", "adapter": None, "method": "cot", "negative": False}
    question_ = {"dataset": "data 12", "domain": "code", "question_id": 12, "question": question_text(12), "gold": None}
    nothing = dict.fromkeys(verdict_columns(104, "checks", correct=None, accepted=False))
    assert row == job_ | question_ | nothing | trace_columns(104) | {
        "training_use": "unverified",
        "pass_rate": 0.6,
        "variant": "",
        "sample_index": 1,
    }


def test_a_trace_has_one_row_with_its_steps_its_prompt_and_its_worker(filled: None) -> None:
    details = {row["trace_id"]: row for row in rows("trace_details")}
    assert len(details) == 38
    for n, who in ((101, "teacher"), (307, "student")):
        messages = [{"role": "user", "content": f"{who}: {{question}}"}]
        assert details[n] == {"trace_id": n, "step_texts": [f"step {n}"], "prompt": messages, "worker": f"worker {n}"}


def test_a_question_has_one_row_in_each_of_its_jobs(filled: None) -> None:
    results = {(row["job_id"], row["question_id"]): row for row in rows("question_results")}
    assert len(results) == value("select count(*) from job_questions")
    header = "job_id job question_id dataset domain question gold state settled accepted difficulty last_error"
    expected = table(
        header,
        (21, "teach", 12, "data 12", "code", question_text(12), None, "done", 10, 6, "medium", None),
        (21, "teach", 71, "data 71", "math", "question 71", "gold 71", "failed", 0, 0, "unknown", None),
        (24, "r1/exam", 33, "held-out", "code", question_text(33), "gold 33", "done", 0, 0, "unknown", None),
    )
    assert [results[row["job_id"], row["question_id"]] for row in expected] == expected


def test_a_job_has_a_row_for_each_settings_of_its_model(filled: None) -> None:
    (shown,) = (row for row in rows("job_models") if row["job"] == "teach")
    times = query("select count(*), min(created_at), max(created_at) from traces where job_id = 21")
    assert tuple(shown.values()) == ("teach", "teacher", None, None, *times[0])


def test_the_questions_of_all_evaluations_have_a_row_each(filled: None) -> None:
    shown = rows("evaluation_questions")
    expected = query(
        "select distinct q.id as question_id, question, dataset from questions q "
        "join job_questions on question_id = q.id join jobs j on j.id = job_id where purpose = 'evaluate' order by 1"
    )
    assert shown == [dict(row._mapping) for row in expected]
    assert {"question_id": 37, "question": "question 37", "dataset": "held-out"} in shown
    assert 11 not in {row["question_id"] for row in shown}


def test_a_job_has_one_row_with_the_states_of_its_questions_and_its_sums(filled: None) -> None:
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
    ledger = table("judge_tokens_in judge_tokens_out judge_cost lost", (60, 3, 0.375, 500.0), *[(0, 0, 0.0, 0.0)] * 8)
    parts = zip(jobs, questions, traces, budgets, ledger, strict=True)
    assert rows("job_progress") == [a | b | c | d | e for a, b, c, d, e in parts]


def test_a_job_without_questions_has_a_row_of_zeros(filled: None) -> None:
    with transaction() as connection:
        scenario.job(connection, 39, "empty", samples=1, most=1)
        shown = text("select * from job_progress where job = 'empty'")
        row = dict(connection.execute(shown).mappings().one())
        connection.execute(text("delete from jobs where id = 39"))
    counts = ["questions", "pending", "queued", "running", "generated", "done", "failed"]
    assert {name: row[name] for name in counts} == dict.fromkeys(counts, 0)


def test_a_tier_has_one_row_with_the_cost_of_its_accepted_traces(filled: None) -> None:
    assert rows("job_tiers") == []
    follow = text("update jobs set from_job_id = :before, escalates = true where id = 29")
    with transaction() as connection:
        connection.execute(follow, {"before": 21})
        shown = connection.execute(text("select * from job_tiers order by tier")).mappings().all()
        connection.execute(follow, {"before": None})  # the job before was deleted
        assert connection.execute(text("select * from job_tiers")).all() == []
        connection.execute(text("update jobs set escalates = false where id = 29"))
    header = "first_job tier job model state questions done solved traces accepted tokens_out cost"
    assert [dict(row) for row in shown] == table(
        f"{header} tokens_per_accepted cost_per_accepted",
        ("teach", 1, "teach", "teacher", "running", 21, 2, 2, 8, 4, 8360, 104.875, 2090.0, 104.875 / 4),
        ("teach", 2, "own", "student", "done", 1, 1, 0, 1, 0, 6010, 75.125, None, None),
    )


def test_acceptance_has_a_row_for_each_variant_domain_and_difficulty(filled: None) -> None:
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
    taught = [row for row in rows("acceptance") if row["job"] in ("teach", "wrong")]
    assert taught == [row | {"model": "teacher"} for row in expected]
    measured = [row for row in rows("acceptance") if row["job"] not in ("teach", "wrong")]
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
    question_ = "select difficulty(cast(:accepted as bigint), cast(:settled as bigint))"
    assert value(question_, accepted=accepted, settled=settled) == difficulty
