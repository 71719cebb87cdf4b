"""From stored traces to verdicts, with the real checks, database and engines. The judges are scripted."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.policies import in_words
from db import calibrations
from db.calibrations import judged_traces
from db.queries import Q
from db.session import transaction
from producer.opening import informed
from producer.sources import Question
from tests.integration.factory import change, fill, rows, states, value
from tests.integration.feeding import step
from tests.integration.statements import fetch, keys
from tests.integration.verifying import right_and_wrong, store, sums
from tests.scripted_server import ScriptedServer
from tracemill.engines import Engine
from tracemill.engines.registry import trouble
from tracemill.errors import EngineAway
from tracemill.policy import Gate, Policy, Signal
from tracemill.settings import settings
from tracemill.stack import Stack
from tracemill.verification import Verdict, Verifier, calibration
from tracemill.verification.code.sandbox import Sandbox
from tracemill.verification.judge import CanaryResult, Case, Judged, ask, bounded
from workers import claims
from workers.judging import ask_judge
from workers.verify import verify

pytestmark = pytest.mark.integration


def calibrated(judge: str) -> None:
    """Calibrate the judge on the traces of a job, all of which it rates."""
    questions = sums(60)
    fill(questions, f"labelled-{judge}", samples=2, policy=Policy(judge=judge, judge_refused=True))
    store(f"labelled-{judge}", right_and_wrong(questions))
    measured = calibration.measure(judged_traces(f"labelled-{judge}", judge, None))
    calibrations.store(judge, f"scripted {judge}", "test", measured)


def accepted(job: str) -> dict[str, int]:
    scores = rows(
        "select count(*) filter (where correct) as right, count(*) filter (where accepted) as accepted, "
        "count(*) filter (where accepted and (signals->>'rating')::float < 0.5) as below "
        "from trace_scores where job = :job",
        job=job,
    )
    return dict(scores[0]._mapping)


def test_a_gate_on_a_judge_of_known_quality_holds(judged_stack: Stack) -> None:
    calibrated("good")
    policy = informed(Policy(judge="good", gates={"rating": Gate(precision=0.8)}))
    assert policy.uninformative == {}
    least, precision, _ = policy.thresholds["rating"]
    assert precision.low >= 0.8
    fill(sums(40), "gated", samples=2, policy=policy)
    store("gated", right_and_wrong(sums(40)))
    stored = Policy.model_validate(value("select policy from jobs where name = 'gated'"))
    assert stored.thresholds == policy.thresholds
    scores = rows(
        "select accepted, (signals->>'rating')::float as rating from trace_scores where job = 'gated' and correct"
    )
    assert len(scores) == 40
    assert all(row.accepted == (row.rating >= least) for row in scores)
    assert {row.accepted for row in scores} == {True, False}


def test_a_gate_that_the_labels_cannot_support_is_ignored_with_the_reason(judged_stack: Stack) -> None:
    calibrated("good")
    policy = informed(Policy(judge="good", gates={"rating": Gate(precision=0.99)}))
    assert policy.thresholds == {}
    assert policy.uninformative["rating"].startswith("60 right traces are too few labels for a precision of 0.99")


def test_a_gate_on_a_judge_at_chance_is_ignored_with_the_reason(judged_stack: Stack) -> None:
    calibrated("chance")
    policy = informed(Policy(judge="chance", gates={"rating": Gate(quantile=0.1)}))
    assert "is not above 0.5" in policy.uninformative["rating"]
    fill(sums(40), "ignored", samples=2, policy=policy)
    store("ignored", right_and_wrong(sums(40)))
    counts = accepted("ignored")
    assert counts["accepted"] == counts["right"] == 40
    assert counts["below"] > 5
    stored = Policy.model_validate(value("select policy from jobs where name = 'ignored'"))
    assert in_words(stored)["signal rating"].startswith("stored and ignored: AUC 0.")
    marked = rows(
        "select distinct signals->'uninformative' as marks from trace_scores where job = 'ignored' and accepted"
    )
    assert [row.marks for row in marked] == [["rating"]]


def test_a_gate_on_a_judge_that_was_never_measured_is_open(judged_stack: Stack) -> None:
    policy = informed(Policy(judge="good", gates={"rating": Gate(quantile=0.1)}))
    assert policy.uninformative == {"rating": "not calibrated"}
    fill(sums(40), "unmeasured", samples=2, policy=policy)
    store("unmeasured", right_and_wrong(sums(40)))
    counts = accepted("unmeasured")
    assert counts["accepted"] == counts["right"] == 40
    assert counts["below"] > 0


def test_a_gullible_judge_is_caught_by_the_canaries_of_its_job(judged_stack: Stack) -> None:
    for judge, fooled in (("gullible", True), ("firm", False)):
        fill(sums(1), f"watched-{judge}", samples=2, policy=Policy(judge=judge))
        store(f"watched-{judge}", right_and_wrong(sums(1)))
        job_id = value("select id from jobs where name = :job", job=f"watched-{judge}")
        with transaction() as connection:
            canaries = [dict(row) for row in connection.execute(Q["job_canaries"], {"job_id": job_id}).mappings()]
        assert len(canaries) == 16
        assert any(row["fooled"] for row in canaries) is fooled
        canary_text = in_words(Policy(judge=judge), canaries)["canaries"]
        assert canary_text.startswith("THE JUDGE FELL FOR") is fooled


def test_the_judge_rates_only_traces_that_could_be_accepted(
    judged_stack: Stack, judges: dict[str, ScriptedServer]
) -> None:
    fill(sums(5), "frugal", samples=2, policy=Policy(judge="firm"))
    store("frugal", right_and_wrong(sums(5)))
    scores = rows("select correct, signals from trace_scores where job = 'frugal'")
    assert [bool(row.signals) for row in scores] == [row.correct for row in scores]
    assert [row.correct for row in scores].count(True) == 5


def test_without_a_gold_answer_the_samples_vote_and_the_vote_is_no_gold(judged_stack: Stack) -> None:
    question = Question("Which number do I think of?", None, "math", None, {}, None)
    answers = ["The answer is 0.5.", r"So \boxed{\frac{1}{2}}.", "The answer is 1/2.", "The answer is 3.", "No idea."]
    for job, policy, expected in (("vote", Policy(), 0), ("majority", Policy(majority=0.6), 3)):
        fill([question], job, samples=5, policy=policy)
        store(job, {question.text: answers})
        scores = rows(
            "select correct, proof, majority, margin, accepted from trace_scores where job = :job "
            "order by sample_index",
            job=job,
        )
        assert {row.correct for row in scores} == {None}
        assert [row.proof for row in scores] == ["majority 3/5"] * 3 + ["minority 1/5", "no gold answer"]
        assert scores[0].majority == pytest.approx(0.6)
        assert scores[0].margin == pytest.approx(0.4)
        assert sum(row.accepted for row in scores) == expected


def test_a_program_is_run_against_its_tests(judged_stack: Stack) -> None:
    tests = "assert add(1, 2) == 3\nassert add(-1, 1) == 0"
    question = Question("Write a function add(a, b).", tests, "code", "code", {}, None)
    fill([question], "programs", samples=2, policy=Policy(stated=False))
    fence = "```python\ndef add(a, b):\n    return a {} b\n```"
    store("programs", {question.text: [fence.format("+"), fence.format("-")]})
    scores = rows("select correct, kind, accepted from trace_scores where job = 'programs' order by sample_index")
    assert [(row.correct, row.kind, row.accepted) for row in scores] == [(True, "code", True), (False, "code", False)]


def test_a_program_without_a_sandbox_waits_for_a_worker_that_has_one(
    judged_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracemill.verification.pipeline.sandbox", lambda: Sandbox(bwrap="/no/such/bwrap"))
    question = Question("Write a function one().", "assert one() == 1", "code", "code", {}, None)
    fill([question], "waiting", samples=1)
    store("waiting", {question.text: ["```python\ndef one():\n    return 1\n```"]})
    assert states("waiting") == {"generated": 1}
    assert "/no/such/bwrap" in value("select last_error from job_questions")
    monkeypatch.undo()
    job_id, question_id = rows("select job_id, question_id from job_questions")[0]
    verify(job_id, [question_id])
    assert states("waiting") == {"done": 1}
    assert value("select correct from trace_scores where job = 'waiting'") is True


def test_without_a_sandbox_only_the_questions_of_programs_wait(
    judged_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracemill.verification.pipeline.sandbox", lambda: Sandbox(bwrap="/no/such/bwrap"))
    program = Question("Write a function one().", "assert one() == 1", "code", "code", {}, None)
    job_id = fill([program, *sums(1)], "mixed", samples=2).job_id
    texts = {program.text: ["```python\ndef one():\n    return 1\n```"] * 2} | right_and_wrong(sums(1))
    store("mixed", texts, check=False)
    verify(job_id, [row.question_id for row in rows("select question_id from job_questions")])
    assert states("mixed") == {"generated": 1, "done": 1}
    assert value("select count(*) from verdicts") == 2
    assert value("select count(*) from job_questions where last_error like 'no sandbox%'") == 1


def test_an_answer_that_was_cut_off_is_refused_where_the_policy_asks(judged_stack: Stack) -> None:
    fill(sums(1), "cut", samples=2, policy=Policy(finished=True))
    store("cut", right_and_wrong(sums(1)), finish_reason="length")
    assert accepted("cut") == {"right": 1, "accepted": 0, "below": 0}


def test_free_text_that_differs_is_decided_by_a_judge_that_was_measured(judged_stack: Stack) -> None:
    question = Question("Name the capital of France.", "the city of Paris", "general", "text", {}, None)
    trusting = Policy(judge="firm", signals=("agreement",))
    for job, policy, expected in (("trusted", trusting, False), ("untrusted", informed(trusting), None)):
        fill([question], job, samples=1, policy=policy)
        store(job, {question.text: ["The answer is the town on the Seine."]})
        row = rows("select correct, proof, signals from trace_scores where job = :job", job=job)[0]
        assert row.correct is expected  # the scripted judge accepts only right sums
        assert row.proof.startswith("agreement 0.05 by firm") is (expected is not None)


def test_a_worker_without_a_sandbox_reports_that_at_its_start(
    judged_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracemill.verification.pipeline.sandbox", lambda: Sandbox(bwrap="/no/such/bwrap"))
    monkeypatch.setattr("cli.workers._celery", lambda *_: None)
    started = CliRunner().invoke(app, ["worker", "verify"])
    assert started.exit_code == 0
    assert "programs (kind code) are not verified here" in started.stderr
    assert "/no/such/bwrap" in started.stderr


def test_a_job_asks_its_canaries_once_despite_concurrent_verification(
    judged_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_jobs: list[int] = []

    async def counted(engine: Engine) -> list[CanaryResult]:
        asked_jobs.append(1)
        await asyncio.sleep(0.2)
        return [CanaryResult("1 + 1 = 3", "threat", 0.1, 0.1, False)]

    monkeypatch.setattr(bounded, "canaries", counted)
    fill(sums(8), "crowd", samples=2, policy=Policy(judge="firm"))
    store("crowd", right_and_wrong(sums(8)), check=False)
    job_id = value("select id from jobs where name = 'crowd'")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda row: verify(job_id, [row.question_id]), rows("select question_id from job_questions")))
    assert len(asked_jobs) == 1
    assert states("crowd") == {"done": 8}


def test_a_verifier_releases_its_questions_at_shutdown(judged_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = fill(sums(2), "left", samples=2).job_id
    store("left", right_and_wrong(sums(2)), check=False)
    change("update job_questions set lease_until = now() + interval '1 hour'")
    question_ids = [row.question_id for row in rows("select question_id from job_questions")]
    monkeypatch.setattr("workers.verify.draining", lambda: True)
    verify(job_id, question_ids)
    assert states("left") == {"generated": 2}
    assert value("select count(*) from job_questions where lease_until <= now()") == 2


def test_judgements_survive_a_postgres_outage_without_a_second_request(
    judged_stack: Stack, judges: dict[str, ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sums(2), "away", samples=2, policy=Policy(judge="firm"))
    store("away", right_and_wrong(sums(2)), check=False)
    job_id = value("select id from jobs where name = 'away'")

    def judged_before_postgres_goes(*given: Any) -> list[Judged | None]:
        ratings = ask_judge(*given)
        judges["firm"].requests.clear()
        change("alter table verdicts add constraint gone check (away())")
        return ratings

    # Like a server that shuts down (SQLSTATE class 57), while the sequence is below 3.
    change("create sequence attempts")
    change(
        "create function away() returns bool language plpgsql as $$ begin if nextval('attempts') < 3 then "
        "raise exception 'shutting down' using errcode = '57P01'; end if; return true; end $$"
    )
    monkeypatch.setattr("workers.verify.ask_judge", judged_before_postgres_goes)
    try:
        verify(job_id, [row.question_id for row in rows("select question_id from job_questions")])
    finally:
        change("alter table verdicts drop constraint if exists gone")
        change("drop function away; drop sequence attempts")
    assert states("away") == {"done": 2}
    assert accepted("away")["accepted"] == 2
    assert list(judges["firm"].requests) == []


def test_judgements_before_an_outage_are_kept_and_only_the_rest_repeated(
    judged_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[str] = []

    async def goes_away(engine: Engine, case: Case, signals: Iterable[Signal]) -> Judged:
        prompts.append(case.steps[0])
        if case.steps[0] == "A fourth.":
            raise EngineAway("no answer")
        return await ask(engine, case, signals)

    questions = sums(2)
    starts = iter(["A first.", "A second.", "A third.", "A fourth."])
    texts = {q.text: [f"{next(starts)}\nThe answer is {q.gold}." for _ in range(2)] for q in questions}
    job_id = fill(questions, "halved", samples=2, policy=Policy(judge="firm")).job_id
    store("halved", texts, check=False)
    question_ids = [row.question_id for row in rows("select question_id from job_questions")]
    with monkeypatch.context() as patch:
        patch.setattr(bounded, "ask", goes_away)
        verify(job_id, question_ids)
        assert sorted(prompts) == ["A first.", "A fourth.", "A second.", "A third."]
        assert states("halved") == {"done": 1, "generated": 1}
        assert value("select last_error from job_questions where state = 'generated'") == "no answer"
        assert value("select count(*) from verdicts") == 3
        assert "no answer" in str(trouble())
        prompts.clear()
        verify(job_id, question_ids)
        assert prompts == ["A fourth."]
    verify(job_id, question_ids)
    assert states("halved") == {"done": 2}
    assert accepted("halved")["right"] == 4
    assert trouble() is None


def test_a_vote_that_comes_late_changes_nothing(judged_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question("Which number do I think of?", None, "math", None, {}, None)
    job_id = fill([question], "late", samples=4, policy=Policy(majority=0.5)).job_id
    store("late", {question.text: ["The answer is 2.", "The answer is 2."]})
    question_id = value("select question_id from job_questions")
    change("update job_questions set wanted = 3, state = 'generated'")
    store("late", {question.text: ["The answer is 3."]}, check=False)

    verify_items = Verifier.verify

    def later(*given: Any) -> list[Verdict]:
        """A verifier is lost while it checks three traces; two more arrive and another verifier finishes all five."""
        monkeypatch.setattr(Verifier, "verify", verify_items)
        store("late", {question.text: ["The answer is 3."] * 2}, check=False)
        change("update job_questions set wanted = 5, lease_until = now()")
        with ThreadPoolExecutor(1) as other:
            other.submit(verify, job_id, [question_id]).result()
        return verify_items(*given)

    monkeypatch.setattr(Verifier, "verify", later)
    verify(job_id, [question_id])
    scores = rows("select majority, accepted from trace_scores where job = 'late' order by sample_index")
    assert [row.majority for row in scores] == pytest.approx([0.4, 0.4, 0.6, 0.6, 0.6])
    assert [row.accepted for row in scores] == [False, False, True, True, True]


def test_a_question_that_another_verifier_works_on_is_left_to_it(clean: Stack) -> None:
    questions = sums(2)
    job_id = fill(questions, "sums", samples=2).job_id
    store("sums", right_and_wrong(questions), check=False)
    assert fetch("claim_verification", **keys(job_id, 1, claim="other"), owner="other") == [(1,)]
    verify(job_id, [1, 2])
    verify(job_id, [1, 2])
    assert states("sums")["generated"] == 1
    assert value("select count(*) from verdicts") == 2
    change("update job_questions set lease_until = now() where state = 'generated'")  # the other one is lost
    verify(job_id, [1, 2])
    assert value("select count(*) from verdicts") == 4
    assert rows("select distinct owner, claim_id from job_questions") == [(None, None)]


def test_a_verifier_keeps_its_claims_while_it_works(clean: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = sums(1)
    job_id = fill(questions, "sums", samples=2).job_id
    store("sums", right_and_wrong(questions), check=False)
    verify_items = Verifier.verify

    def slowly(*given: Any) -> list[Verdict]:
        claims.end_forgotten()
        step(settings().feeder)
        assert rows("select owner, lease_until from job_questions") == [(claims.owner(), None)]
        return verify_items(*given)

    monkeypatch.setattr(Verifier, "verify", slowly)
    verify(job_id, [1])
    assert value("select count(*) from verdicts") == 2
    assert claims.held == set()
