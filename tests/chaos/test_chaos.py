"""The factory recovers from faults without help: no work is lost or repeated.

Processes are killed or frozen, Redis is emptied, Postgres is read-only or away, and the model fails during a job. The
times are random, from a seeded generator.
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

from tests.chaos.faults import KINDS, OF_GENERATE, Hit, Kind, plan, strike
from tests.chaos.losses import table
from tests.chaos.model import answered_file
from tests.chaos.world import World, world
from tests.integration.answers import answers
from tests.integration.factory import additions, change, fill, job_state, rows, states, wait_until

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
    #: Faults of each kind, beside one outage of Postgres.
    of_each: int
    #: `seconds`: from the first settled question to the last fault. `max_end_seconds`: at most this long until the end.
    seconds: float
    max_end_seconds: float
    #: The duration of Postgres's outage.
    outage_seconds: float
    #: The number of concurrent requests to the model.
    in_flight: int

    @property
    def latency(self) -> float:
        """Mean seconds before an answer: long enough that work is left at the last fault."""
        return 1.1 * self.in_flight * (self.seconds - self.outage_seconds) / self.questions

    @property
    def max_attempts(self) -> int:
        """More visits than a question can lose here, since no question is at fault.

        A visit counts when its worker is killed, or frozen for longer than its lease. It also counts when the model
        fails it but answers a simple request. A model that fails every request does not count. No fault lasts long
        enough to cost one question more than two visits.
        """
        return 2 * self.of_each * len(KINDS) + 1


SHORT = Form(questions=240, of_each=1, seconds=30, outage_seconds=4, max_end_seconds=240, in_flight=8)
LONG = Form(questions=5000, of_each=5, seconds=500, outage_seconds=90, max_end_seconds=1200, in_flight=16)

#: Records each claim of a question for an answer, and each visit that waited in vain for one.
WITNESS = """
create table visits (at timestamptz default clock_timestamp(), question_id bigint, owner text, is_too_late bool);
create function witness() returns trigger language plpgsql as $$
begin
    insert into visits (question_id, owner, is_too_late)
    values (new.question_id, coalesce(new.owner, old.owner), new.state <> 'running');
    return null;
end $$;
create trigger claimed after update on job_questions for each row
when (new.state = 'running' and new.claim_id is distinct from old.claim_id
      or new.state = 'pending' and old.state = 'running' and new.last_error like '%timeout_seconds%')
execute function witness();
"""
#: These rows with the pid of the worker, and the time when the question's traces were stored.
VISITS = """
select q.question, split_part(v.owner, '.', 2)::int as pid, extract(epoch from v.at)::float as at, v.is_too_late,
       extract(epoch from (select min(created_at) from traces t where t.question_id = q.id))::float as stored
from visits v join questions q on q.id = v.question_id
"""


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
    hits = plan(form.of_each, form.seconds, form.outage_seconds, QUIET, dice)
    print(f"\nseed {seed}: {form}")
    with world(
        folder, seed=seed, in_flight=form.in_flight, latency=form.latency, max_attempts=form.max_attempts
    ) as factory:
        try:
            change(WITNESS)
            fill(additions(form.questions), JOB)
            wait_until(lambda: states(JOB).get("done"), 180, lambda: states(JOB))
            began = time.time()
            for hit in hits:
                time.sleep(max(0.0, began + hit.after - time.time()))
                strike(factory, hit, form.outage_seconds, dice)
                print(f"{hit.at - began:7.2f} s  {hit.kind}  {' '.join(map(str, hit.pids))}", flush=True)
            wait_until(is_done, form.max_end_seconds, lambda: states(JOB))
            check(form, hits)
            check_requests(answered_file(factory.mood).read_text().splitlines(), hits)
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


def check_requests(answered: list[str], hits: list[Hit]) -> None:
    """Only answers that came too late, or whose worker or model was killed or frozen, were asked for again."""
    visits = rows(VISITS)
    lost = {
        visit.question
        for visit in visits
        for hit in hits
        # The last claim of a dying worker may come a moment after its end.
        if visit.at - 1 <= hit.at <= visit.stored
        and (visit.pid in hit.pids if hit.kind in OF_GENERATE else hit.kind in (Kind.MODEL, Kind.MODEL_FROZEN))
    }
    too_late = {visit.question for visit in visits if visit.is_too_late}
    questions = {question.text for question in additions(LONG.questions)}
    again = {question: n - 1 for question, n in Counter(answered).items() if n > 1 and question in questions}
    print(
        f"{sum(again.values())} of {len(answered)} answers were asked again: {len(lost)} questions had lost visits, "
        f"answers of {len(too_late)} came too late"
    )
    assert {question: n for question, n in again.items() if question not in lost | too_late} == {}, "asked again"


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
