"""A small database with distinct values in all columns, so that no figure is right by accident.

It has three teaching jobs, two evaluations with the same questions, and four rounds. One evaluation measures `r1` and
`r1-control`; `r2` is not measured yet; both measure `r3`, which has no answers. All numbers follow from the id n of a
trace: 10 n tokens out, a cost of n / 8, n + 5 steps, … Fractions are exact in binary.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert

from db.judges import Canary
from db.ledger import Payment
from db.tables import (
    Evaluation,
    Example,
    Exclusion,
    Job,
    JobQuestion,
    PromptRow,
    Question,
    Round,
    Trace,
    Verdict,
)
from tests.integration.rounds import round_spec

#: The length in characters of longer questions.
LENGTHS = {31: 149, 32: 150, 33: 299, 34: 300, 12: 150}
#: Questions of job `teach` without traces, by state.
WAITING = {
    "pending": range(41, 47),
    "queued": range(51, 56),
    "running": range(61, 65),
    "failed": range(71, 72),
}
#: The base model's answers to the exam: trace, question, sample, correct, form.
BEFORE = (
    (201, 31, 0, True, "stated"),
    (202, 31, 1, False, "stated"),
    (203, 31, 2, True, "stated"),
    (204, 32, 0, True, "boxed"),
    (205, 32, 1, False, "stated"),
    (206, 33, 0, False, "stated"),
    (207, 34, 0, False, "stated"),
    (208, 34, 1, True, "stated"),
    (209, 35, 0, None, "stated"),
    (210, 36, 0, False, "stated"),
    (211, 38, 0, False, "stated"),
)
#: The answers of the student of `r1`. Only a verifier that does not count finds question 38 right.
AFTER = (
    (301, 31, 0, True, "hashes"),
    (302, 32, 0, False, "stated"),
    (303, 32, 1, True, "stated"),
    (304, 33, 0, True, "last number"),
    (305, 34, 0, True, "boxed"),
    (306, 35, 0, True, "stated"),
    (307, 37, 0, True, "equation"),
)
CONTROL = ((401, 31, 0, True, "stated"), (402, 32, 0, True, "stated"), (405, 35, 0, True, "last line"))
#: Another exam of the base model; it sets the difficulty of questions 31 and 33.
OTHER = (
    (501, 31, 0, True, "stated"),
    (502, 31, 1, None, "stated"),
    (503, 31, 2, True, "stated"),
    (504, 33, 0, True, "stated"),
)


def at(minutes: int) -> datetime:
    """The time this many minutes after the scenario's start."""
    return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=minutes)


def question_text(question_id: int) -> str:
    text = f"question {question_id}"
    return text + "?" * (LENGTHS.get(question_id, len(text)) - len(text))


def build(connection: Connection) -> None:
    """Fill the empty database."""
    for key, who in (("teach-prompt", "teacher"), ("ask-prompt", "student")):
        add(connection, PromptRow, hash=key, messages=[{"role": "user", "content": f"{who}: {{question}}"}])
    _questions(connection)
    _rounds(connection)
    _teaching(connection)
    _exams(connection)
    _lineage(connection)


def _questions(connection: Connection) -> None:
    for n in (11, 12, 14, 15, 16, *range(31, 39), *(n for numbers in WAITING.values() for n in numbers)):
        add(
            connection,
            Question,
            id=n,
            content_hash=f"hash {n}",
            fingerprint=f"print {n}",
            dataset="held-out" if 31 <= n <= 38 else f"data {n}",
            domain={12: "code", 33: "code", 36: "legal", 37: "legal", 38: "legal"}.get(n, "math"),
            question=question_text(n),
            gold=None if n == 12 else f"gold {n}",
            meta={34: {"level": "Level 3"}, 35: {"level": 4}, 36: {"level": "unknown"}}.get(n, {}),
        )


def _rounds(connection: Connection) -> None:
    for n, name, state in ((1, "r1", "done"), (2, "r1-control", "done"), (3, "r2", "fitting"), (4, "r3", "done")):
        spec = round_spec(name, select={"jobs": ["teach", "wrong"]}).model_dump(mode="json")
        metrics = {"seconds": 30.5, "loss": [[1, 2.5], [2, 1.5]], "selection": {"removed": {"accepted": 4}}}
        add(
            connection,
            Round,
            id=n,
            name=name,
            state=state,
            spec=spec,
            prompt_hash="ask-prompt",
            adapter_path=f"/adapters/{name}" if state == "done" else None,
            metrics=metrics,
            created_at=at(5000 + n),
            finished_at=at(6000 + n) if state == "done" else None,
        )


def _teaching(connection: Connection) -> None:
    job(
        connection,
        21,
        "teach",
        state="running",
        samples=2,
        most=16,
        enough=2,
        budget=90000.0,
        budget_unit="tokens",
        spent=1234.5,
        policy={"uninformative": {"rating": "not calibrated"}},
    )
    for n, payee, is_lost, spent in ((1, "judge", False, 30.0), (2, "judge", False, 3.0), (3, "teacher", True, 500.0)):
        cost = {"tokens_in": 20 * n, "tokens_out": n, "cost": n / 8} if payee == "judge" else {}
        add(connection, Payment, claim_id=UUID(int=n), job_id=21, payee=payee, is_lost=is_lost, spent=spent, **cost)
    add(connection, Payment, claim_id=UUID(int=4), job_id=21, payee="teacher", tokens_in=7, tokens_out=7, spent=14.0)
    job(connection, 22, "wrong", method="contrast", negative=True, verifier="checks+judge", samples=1, most=2)
    for n, settled, accepted in ((11, 10, 7), (12, 10, 6), (14, 10, 3), (15, 10, 2), (16, 0, 0)):
        settled_question(
            connection, 21, n, "done" if n < 13 else "generated", settled, accepted, "enough" if n == 11 else None
        )
    for state, numbers in WAITING.items():
        for n in numbers:
            settled_question(connection, 21, n, state, 0, 0, None)
    for n, question, sample, accepted in (
        (101, 11, 0, True),
        (102, 11, 1, False),
        (108, 11, 2, True),
        (103, 12, 0, True),
        (104, 12, 1, None),
        (105, 14, 0, False),
        (106, 15, 0, False),
        (107, 16, 0, True),
    ):
        trace(connection, n, 21, question, sample)
        if accepted is not None:
            equations_false = 0 if n == 101 else n + 2
            verdict(
                connection,
                n,
                accepted=accepted,
                correct={102: True, 105: None}.get(n, accepted),
                equations_false=equations_false,
            )
            verdict(connection, n, id=2000 + n, accepted=not accepted, correct=not accepted, verifier="checks+judge")
    for n in (11, 31):
        settled_question(connection, 22, n, "done", 2, 1, None)
    for n, question, variant, accepted in ((111, 11, "a", True), (112, 11, "b", False), (113, 31, "a", False)):
        trace(connection, n, 22, question, 0, variant=variant)
        verdict(connection, n, accepted=accepted, correct=accepted, verifier="checks+judge")
        verdict(connection, n, id=2000 + n, accepted=not accepted, correct=not accepted)
    # The student of `r1` also teaches: these traces count neither as examples of `r1` nor as its evaluation.
    job(connection, 29, "own", model="student", round_id=1, samples=1, most=1)
    settled_question(connection, 29, 14, "done", 0, 0, None)
    trace(connection, 601, 29, 14, 0)
    verdict(connection, 601, accepted=False, correct=True)
    for attack, fooled in (("instruction", True), ("flattery", False), ("authority", False)):
        row = {"job_id": 21, "attack": attack, "name": f"canary {attack}", "plain": 0.25, "attacked": 0.5}
        add(connection, Canary, **row, fooled=fooled)


def _exams(connection: Connection) -> None:
    for job_id, name, round_id, answers in (
        (23, "exam", None, BEFORE),
        (24, "r1/exam", 1, AFTER),
        (25, "r1-control/exam", 2, CONTROL),
        (26, "r3/exam", 4, ()),
        (27, "other-exam", None, OTHER),
        (28, "r3/other-exam", 4, ()),
    ):
        job(connection, job_id, name, purpose="evaluate", model="student", round_id=round_id, samples=3, most=3)
        for n in range(31, 39):
            settled_question(connection, job_id, n, "done", 0, 0, None)
        for n, question, sample, correct, form in answers:
            trace(connection, n, job_id, question, sample, answer_form=form, prompt_hash="ask-prompt")
            verdict(connection, n, accepted=False, correct=correct)
    trace(connection, 308, 24, 38, 0, prompt_hash="ask-prompt")
    for n in (308, 501):
        verdict(connection, n, id=2000 + n, accepted=True, correct=n == 308, verifier="another")


def _lineage(connection: Connection) -> None:
    for round_id, trace_id, role, position, stage in (
        (1, 103, "chosen", 0, 0),
        (1, 112, "rejected", 0, 0),
        (1, 101, "chosen", 1, 0),
        (1, 113, "rejected", 1, 0),
        (1, 108, "sft", 2, 1),
        (3, 102, "sft", 7, 2),
    ):
        row = {"round_id": round_id, "trace_id": trace_id, "role": role, "position": position, "stage": stage}
        add(connection, Example, **row)
    for n, round_id, job_id, stage, benchmark in (
        (1, 1, 23, "before", "exam"),
        (2, 1, 24, "after", "exam"),
        (3, 2, 23, "before", "exam"),
        (4, 2, 25, "after", "exam"),
        (5, 4, 23, "before", "exam"),
        (6, 4, 26, "after", "exam"),
        (7, 4, 27, "before", "other-exam"),
        (8, 4, 28, "after", "other-exam"),
    ):
        measures = {
            "questions": 8,
            "correct": n + 1,
            "correct_strict": n,
            "accuracy": n / 8,
            "low": n / 16,
            "high": n / 4,
        }
        means = {"steps": n + 0.5, "faithfulness": n / 32, "coherence": n / 64, "tokens_out": n * 100.0}
        key = {"id": n, "round_id": round_id, "job_id": job_id, "stage": stage, "benchmark": benchmark}
        by_k = {"pass_at": {"1": n / 8, "3": n / 4}, "majority_at": {"1": n / 16}}
        add(connection, Evaluation, **key, **measures, **means, **by_k)
    for question_id, rule, other, share in ((41, "exact", 31, 1.0), (42, "ngram", 33, 0.625)):
        row = {"round_id": 1, "question_id": question_id, "rule": rule, "evaluation_question_id": other, "share": share}
        add(connection, Exclusion, **row)


def job(connection: Connection, job_id: int, name: str, **columns: Any) -> None:
    """Add a finished job of the alias `teacher`, with changed columns."""
    fields = {
        "id": job_id,
        "name": name,
        "purpose": "teach",
        "state": "done",
        "model": "teacher",
        "method": "cot",
        "batch": 2,
        "sampling": {"temperature": 0.5},
        "policy": {},
        "verifier": "checks",
        "source": f"{name}.jsonl",
        "created_at": at(job_id),
        "finished_at": None if columns.get("state") == "running" else at(9000 + job_id),
    }
    add(connection, Job, **(fields | columns))


def settled_question(
    connection: Connection, job_id: int, question: int, state: str, settled: int, accepted: int, ended: str | None
) -> None:
    row = {"job_id": job_id, "question_id": question, "state": state, "wanted": 2, "ended": ended}
    add(connection, JobQuestion, **row, settled=settled, accepted=accepted)


def trace(connection: Connection, n: int, job_id: int, question: int, sample: int, **columns: Any) -> None:
    """Add trace n. Its numbers follow from n."""
    fields = {
        "id": n,
        "job_id": job_id,
        "question_id": question,
        "sample_index": sample,
        "prompt_hash": "teach-prompt",
        "text": f"<think>thoughts {n}</think>text {n}",
        "thoughts": f"thoughts {n}",
        "answer_text": f"text {n}",
        "reasoning": f"reasoning {n}",
        "answer": f"answer {n}",
        "answer_form": "stated",
        "steps": [f"step {n}"],
        "calls": [{"call": f"draft {n}"}],
        "tokens_in": n,
        "tokens_out": 10 * n,
        "thinking_tokens": 3 * n,
        "finish_reason": f"reason {n}",
        "latency_seconds": n + 0.5,
        "engine_seconds": n / 4,
        "cost": n / 8,
        "worker": f"worker {n}",
        "created_at": at(n),
    }
    add(connection, Trace, **(fields | columns))


def verdict(connection: Connection, n: int, **columns: Any) -> None:
    """Add the verdict on trace n. Its numbers follow from n."""
    fields = {
        "id": 1000 + n,
        "trace_id": n,
        "verifier": "checks",
        "proof": f"proof {n}",
        "kind": f"kind {n}",
        "faithfulness": n / 16,
        "coherence": n / 32,
        "equations_checked": n + 1,
        "equations_false": n + 2,
        "equations_compound": n + 3,
        "unused": n + 4,
        "restatements": n / 128,
        "steps": n + 5,
        "first_error": n + 6,
        "ungrounded": n + 7,
        "majority": n / 2,
        "margin": n / 64,
        "concludes": n % 2 == 0,
        "signals": {"rating": n / 4096},
        "findings": [{"step": n}],
        "refused": f"refused {n}",
        "error": f"error {n}",
        "seconds": 1.0,
        "created_at": at(1000 + n),
    }
    add(connection, Verdict, **(fields | columns))


def add(connection: Connection, table: Any, **columns: Any) -> None:
    connection.execute(insert(table).values(**columns))
