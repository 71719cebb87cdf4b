"""Visits to questions: adaptive sampling, budgets, later votes.

The model is scripted; feeder, tasks and database are real, in this process.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from db.queries import Q
from db.session import transaction
from producer.sources import Question
from tests.integration.factory import addition, additions, change, fill, job_state, rows, states, value
from tests.integration.feeding import leases_run_out, step
from tests.integration.statements import keys
from tests.integration.visits import in_this_process, work
from tests.scripted_server import ScriptedServer
from tracemill.policy import Policy
from tracemill.sampling import Sampling
from tracemill.settings import settings
from tracemill.stack import Stack
from workers.generate import generate
from workers.verify import verify


class Teacher(ScriptedServer):
    """Answers "What is n + 1?". `right` decides from n and the number of earlier answers if an answer is right."""

    def __init__(self) -> None:
        super().__init__(self.say)
        self.right: Callable[[int, int], bool] = lambda n, count: True
        self.n_answers: Counter[int] = Counter()

    def say(self, question: str) -> list[str]:
        n = int(re.findall(r"\d+", question)[0])
        return [self.answer_to(n) for _ in range(self.samples)]

    def _completion(self, request_body: dict[str, object]) -> dict[str, object]:
        self.samples = int(str(request_body.get("n", 1)))
        return super()._completion(request_body)

    def answer_to(self, n: int) -> str:
        value = n + 1 if self.right(n, self.n_answers[n]) else n + 2
        self.n_answers[n] += 1
        return f"{n} + 1 = {value}. The answer is {value}.".replace("= ", "=")


@pytest.fixture(scope="module")
def teacher() -> Iterator[Teacher]:
    with Teacher() as server:
        yield server


@pytest.fixture
def database(clean: Stack, teacher: Teacher, tmp_path: Path) -> Iterator[Stack]:
    teacher.right, teacher.n_answers = (lambda n, count: True), Counter()
    with in_this_process(clean, teacher, tmp_path) as stack:
        yield stack


def samples(job: str) -> dict[str, tuple[int, int, str]]:
    """Traces, accepted traces and the end of each question, as stored by the feeder and the verifier."""
    result = rows(
        "select q.question, jq.settled, jq.accepted, jq.ended, count(t.id) as traces from job_questions jq "
        "join questions q on q.id = jq.question_id join jobs j on j.id = jq.job_id "
        "left join traces t on t.job_id = j.id and t.question_id = q.id where j.name = :job group by 1, 2, 3, 4",
        job=job,
    )
    assert all(row.settled == row.traces for row in result)
    return {row.question: (row.settled, row.accepted, row.ended) for row in result}


def test_a_question_is_done_when_enough_of_its_samples_are_accepted(database: Stack, teacher: Teacher) -> None:
    teacher.right = lambda n, count: n % 2 == 0 or count in (1, 4)  # even: always; odd: the second and the fifth
    fill(additions(6), "enough", samples=8, enough=2, batch=2)
    work("enough")
    assert job_state("enough") == "done"
    assert samples("enough") == {
        addition(n).text: (2, 2, "enough") if n % 2 == 0 else (5, 2, "enough") for n in range(6)
    }


def test_a_question_that_never_gets_there_stops_at_its_last_sample(database: Stack, teacher: Teacher) -> None:
    teacher.right = lambda n, count: count == 0
    fill(additions(3), "never", samples=5, enough=2, batch=2)
    work("never")
    assert set(samples("never").values()) == {(5, 1, "spent")}


def test_without_adaptive_sampling_one_visit_takes_all_samples(database: Stack) -> None:
    fill(additions(3), "fixed", samples=4)
    assert work("fixed") == 1
    assert set(samples("fixed").values()) == {(4, 4, None)}


def test_hopeless_questions_are_given_up_only_with_give_up(database: Stack, teacher: Teacher) -> None:
    teacher.right = lambda n, count: n % 2 == 0  # half of the questions are too hard for this teacher
    for name, give_up in (("patient", 0.0), ("impatient", 0.2)):
        teacher.n_answers.clear()
        fill(additions(100), name, samples=8, enough=2, batch=2, give_up=give_up)
        work(name)
    ends = {name: Counter(end for _, _, end in samples(name).values()) for name in ("patient", "impatient")}
    assert ends["patient"] == {"enough": 50, "spent": 50}
    assert ends["impatient"]["enough"] == 50
    assert ends["impatient"]["hopeless"] >= 25  # the first questions are asked without a prior
    n_traces = {name: sum(traces for traces, _, _ in samples(name).values()) for name in ends}
    assert n_traces["impatient"] < 0.8 * n_traces["patient"]


def test_later_votes_change_the_earlier_verdicts(database: Stack, teacher: Teacher) -> None:
    teacher.right = lambda n, count: count > 0  # the first answer is in the minority after the others
    question = Question("What is 5 + 1?", None, "math", None, {}, None)
    policy = Policy(majority=0.5, equations=False)
    fill([question], "votes", samples=4, enough=3, batch=1, policy=policy)
    job_id, question_id = value("select job_id from job_questions"), value("select question_id from job_questions")
    step(settings().feeder)
    generate(job_id, [question_id])
    verify(job_id, [question_id])
    assert rows("select proof, accepted from trace_scores") == [("majority 1/1", True)]
    work("votes")
    result = rows("select proof, majority, accepted, correct from trace_scores order by sample_index")
    assert [tuple(row) for row in result] == [
        ("minority 1/4", 0.25, False, None),
        *[("majority 3/4", 0.75, True, None)] * 3,
    ]
    assert samples("votes") == {question.text: (4, 3, "enough")}


def test_a_token_budget_stops_a_job_within_one_visit(database: Stack) -> None:
    from typer.testing import CliRunner

    from cli.main import app

    fill(additions(100), "thrifty", samples=4, budget=900, budget_unit="tokens", sampling=Sampling(max_tokens=10))
    work("thrifty")
    spent = value("select spent from job_progress where job = 'thrifty'")
    visit = value("select sum(tokens_out) + max(tokens_in) from traces group by question_id limit 1")
    assert job_state("thrifty") == "over_budget"
    assert 900 <= spent <= 900 + visit
    assert spent == value("select sum(t) from (select sum(tokens_out) + max(tokens_in) as t from traces "
                          "group by question_id) s")  # fmt: skip
    assert states("thrifty")["pending"] + states("thrifty")["done"] == 100
    runner = CliRunner()
    refused = runner.invoke(app, ["jobs", "resume", "thrifty"])
    assert "set a larger budget with --budget-tokens" in str(refused.exception)
    assert runner.invoke(app, ["jobs", "resume", "thrifty", "--budget-tokens", "1000000"]).exit_code == 0
    work("thrifty")
    assert job_state("thrifty") == "done"
    assert states("thrifty") == {"done": 100}


def test_a_visit_waits_while_other_visits_reserve_the_budget(database: Stack) -> None:
    fill(additions(2), "held", samples=1, budget=50, budget_unit="tokens", sampling=Sampling(max_tokens=40))
    step(settings().feeder)
    job_id = value("select id from jobs")
    first, second = (row.question_id for row in rows("select question_id from job_questions order by 1"))
    with transaction() as connection:
        values = keys(job_id, first, reserved=50) | {"owner": "elsewhere"}
        assert connection.execute(Q["claim"], values).one_or_none() is not None
    generate(job_id, [second])
    assert states("held") == {"running": 1, "pending": 1}
    leases_run_out()  # the other worker is lost, and its reservation is charged
    step(settings().feeder)
    step(settings().feeder)
    assert (job_state("held"), value("select spent from job_progress")) == ("over_budget", 50)
    change("update jobs set state = 'running', budget = 1000")
    work("held")
    assert states("held") == {"done": 2}


def test_a_budget_of_money_counts_the_prices_of_the_settings(database: Stack) -> None:
    fill(additions(50), "dear", samples=2, budget=0.0005, budget_unit="money", sampling=Sampling(max_tokens=10))
    work("dear")
    spent = value("select spent from job_progress")
    assert job_state("dear") == "over_budget"
    assert spent == pytest.approx(value("select sum(cost) from traces"), rel=1e-4)
    prompt, answer = value("select max(tokens_in) from traces"), value("select max(tokens_out) from traces")
    assert value("select max(cost) from traces") == pytest.approx((prompt / 2 + 3 * answer) / 1e6, rel=1e-4)
    assert 0.0005 <= spent <= 0.0005 + (prompt + 6 * answer) / 1e6


def test_each_question_of_a_message_is_answered(database: Stack, teacher: Teacher) -> None:
    job_id = fill(additions(3), "several", samples=1).job_id
    step(settings().feeder)
    generate(job_id, [row.question_id for row in rows("select question_id from job_questions")])
    assert states("several") == {"generated": 3}
