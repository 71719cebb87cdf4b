"""The ledger: each claim is paid once, lost claims are charged, and the judge is counted."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from cli.main import app
from db.queries import Q
from db.session import transaction
from tests.integration.factory import additions, fill, job_state, rows, states, value
from tests.integration.feeding import leases_run_out, step
from tests.integration.statements import claim, claim_id
from tests.integration.verifying import right_and_wrong, store, sums
from tests.integration.visits import Observed, in_this_process, work
from tracemill.policy import Policy
from tracemill.sampling import Sampling
from tracemill.settings import model, settings
from tracemill.stack import Stack
from workers import claims, outages
from workers import generate as generating
from workers.generate import generate
from workers.outages import Occupant, Work
from workers.spending import pay
from workers.verify import verify

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def teacher() -> Iterator[Observed]:
    with Observed() as server:
        yield server


@pytest.fixture
def budgeted(clean: Stack, teacher: Observed, tmp_path: Path) -> Iterator[int]:
    """A job with a budget and one question, which is queued."""
    teacher.during = lambda: None
    with in_this_process(clean, teacher, tmp_path):
        limits = {"budget": 1e6, "budget_unit": "tokens", "sampling": Sampling(max_tokens=12)}
        job_id = fill(additions(1), "dear", samples=1, **limits).job_id
        step(settings().feeder)
        yield job_id


def cost_of_the_visit() -> int:
    """The tokens of the only visit so far."""
    return int(value("select sum(tokens_in + tokens_out) from traces"))


def test_a_visit_whose_commit_reply_is_lost_is_paid_once(budgeted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[str] = []

    @contextmanager
    def replies_late() -> Iterator[Connection]:
        with transaction() as connection:
            yield connection
        if value("select count(*) from traces") and not lost:
            lost.append("the reply to the commit")
            raise OperationalError("commit", {}, Exception("server closed the connection unexpectedly"))

    monkeypatch.setattr(generating, "transaction", replies_late)
    generate(budgeted, [1])
    assert lost
    assert value("select spent from job_progress") == cost_of_the_visit()
    assert rows("select payee, is_lost, spent from ledger") == [("teacher", False, cost_of_the_visit())]


def test_a_message_that_cannot_be_sent_repeats_no_payment(budgeted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any) -> None:
        raise RuntimeError("a bug of the broker")

    monkeypatch.setattr(generating, "nudge_verifiers", breaks)
    generate(budgeted, [1])
    assert states("dear") == {"generated": 1}
    assert value("select spent from job_progress") == cost_of_the_visit()


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_lost_claim_is_charged_its_reservation_until_it_comes_back(clean: Stack, comes_back: bool) -> None:
    job_id = fill(additions(2), "dear", budget=100, budget_unit="tokens").job_id
    step(settings().feeder)
    claim(job_id, 1, owner="lost", reserved=60)
    leases_run_out()
    step(settings().feeder)
    assert value("select spent from job_progress") == 60
    step(settings().feeder)
    assert rows("select claim_id, is_lost, spent from ledger") == [(claim_id("lost"), True, 60)]
    if comes_back:
        row = {"claim_id": str(claim_id("lost")), "job_id": job_id, "payee": "teacher", "cost": 0, "spent": 25}
        for _ in range(2):
            with transaction() as connection:
                pay(connection, [row | {"tokens_in": 5, "tokens_out": 20}])
        assert value("select spent from job_progress") == 25
        assert rows("select is_lost, spent, replaced from ledger") == [(False, 25, 60)]


def test_a_lost_message_costs_nothing(clean: Stack) -> None:
    fill(additions(2), "dear", budget=100, budget_unit="tokens")
    step(settings().feeder)
    redis.Redis.from_url(clean.redis_url).flushall()
    leases_run_out()
    assert step(settings().feeder).taken_back == 2
    assert (value("select spent from job_progress"), value("select count(*) from ledger")) == (0, 0)


def test_a_locked_job_stops_the_feeder_neither_here_nor_elsewhere(clean: Stack) -> None:
    dear = fill(additions(1), "dear", budget=100, budget_unit="tokens").job_id
    free = fill(additions(1), "free").job_id
    step(settings().feeder)
    claim(dear, 1, reserved=60)
    claim(free, 2)
    leases_run_out()
    with transaction() as frozen:
        frozen.execute(Q["lock_job"], {"job_id": dear})
        assert step(settings().feeder).taken_back == 2
    assert value("select spent from job_progress where job = 'dear'") == 60


def test_a_worker_that_ends_charges_the_visits_that_are_under_way(budgeted: int, teacher: Observed) -> None:
    held: list[float] = []

    def the_worker_ends() -> None:
        held.append(value("select reserved from job_questions"))
        generating._give_back_all()
        teacher.during = lambda: None

    teacher.during = the_worker_ends
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generating, "_store", lambda _: True)  # the process has ended
        generate(budgeted, [1])
    assert states("dear") == {"pending": 1}
    assert value("select spent from job_progress") == held[0] > 0
    outages._inside.clear()


def test_a_worker_that_ends_charges_nothing_for_visits_that_wait(clean: Stack) -> None:
    job_id = fill(additions(1), "dear", budget=100, budget_unit="tokens").job_id
    claim(job_id, 1, reserved=60)
    key = claims.ClaimKey(job_id, 1, claim_id("worker"))
    assert not outages.is_inside(Occupant(Work.visit, *key))
    claims.held.add(key)
    generating._give_back_all()
    claims.held.clear()
    assert states("dear") == {"pending": 1}
    assert value("select spent from job_progress") == 0


# The judge.


@pytest.mark.parametrize("unit", [None, "tokens", "money"])
def test_the_tokens_of_the_judge_are_counted_and_shown_apart(database: Stack, unit: str | None) -> None:
    budget = {"budget": 1e6, "budget_unit": unit} if unit else {}
    job_id = fill(sums(3), "judged", samples=1, policy=Policy(judge="firm"), **budget).job_id
    store("judged", {question: texts[:1] for question, texts in right_and_wrong(sums(3)).items()}, check=False)
    verify(job_id, [row.question_id for row in rows("select question_id from job_questions")])
    assert states("judged") == {"done": 3}
    ((payee, tokens_in, tokens_out, cost, spent),) = rows(
        "select payee, sum(tokens_in)::int, sum(tokens_out)::int, sum(cost), sum(spent) from ledger group by 1"
    )
    assert payee == "judge"
    assert tokens_in > 100  # three traces and the canaries
    assert 0 < tokens_out < tokens_in
    prices = model("firm")
    assert cost == pytest.approx((tokens_in * prices.price_in + tokens_out * prices.price_out) / 1e6)
    assert spent == {None: 0, "tokens": tokens_in + tokens_out, "money": cost}[unit]
    assert value("select spent from job_progress") == spent
    shown = json.loads(CliRunner().invoke(app, ["jobs", "show", "judged", "--json"]).stdout)
    assert (shown["tokens_in"], shown["judge_tokens_in"], shown["judge_tokens_out"]) == (3, tokens_in, tokens_out)
    assert shown["judge_cost"] == pytest.approx(cost)


def test_the_judge_can_spend_the_budget_of_a_job(clean: Stack, teacher: Observed, tmp_path: Path) -> None:
    with in_this_process(clean, teacher, tmp_path):
        job_id = fill(additions(1), "dear", budget=10, budget_unit="tokens").job_id
        row = {"claim_id": str(claim_id("judge")), "job_id": job_id, "payee": "judge", "cost": 0, "spent": 12}
        with transaction() as connection:
            pay(connection, [row | {"tokens_in": 10, "tokens_out": 2}])
        work("dear")
        assert (job_state("dear"), value("select count(*) from traces")) == ("over_budget", 0)
