"""Each transition of a question or a job changes only the expected rows."""

import json
from typing import Any

import pytest

from producer.enqueue import enqueue
from tests.integration.factory import additions, change, fill, job_spec, job_state, rows, value
from tests.integration.feeding import leases_run_out
from tests.integration.statements import (
    STATES,
    claim,
    claim_id,
    execute,
    fetch,
    insert_trace,
    keys,
    spread,
    state_of,
    versions,
)
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

#: For each statement: the states from which it moves a question, with the next state.
TRANSITIONS = {
    "queue": {"pending": "queued"},
    "unqueue": {"queued": "pending"},
    "claim": {"pending": "running", "queued": "running"},
    "end_claims": {"running": "running", "generated": "generated"},
    "hand_back": {"running": "pending"},
    "generated": dict.fromkeys(("pending", "queued", "running", "failed"), "generated"),
    "release": {"running": "pending"},
    "put_off": {"running": "pending"},
    "engine_died": {"running": "pending"},
    "take_back": {"queued": "pending", "running": "pending"},
    "overdue_verifications": {"generated": "generated"},
    "claim_verification": {"generated": "generated"},
    "verify_again": {"generated": "generated"},
    "not_verified": {"generated": "generated"},
    "verification_failed": {"generated": "generated"},
    "judge_died": {"generated": "generated"},
    "settle": {"generated": "done"},
    "retry_failed": {"failed": "pending"},
}
CLAIMED = ("end_claims", "hand_back", "release", "put_off", "engine_died", "verify_again")


def run(name: str, job_id: int, question_ids: list[int], **changes: Any) -> None:
    """Apply a transition to some questions of a job."""
    values: dict[str, Any] = {
        "job_id": job_id,
        **keys(job_id, *question_ids, claim="next" if name == "claim" else "worker"),
        "claim_id": claim_id("worker"),
        "owner": "worker",
        "lease": 60,
        "room": 10,
        "max_attempts": 5,
        "takes_back": True,
    } | changes
    each = [{"question_id": question_id} for question_id in question_ids]
    match name:
        case "release":
            execute(name, *each, **({"error": "it broke", "permanent": False, "counts": True} | values))
        case "put_off":
            execute(name, *each, **values, error="it is away", longest=60)
        case "engine_died" | "judge_died":
            execute(name, **values, error="it died", is_alone=False)
        case "not_verified" | "verification_failed":
            execute(name, *each, **values, error="no sandbox")
        case "settle":
            settled = [row | {"wanted": 0, "traces": 0, "accepted": 0, "next": 0} for row in each]
            execute(name, job_id=job_id, rows=json.dumps(settled))
        case _:
            execute(name, **values)


def two_jobs() -> tuple[int, int]:
    """Two jobs over the same six questions, with one question of each in each state."""
    job_id = fill(additions(6), "sums").job_id
    other = enqueue(additions(6), job_spec("another"), dataset="sums", domain="math").job_id
    spread(job_id)
    spread(other)
    return job_id, other


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_transition_changes_only_questions_in_the_expected_states(clean: Stack, name: str) -> None:
    job_id, _ = two_jobs()
    before, at_first = versions(), state_of(job_id)
    run(name, job_id, list(at_first))
    after = versions()
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {(job_id, question) for question, state in at_first.items() if state in TRANSITIONS[name]}
    assert state_of(job_id) == {q: TRANSITIONS[name].get(state, state) for q, state in at_first.items()}


NAMED = (
    *("unqueue", "claim", "end_claims", "hand_back", "generated", "release", "put_off", "engine_died", "verify_again"),
    *("claim_verification", "not_verified", "verification_failed", "judge_died", "settle"),
)


@pytest.mark.parametrize("name", NAMED)
def test_a_transition_changes_only_the_named_questions(clean: Stack, name: str) -> None:
    job_id, other = two_jobs()
    change("update job_questions set state = :state", state=next(iter(TRANSITIONS[name])))
    before = versions()
    run(name, job_id, [2, 3])
    after = versions()
    assert {key for key in before if before[key] != after[key]} == {(job_id, 2), (job_id, 3)}
    if name in (
        "claim",
        "end_claims",
        "hand_back",
        "generated",
    ):  # (job, question) pairs, not every job with every question
        both = {"job_ids": [job_id, other], "question_ids": [4, 5], "claim_ids": [claim_id("worker")] * 2}
        execute(name, **both, owner="worker", lease=60, reserved=[0, 0], is_covered=False)
        now = versions()
        assert {key for key in after if after[key] != now[key]} == {(job_id, 4), (other, 5)}


@pytest.mark.parametrize("name", CLAIMED)
def test_a_late_claim_does_not_change_a_later_claim_of_the_same_worker(clean: Stack, name: str) -> None:
    job_id, _ = two_jobs()
    before, late = versions(), claim_id("late")
    run(name, job_id, list(state_of(job_id)), claim_id=late, claim_ids=[late] * len(STATES))
    assert versions() == before


@pytest.mark.parametrize("name", ["hand_back", "generated", "release", "put_off", "engine_died", "take_back"])
def test_a_question_without_a_claim_has_no_owner_and_no_reserved_cost(clean: Stack, name: str) -> None:
    job_id, _ = two_jobs()
    (running,) = [question for question, state in state_of(job_id).items() if state == "running"]
    run(name, job_id, list(state_of(job_id)))
    (row,) = rows("select owner, claim_id, reserved, lease_until from job_questions "
                  "where job_id = :job and question_id = :question", job=job_id, question=running)  # fmt: skip
    assert (row.owner, row.claim_id, row.reserved) == (None, None, 0)
    assert (row.lease_until is None) == (name != "generated")


@pytest.mark.parametrize("name", ["unqueue", "settle"])
def test_a_question_that_waits_for_no_process_has_no_lease(clean: Stack, name: str) -> None:
    job_id, _ = two_jobs()
    (before,) = TRANSITIONS[name]
    (question,) = [question for question, state in state_of(job_id).items() if state == before]
    run(name, job_id, [question])
    assert value("select lease_until from job_questions where job_id = :job and question_id = :question",
                 job=job_id, question=question) is None  # fmt: skip


def test_unqueue_without_ids_changes_all_queued_questions_of_the_job(clean: Stack) -> None:
    job_id, other = two_jobs()
    execute("unqueue", job_id=job_id, question_ids=None)
    assert "queued" not in state_of(job_id).values()
    assert "queued" in state_of(other).values()


@pytest.mark.parametrize(
    ("name", "changes", "attempts"),
    [
        ("claim", {}, 2),
        ("hand_back", {}, 0),
        ("put_off", {}, 0),
        ("engine_died", {}, 0),
        ("generated", {}, 0),
        ("release", {"counts": True}, 1),
        ("release", {"counts": False}, 0),
        ("take_back", {}, 1),
        ("retry_failed", {}, 0),
    ],
)
def test_each_transition_sets_the_expected_number_of_attempts(
    clean: Stack, name: str, changes: dict[str, bool], attempts: int
) -> None:
    job_id, _ = two_jobs()
    before = {"claim": "queued", "retry_failed": "failed"}.get(name, "running")
    (question,) = [question for question, state in state_of(job_id).items() if state == before]
    run(name, job_id, [question], **changes)
    assert attempts == value("select attempts from job_questions where job_id = :job and question_id = :question",
                             job=job_id, question=question)  # fmt: skip


@pytest.mark.parametrize("name", ["hand_back", "release"])
def test_attempts_never_fall_below_zero(clean: Stack, name: str) -> None:
    job_id = fill(additions(1), "sums").job_id
    claim(job_id, 1)
    change("update job_questions set attempts = 0")
    run(name, job_id, [1], counts=False)
    assert rows("select state, attempts from job_questions") == [("pending", 0)]


@pytest.mark.parametrize("name", ["release", "take_back"])
def test_a_question_fails_at_its_last_attempt_and_not_before(clean: Stack, name: str) -> None:
    job_id = fill(additions(3), "sums").job_id
    claim(job_id, 1, 2, 3)
    leases_run_out()
    change("update job_questions set attempts = question_id + 1")
    run(name, job_id, [1, 2, 3], max_attempts=3)
    assert state_of(job_id) == {1: "pending", 2: "failed", 3: "failed"}


# The results of a visit.


def test_a_question_is_generated_with_its_last_trace_and_not_before(clean: Stack) -> None:
    job_id = fill(additions(2), "sums", samples=2).job_id
    claim(job_id, 1, 2)
    both = {"job_ids": [job_id, job_id], "question_ids": [1, 2], "lease": 60}
    insert_trace(job_id, 1, index=0)
    insert_trace(job_id, 2, index=0)
    assert fetch("generated", **both) == []
    insert_trace(job_id, 1, index=1)
    assert fetch("generated", **both) == [(job_id, 1)]
    assert state_of(job_id) == {1: "generated", 2: "running"}


def test_the_traces_of_a_late_owner_count_and_are_stored_once(clean: Stack) -> None:
    job_id = fill(additions(1), "sums", samples=1).job_id
    claim(job_id, 1, owner="late")
    leases_run_out()
    execute("take_back", job_id=job_id, max_attempts=5)
    claim(job_id, 1, owner="next")
    assert insert_trace(job_id, 1, worker="late", text="The answer is 1.") == 1
    assert fetch("generated", job_ids=[job_id], question_ids=[1], lease=60) == [(job_id, 1)]
    assert insert_trace(job_id, 1, worker="next", text="The answer is 2.") == 0
    assert fetch("generated", job_ids=[job_id], question_ids=[1], lease=60) == []
    assert rows("select worker, text from traces") == [("late", "The answer is 1.")]


def logprobs(job_id: int, text: str, worker: str, payload: bytes = b"kept", **position: Any) -> int:
    row = {"job_id": job_id, "question_id": 1, "variant": "", "sample_index": 0} | position
    stored = {"top_k": 1, "tokens": 5, "encoding": "test", "payload": payload}
    return execute("insert_logprobs", **row, **stored, worker=worker, text=text)


def test_log_probabilities_are_stored_only_for_the_stored_trace(clean: Stack) -> None:
    job_id = fill(additions(2), "sums", samples=2).job_id
    insert_trace(job_id, 1, worker="first", text="A text.")
    insert_trace(job_id, 1, worker="first", text="Another text.", index=1)
    assert logprobs(job_id, "A text.", "late") == 0
    assert logprobs(job_id, "A late text.", "first") == 0
    assert logprobs(job_id, "A text.", "first", sample_index=1) == 0
    assert logprobs(job_id, "A text.", "first", variant="other") == 0
    assert logprobs(job_id, "A text.", "first", question_id=2) == 0
    assert logprobs(job_id + 1, "A text.", "first") == 0
    assert logprobs(job_id, "A text.", "first") == 1
    assert logprobs(job_id, "A text.", "first", payload=b"again") == 0
    assert value("select payload from trace_logprobs") == b"kept"


# Settling.


def settle(job_id: int, **changes: Any) -> int:
    row = {"question_id": 1, "wanted": 2, "traces": 2, "accepted": 1, "next": 2, "ended": "spent"} | changes
    return execute("settle", job_id=job_id, rows=json.dumps([row]))


@pytest.fixture
def generated(clean: Stack) -> int:
    """A job with one question that has two traces and waits for their verdicts."""
    job_id = fill(additions(1), "sums", samples=3, batch=2, enough=2).job_id
    claim(job_id, 1)
    insert_trace(job_id, 1, index=0)
    insert_trace(job_id, 1, index=1)
    fetch("generated", job_ids=[job_id], question_ids=[1], lease=60)
    assert state_of(job_id) == {1: "generated"}
    return job_id


def test_a_question_is_settled_once_with_the_decision(generated: int) -> None:
    change("update job_questions set last_error = 'no sandbox'")
    assert [settle(generated), settle(generated, accepted=2)] == [1, 0]
    stored = rows("select state, wanted, settled, accepted, ended, last_error from job_questions")
    assert stored == [("done", 2, 2, 1, "spent", None)]


def test_a_question_that_needs_more_samples_is_pending_again(generated: int) -> None:
    assert settle(generated, next=3, ended=None) == 1
    stored = rows("select state, wanted, settled, accepted, ended from job_questions")
    assert stored == [("pending", 3, 2, 1, None)]


def test_a_decision_about_other_traces_settles_nothing(generated: int) -> None:
    for late in ({"wanted": 1}, {"wanted": 3}, {"traces": 1}, {"traces": 3}):
        assert settle(generated, **late) == 0
    assert state_of(generated) == {1: "generated"}


def test_settling_never_lowers_the_number_of_needed_traces(generated: int) -> None:
    assert settle(generated, next=1) == 1
    assert rows("select state, wanted from job_questions") == [("done", 2)]


VERDICT = {"verifier": "rules", "equations_checked": 0, "equations_false": 0, "steps": 1, "signals": {}, "findings": []}


def insert_verdict(trace_id: int, *, accepted: bool) -> int:
    verdict = VERDICT | {"trace_id": trace_id, "accepted": accepted, "seconds": 0.1}
    return execute("insert_verdicts", rows=json.dumps([verdict]))


def test_the_first_verdict_of_a_verifier_is_kept(generated: int) -> None:
    assert [insert_verdict(1, accepted=False), insert_verdict(1, accepted=True)] == [1, 0]
    assert rows("select trace_id, accepted from verdicts") == [(1, False)]


def test_a_vote_counts_only_while_its_question_waits_for_these_traces(generated: int) -> None:
    insert_verdict(1, accepted=False)
    insert_verdict(2, accepted=False)
    vote = {"trace_id": 1, "verifier": "rules", "majority": 1, "margin": 1, "proof": "majority 2/2", "accepted": True}
    assert execute("revote", vote | {"wanted": 3}) == 0
    assert execute("revote", vote | {"wanted": 2, "verifier": "another"}) == 0
    assert execute("revote", vote | {"wanted": 2}) == 1
    assert rows("select trace_id, accepted, proof from verdicts order by 1") == [
        (1, True, "majority 2/2"),
        (2, False, None),
    ]
    settle(generated)
    assert execute("revote", vote | {"wanted": 2, "accepted": False}) == 0


# Jobs.

JOB_STATES = ("filling", "running", "paused", "over_budget", "cancelled", "done")


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("job_filled", {"filling": "running"}),
        ("reopen_job", {"done": "running"}),
        ("finish_job", {"running": "done"}),
        ("over_budget", {"running": "over_budget"}),
    ],
)
def test_a_job_changes_only_from_the_expected_state(clean: Stack, name: str, allowed: dict[str, str]) -> None:
    ids = {state: fill(additions(1), state, budget=10, budget_unit="tokens").job_id for state in JOB_STATES}
    if name != "reopen_job":
        change("update job_questions set state = 'done'")
    change("update jobs set state = name, spent = 10")
    for job_id in ids.values():
        execute(name, job_id=job_id)
    assert {state: job_state(state) for state in JOB_STATES} == {s: allowed.get(s, s) for s in JOB_STATES}


def jobs_with_one_question_in_each_state() -> dict[str, int]:
    """For each state a job with two questions: one in that state, the other done."""
    ids = {state: fill(additions(2), state, budget=10, budget_unit="tokens").job_id for state in STATES}
    change("update job_questions q set state = case when question_id = (select min(question_id) from job_questions "
           "where job_id = q.job_id) then j.name else 'done' end from jobs j where j.id = q.job_id")  # fmt: skip
    return ids


def moved(name: str, ids: dict[str, int]) -> set[str]:
    return {state for state, job_id in ids.items() if execute(name, job_id=job_id)}


def test_a_job_is_done_only_when_all_its_questions_are(clean: Stack) -> None:
    assert moved("finish_job", jobs_with_one_question_in_each_state()) == {"done", "failed"}


def test_a_job_is_over_budget_when_all_paid_traces_are_verified(clean: Stack) -> None:
    ids = jobs_with_one_question_in_each_state()
    change("update jobs set spent = 9.99")
    assert moved("over_budget", ids) == set()
    change("update jobs set spent = 10")
    assert moved("over_budget", ids) == {"pending", "queued", "done", "failed"}


def test_only_questions_without_an_answer_or_a_verdict_reopen_a_done_job(clean: Stack) -> None:
    ids = jobs_with_one_question_in_each_state()
    change("update jobs set state = 'done', finished_at = now()")
    assert moved("reopen_job", ids) == {"pending", "generated"}


def test_only_filling_and_running_jobs_are_active(clean: Stack) -> None:
    ids = {state: fill(additions(1), state).job_id for state in JOB_STATES}
    change("update jobs set state = name")
    active = {ids["filling"], ids["running"]}
    assert {row.id for row in fetch("active_jobs")} == {row.id for row in fetch("demands", most=10)} == active


def test_a_jobs_demand_counts_the_questions_in_each_state_once(clean: Stack) -> None:
    two_jobs()
    change("update jobs set budget = 10, budget_unit = 'tokens'")
    stored = [tuple(row)[3:] for row in fetch("demands", most=10)]
    assert stored == [(1, 1, 1, 1, True)] * 2
    change("update jobs set budget = 10.5")
    assert [row.budget_in_use for row in fetch("demands", most=10)] == [False, False]
    change("update jobs set budget = null, budget_unit = null")
    assert [row.budget_in_use for row in fetch("demands", most=10)] == [False, False]
    change("update job_questions set state = 'pending'")
    assert [row.pending for row in fetch("demands", most=4)] == [4, 4]
