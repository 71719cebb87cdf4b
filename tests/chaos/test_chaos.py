"""The factory recovers from faults without help: no work is lost or repeated.

Processes are killed or frozen, Redis is emptied and the model fails during a job. The times are random, from a seeded
generator.
CHAOS_SEED=n repeats a run, apart from the timing of the machine.
"""

import os
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tests.chaos.faults import KINDS, Hit, plan, strike
from tests.chaos.losses import table
from tests.chaos.world import World, world
from tests.integration.answers import answers
from tests.integration.factory import additions, fill, job_state, rows, states, wait_until

pytestmark = pytest.mark.integration

JOB = "chaos"
SAMPLES = 4
#: Seconds before the first fault, to measure the speed without faults.
QUIET = 3.0
SEED = os.environ.get("CHAOS_SEED")


@dataclass(frozen=True)
class Form:
    """The size of a run."""

    questions: int
    faults: int
    #: `seconds`: from the first settled question to the last fault. `max_end_seconds`: at most this long until the end.
    seconds: float
    max_end_seconds: float
    #: The number of concurrent requests to the model.
    in_flight: int

    @property
    def latency(self) -> float:
        """Mean seconds before an answer: long enough that work is left at the last fault."""
        return 1.1 * self.in_flight * self.seconds / self.questions

    @property
    def max_attempts(self) -> int:
        """More visits than a question can lose here, since no question is at fault.

        A visit counts when its worker is killed, or frozen for longer than its lease. It also counts when the model
        fails it but answers a simple request. A model that fails every request does not count. No fault lasts long
        enough to cost one question more than two visits.
        """
        return 2 * self.faults + 1


SHORT = Form(questions=240, faults=len(KINDS), seconds=28, max_end_seconds=240, in_flight=8)
LONG = Form(questions=5000, faults=5 * len(KINDS), seconds=380, max_end_seconds=1200, in_flight=16)


def test_every_kind_of_fault_once_costs_nothing_but_time(tmp_path: Path) -> None:
    survive(SHORT, int(SEED or 1), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("seed", [int(SEED)] if SEED else [1, 2, 3])
def test_many_faults_cost_nothing_but_time(seed: int, tmp_path: Path) -> None:
    survive(LONG, seed, tmp_path)


def survive(form: Form, seed: int, folder: Path) -> None:
    """Run once; check that every question is done, every trace exists once with its verdict, and no process is left."""
    dice = random.Random(seed)
    hits = plan(form.faults, form.seconds, QUIET, dice)
    print(f"\nseed {seed}: {form}")
    with world(
        folder, seed=seed, in_flight=form.in_flight, latency=form.latency, max_attempts=form.max_attempts
    ) as factory:
        try:
            fill(additions(form.questions), JOB)
            wait_until(lambda: states(JOB).get("done"), 180, lambda: states(JOB))
            began = time.time()
            for hit in hits:
                time.sleep(max(0.0, began + hit.after - time.time()))
                strike(factory, hit, dice)
                print(f"{hit.at - began:7.2f} s  {hit.kind}  {hit.pid or ''}", flush=True)
            wait_until(is_done, form.max_end_seconds, lambda: states(JOB))
            check(form, hits)
            wait_until(lambda: not factory.orphans(), 30, factory.orphans)
        except BaseException:
            print(diagnosis(factory))
            raise
        settled = dict(map(tuple, rows("select question_id, extract(epoch from updated_at)::float from job_questions")))
        took = max(settled.values()) - began
        print(f"{took:.0f} s in all")
        print(table(hits, settled), flush=True)
        assert factory.deaths() == {}, diagnosis(factory)


def is_done() -> bool:
    """False also while Postgres is unreachable."""
    try:
        return job_state(JOB) == "done"
    except OperationalError:
        return False


def check(form: Form, hits: list[Hit]) -> None:
    assert states(JOB) == {"done": form.questions}
    traces = rows(
        "select q.question, t.sample_index, t.text, count(v) as verdicts, bool_and(v.correct) as correct, "
        "bool_and(v.accepted) as accepted from traces t join questions q on q.id = t.question_id "
        "left join verdicts v on v.trace_id = t.id group by q.id, t.id"
    )
    expected = {(question.text, sample) for question in additions(form.questions) for sample in range(SAMPLES)}
    counts = Counter((row.question, row.sample_index) for row in traces)
    assert expected - counts.keys() == set(), "lost"
    assert counts - Counter(expected) == Counter(), "repeated"
    assert [row for row in traces if row.verdicts != 1] == []
    assert [row for row in traces if (row.correct, row.accepted) != answers(row.question)[row.text]] == []
    (last,) = rows("select extract(epoch from max(updated_at))::float as settled from job_questions")
    assert max(hit.at for hit in hits) < last.settled, "the last faults met no work"


def diagnosis(factory: World) -> str:
    """The data for understanding a failure: states, errors, deaths, logs."""
    try:
        errors = rows(
            "select count(*), state, last_error from job_questions where last_error is not null group by 2, 3"
        )
        errors_text = "\n".join(map(str, [states(JOB), *errors]))
    except OperationalError as error:
        errors_text = f"Postgres does not answer: {error}"
    return f"{errors_text}\ndied without being killed: {factory.deaths()}\n{factory.log_tails()}"
