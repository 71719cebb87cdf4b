"""Budgets: reservation, spending, and a job's end. The model is scripted; tasks and database are real."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from cli.main import app
from db.queries import Q
from db.session import transaction
from producer.enqueue import enqueue_from
from tests.integration.factory import additions, change, fill, job_spec, job_state, rows, states, value, wait_until
from tests.integration.feeding import step
from tests.integration.statements import claim, claim_id, fetch, insert_trace, keys, state_of
from tests.integration.visits import Observed, in_this_process, work
from tests.scripted_server import Fault
from tracemill.methods import named, prompts
from tracemill.policy import Policy
from tracemill.sampling import Sampling
from tracemill.settings import settings
from tracemill.stack import Stack
from workers import claims, spending
from workers import generate as generating
from workers.generate import generate
from workers.job import worker_job
from workers.spending import pay, take_from_slice

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def teacher() -> Iterator[Observed]:
    with Observed() as server:
        yield server


@pytest.fixture
def database(clean: Stack, teacher: Observed, tmp_path: Path) -> Iterator[Stack]:
    teacher.during, teacher.faults = lambda: None, iter(())
    teacher.requests.clear()
    with in_this_process(clean, teacher, tmp_path) as stack:
        yield stack


@pytest.mark.parametrize("state", ["paused", "cancelled", "over_budget", "done"])
def test_a_stopped_job_sends_no_request_for_messages_in_redis(database: Stack, teacher: Observed, state: str) -> None:
    plain = fill(additions(2), "plain").job_id
    dear = fill(additions(2), "dear", budget=1000, budget_unit="tokens").job_id
    assert step(settings().feeder).queued == 4
    change("update jobs set state = :state", state=state)
    for row in rows("select job_id, question_id from job_questions"):
        generate(row.job_id, [row.question_id])
    assert list(teacher.requests) == []
    assert rows("select distinct attempts, owner, reserved from job_questions") == [(0, None, 0)]
    assert state_of(plain).keys() == {1, 2}
    assert set(state_of(dear).values()) == {"pending"}


@pytest.mark.parametrize("state", ["filling", "running"])
def test_a_running_job_answers_its_messages_in_redis(database: Stack, teacher: Observed, state: str) -> None:
    job_id = fill(additions(1), "plain", samples=1).job_id
    step(settings().feeder)
    change("update jobs set state = :state", state=state)
    generate(job_id, [1])
    assert len(teacher.requests) == 1
    assert states("plain") == {"generated": 1}


def test_a_visit_that_is_under_way_when_its_job_is_paused_is_stored(database: Stack, teacher: Observed) -> None:
    job_id = fill(additions(1), "plain", samples=1).job_id
    step(settings().feeder)
    teacher.during = lambda: change("update jobs set state = 'paused'") and None
    generate(job_id, [1])
    assert states("plain") == {"generated": 1}
    assert value("select count(*) from traces") == 1


def test_a_worker_that_fails_late_leaves_the_next_ones_claim_alone(database: Stack, teacher: Observed) -> None:
    job_id = fill(additions(1), "plain", samples=1).job_id
    step(settings().feeder)

    def takes_over() -> None:
        change("update job_questions set owner = 'next', claim_id = gen_random_uuid(), last_error = null")
        raise RuntimeError("scripted to fail")  # the server answers 500

    teacher.during = takes_over
    generate(job_id, [1])
    questions = rows("select state, owner, attempts, last_error from job_questions")
    assert questions == [("running", "next", 1, None)]


# Reservation.


@pytest.mark.parametrize(("unit", "price"), [("tokens", 1.0), ("money", 3e-6)])
@pytest.mark.parametrize("method", ["cot", "refine", "explain", "inject"])
def test_a_visit_reserves_at_least_its_cost(
    database: Stack, teacher: Observed, method: str, unit: str, price: float
) -> None:
    first = fill(additions(1), "first", samples=1).job_id
    change("update questions set question = repeat('long ', 50) || question")
    insert_trace(first, 1, text="A solution. " * 100)
    spec = job_spec(
        "dear",
        method=method,
        prompts=prompts(named(method), ()),
        from_job_id=first,
        samples=2,
        budget=1e6,
        budget_unit=unit,
        sampling=Sampling(max_tokens=12),
    )
    job_id = enqueue_from(spec, accepted=None, limit=None).job_id
    reserved: list[float] = []
    teacher.during = lambda: reserved.append(
        value("select reserved from job_questions where job_id = :job", job=job_id)
    )
    step(settings().feeder)
    generate(job_id, [1])
    assert states("dear") == {"generated": 1}
    spent = value("select spent from job_progress where job_id = :job", job=job_id)
    assert 0 < spent <= reserved[0]
    # A byte is at most one token: so the limit is not exact, but of the same size in each unit.
    assert reserved[0] < 20 * spent
    # The price covers each call of the chain.
    calls = value("select sum(jsonb_array_length(calls) + 1) from traces where job_id = :job", job=job_id)
    assert spent >= 10 * calls * price
    if unit == "money":
        cost = value("select sum(cost) from traces where job_id = :job", job=job_id)
        assert spent == pytest.approx(cost, rel=1e-4)
    assert rows("select distinct reserved from job_questions") == [(0,)]


def test_a_visit_reserves_only_its_missing_traces(database: Stack) -> None:
    job_id = fill(additions(2), "dear", samples=3, budget=1e6, budget_unit="tokens").job_id
    insert_trace(job_id, 2)
    insert_trace(job_id, 2, index=1)
    rows = fetch("shortages", job_id=job_id, question_ids=[1, 2])
    assert {row.question_id: row.missing for row in rows} == {1: 3, 2: 1}
    assert [row.question_bytes for row in rows] == [len("What is 0 + 1?")] * 2
    assert [(row.gold_bytes, row.trace_bytes) for row in rows] == [(1, 0)] * 2


def test_the_lengths_that_are_reserved_for_are_bytes_of_the_longest_text(database: Stack) -> None:
    first = fill(additions(2), "first", samples=3).job_id
    job_id = fill(additions(1), "second", from_job_id=first).job_id
    change("update questions set question = 'é', gold = null where id = 3")
    change("insert into job_questions (job_id, question_id, wanted) values (:job, 1, 1)", job=job_id)
    insert_trace(first, 1, text="short")
    insert_trace(first, 1, text="ééé longest", index=1)
    insert_trace(first, 2, text="of another question")
    insert_trace(job_id, 1, text="of its own job, which is not quoted")
    (row,) = fetch("shortages", job_id=job_id, question_ids=[3])
    assert (row.question_bytes, row.gold_bytes, row.trace_bytes) == (2, 0, 0)
    (row,) = fetch("shortages", job_id=job_id, question_ids=[1])
    assert row.trace_bytes == len("ééé longest".encode())


# The distribution of the remaining budget.


@pytest.mark.parametrize(
    ("budget", "spent", "reserved", "claimed"),
    [
        (10, 0, 0, True),
        (10, 9.5, 0, True),
        (10, 10, 0, False),
        (10, 4, 6, False),
        (10, 4, 5.5, True),
        (None, 99, 99, True),
    ],
)
def test_a_visit_begins_while_anything_is_left_of_the_budget(
    clean: Stack, budget: float | None, spent: float, reserved: float, claimed: bool
) -> None:
    job_id = fill(additions(2), "dear", budget=budget, budget_unit="tokens").job_id
    other = fill(additions(1), "another").job_id
    claim(other, 3, reserved=1000)
    assert claim(job_id, 1, owner="first", reserved=reserved) == [1]
    change("update jobs set spent = :spent", spent=spent)
    assert claim(job_id, 2, owner="second", reserved=8) == ([2] if claimed else [])
    assert value("select reserved from job_questions where question_id = 2") == (8 if claimed else 0)


def test_a_reservation_counts_only_during_its_visit(clean: Stack) -> None:
    job_id = fill(additions(2), "dear", budget=10, budget_unit="tokens").job_id
    claim(job_id, 1, owner="first", reserved=10)
    assert claim(job_id, 2) == []
    change("update job_questions set state = 'generated' where question_id = 1")
    assert claim(job_id, 2) == [2]


def test_two_visits_at_once_do_not_spend_the_same_rest_of_a_budget(database: Stack, teacher: Observed) -> None:
    job_id = fill(
        additions(2), "dear", samples=1, budget=50, budget_unit="tokens", sampling=Sampling(max_tokens=40)
    ).job_id
    step(settings().feeder)
    with transaction() as first:
        first.execute(Q["lock_job"], {"job_id": job_id})
        second = threading.Thread(target=generate, args=(job_id, [2]))
        second.start()
        wait_until(lambda: value("select exists (select from pg_locks where not granted)"))
        values = keys(job_id, 1, reserved=50) | {"owner": "elsewhere"}
        assert first.execute(Q["claim"], values).one_or_none() is not None
    second.join(20)
    assert not second.is_alive()
    assert list(teacher.requests) == []
    assert state_of(job_id) == {1: "running", 2: "pending"}


# Slices of the budget.


def test_a_process_with_a_slice_waits_for_no_other_process(database: Stack) -> None:
    limits = {"budget": 1e6, "budget_unit": "tokens", "sampling": Sampling(max_tokens=12)}
    job_id = fill(additions(2), "dear", samples=1, **limits).job_id
    step(settings().feeder)
    generate(job_id, [1])
    with transaction() as other:
        other.execute(Q["lock_job"], {"job_id": job_id})
        second = threading.Thread(target=generate, args=(job_id, [2]))
        second.start()
        second.join(5)
        assert states("dear") == {"generated": 2}
    second.join()


def test_a_reservation_is_made_once_whether_in_a_slice_or_not(database: Stack) -> None:
    job_id = fill(additions(2), "dear", samples=1, budget=1e6, budget_unit="tokens").job_id
    change("insert into budget_slices values (:job, :owner, 1e5)", job=job_id, owner=claims.owner())
    assert generating._claim(claims.ClaimKey(job_id, 1, uuid4())) is not None
    reserved = value("select reserved from job_questions where question_id = 1")
    assert value("select remainder from budget_slices") == 1e5 - reserved
    assert fetch("budget_left", job_id=job_id)[0][0] == 1e6 - 1e5


@pytest.mark.parametrize("owner", ["elsewhere", None])
def test_the_last_visits_use_what_is_left_in_the_slices(database: Stack, owner: str | None) -> None:
    job_id = fill(additions(1), "dear", samples=1, budget=50, budget_unit="tokens").job_id
    change("insert into budget_slices values (:job, :owner, 50)", job=job_id, owner=owner or claims.owner())
    change("update jobs set spent = 49")
    work("dear")
    assert states("dear") == {"done": 1}
    assert rows("select * from budget_slices") == []


def test_a_job_whose_judge_spends_its_budget_has_no_slices(database: Stack) -> None:
    for question, (name, policy) in enumerate([("judged", Policy(judge="student")), ("plain", Policy())], 1):
        job_id = fill(additions(1), name, budget=1e6, budget_unit="tokens", policy=policy).job_id
        assert generating._claim(claims.ClaimKey(job_id, question, uuid4())) is not None
    assert rows("select name from budget_slices join jobs on id = job_id") == [("plain",)]


def test_a_change_of_a_job_by_its_user_ends_its_slices(clean: Stack) -> None:
    for name in ("dear", "another"):
        job_id = fill(additions(1), name, budget=1e6, budget_unit="tokens").job_id
        change("insert into budget_slices values (:job, 'elsewhere', 9e5)", job=job_id)
    assert CliRunner().invoke(app, ["jobs", "pause", "dear"]).exit_code == 0
    assert rows("select name from budget_slices join jobs on id = job_id") == [("another",)]


COMMITTED = """
select spent + (select coalesce(sum(reserved), 0) from job_questions where state = 'running') from job_progress
"""


def test_processes_with_slices_spend_a_budget_to_its_end_and_no_more(
    database: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget, largest = 60.0, 3.0
    job_id = fill(additions(120), "dear", budget=budget, budget_unit="tokens").job_id
    job, questions = worker_job(job_id), iter(range(1, 121))
    monkeypatch.setattr(spending, "SLICE_SHARE", 0.2)
    chance = random.Random(17)
    commitments: list[float] = []

    def visit(owner: str, question: int) -> bool:
        reserved = chance.uniform(1, largest)
        with transaction() as connection:
            values = keys(job_id, question, claim=str(question), reserved=reserved) | {"owner": owner}
            values["is_covered"] = take_from_slice(connection, job, owner, reserved)
            if connection.execute(Q["claim"], values).one_or_none() is None:
                return False
        commitments.append(value(COMMITTED))
        row = {"claim_id": str(claim_id(str(question))), "job_id": job_id, "payee": "teacher", "cost": 0}
        with transaction() as connection:
            pay(connection, [row | {"spent": reserved * chance.uniform(0.2, 1), "tokens_in": 1, "tokens_out": 1}])
            done = text("update job_questions set state = 'done', reserved = 0 where question_id = :question")
            connection.execute(done, {"question": question})
        return True

    def process(owner: str) -> None:
        for question in questions:
            while not visit(owner, question):
                if value("select spent from job_progress") >= budget:
                    return

    with ThreadPoolExecutor() as processes:
        list(processes.map(process, ["one", "two", "three", "four"]))
    assert budget <= value("select spent from job_progress") < budget + largest
    assert max(commitments) < budget + largest


# The end of a job.


def one_visit_costs(database: Stack) -> float:
    fill(additions(1), "probe", samples=1, budget=1e6, budget_unit="tokens", sampling=Sampling(max_tokens=12))
    work("probe")
    return float(value("select spent from job_progress where job = 'probe'"))


def test_a_job_that_reaches_its_budget_exactly_ends(database: Stack, teacher: Observed) -> None:
    each = one_visit_costs(database)
    teacher.requests.clear()
    fill(additions(5), "dear", samples=1, budget=3 * each, budget_unit="tokens", sampling=Sampling(max_tokens=12))
    work("dear")
    assert value("select spent from job_progress where job = 'dear'") == 3 * each
    assert job_state("dear") == "over_budget"
    assert states("dear") == {"done": 3, "pending": 2}
    assert len(teacher.requests) == 3
    assert step(settings().feeder).queued == 0


def test_a_job_that_spends_its_budget_on_the_last_question_is_done(database: Stack) -> None:
    each = one_visit_costs(database)
    fill(additions(3), "dear", samples=1, budget=3 * each, budget_unit="tokens", sampling=Sampling(max_tokens=12))
    work("dear")
    assert job_state("dear") == "done"
    assert states("dear") == {"done": 3}


def test_a_chain_that_breaks_half_way_is_paid_for_all_the_same(database: Stack, teacher: Observed) -> None:
    spec = {"method": "refine", "prompts": prompts(named("refine"), ()), "sampling": Sampling(max_tokens=12)}
    job_id = fill(additions(1), "dear", samples=1, budget=1e6, budget_unit="money", **spec).job_id
    step(settings().feeder)
    teacher.faults = iter([None, Fault.REFUSED])  # type: ignore[list-item]
    generate(job_id, [1])
    assert states("dear") == {"failed": 1}
    assert value("select count(*) from traces") == 0
    (_, request_body) = teacher.requests[0]
    prompt = sum(len(message["content"].split()) for message in request_body["messages"])
    assert value("select spent from job_progress") == pytest.approx((prompt + 3 * 10) / 1e6)


def test_spending_is_added_to_its_own_job_only(clean: Stack) -> None:
    job_id = fill(additions(1), "dear", budget=10, budget_unit="tokens").job_id
    fill(additions(1), "another")
    for spent in (2.5, 4):
        row = {"claim_id": str(uuid4()), "job_id": job_id, "payee": "teacher", "cost": 0, "spent": spent}
        with transaction() as connection:
            pay(connection, [row | {"tokens_in": 1, "tokens_out": 1}])
    assert rows("select job, spent from job_progress order by 1") == [("another", 0), ("dear", 6.5)]
