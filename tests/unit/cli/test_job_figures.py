"""The figures of `tracemill jobs`: the saving of adaptive sampling, and the rates of a job."""

from typing import Any

import pytest
from rich.table import Table

from cli import jobs
from cli.job_figures import sampling_in_words, saved
from cli.jobs import Rates

ENDS = [
    {"ended": "enough", "questions": 3, "traces": 8, "accepted": 6},
    {"ended": "hopeless", "questions": 1, "traces": 4, "accepted": 0},
]
#: 50 traces of 20 tokens each; four questions would have had 32 traces.
JOB = {"enough": 2, "most": 8, "batch": 3, "give_up": 0.05, "tokens_out": 1000, "traces": 50}
SAVED = {
    "traces": 12,
    "traces_of_fixed": 32,
    "share_saved": 0.625,
    "tokens_saved": 400,
    "ended": {"enough": 3, "hopeless": 1},
}


def test_adaptive_sampling_saves_the_traces_up_to_the_maximum() -> None:
    assert saved(JOB, ENDS) == SAVED
    assert saved(JOB | {"most": 7}, ENDS) == SAVED | {
        "traces_of_fixed": 28,
        "share_saved": 0.5714,
        "tokens_saved": 320,
    }


def test_a_job_of_fixed_samples_or_without_ended_questions_saves_nothing() -> None:
    assert saved(JOB | {"enough": None}, ENDS) is None
    assert saved(JOB, []) is None


def test_the_limits_and_the_saving_are_put_into_words() -> None:
    assert sampling_in_words(JOB, SAVED) == (
        "2 accepted of at most 8, 3 at a time, given up below a chance of 0.05. 12 traces instead of 32: 62% saved, "
        "about 400 tokens. Questions ended: 3 enough, 1 hopeless"
    )
    assert sampling_in_words(JOB | {"give_up": 0.0}, SAVED).startswith("2 accepted of at most 8, 3 at a time. 12")


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def row(**counts: Any) -> dict[str, Any]:
    fields = {"job": "sums", "state": "running", "questions": 9, "done": 4, "failed": 1, "verified": 8, "accepted": 6}
    return fields | {"traces": 0, "tokens_out": 0} | counts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(jobs, "time", clock)
    return clock


def test_rates_are_those_of_the_last_ten_seconds(clock: Clock) -> None:
    rates = Rates()
    assert rates.rate(row(traces=100, tokens_out=1000)) == (0.0, 0.0)
    clock.now += 5
    assert rates.rate(row(traces=110, tokens_out=1300)) == (2.0, 60.0)
    clock.now += 5
    assert rates.rate(row(traces=150, tokens_out=1500)) == (5.0, 50.0)
    clock.now += 1  # the first measurement is eleven seconds old
    assert rates.rate(row(traces=152, tokens_out=1600)) == (7.0, 50.0)


def test_rates_of_two_jobs_are_kept_apart(clock: Clock) -> None:
    rates = Rates()
    rates.rate(row())
    rates.rate(row(job="other", traces=50))
    clock.now += 2
    assert rates.rate(row(traces=8)) == (4.0, 0.0)
    assert rates.rate(row(job="other", traces=50, tokens_out=6)) == (0.0, 3.0)


def test_a_job_is_a_line_of_a_log_and_a_row_of_the_live_table(clock: Clock) -> None:
    rates = Rates()
    rates.rate(row())
    clock.now += 4
    now = row(traces=10, tokens_out=402)
    assert rates.line(now) == "sums: 4/9 questions, 10 traces (2.5/s, 100 tokens/s), 6 accepted"
    table = rates.table([now], width=120)
    assert isinstance(table, Table)
    shown = {str(column.header): str(next(iter(column.cells))) for column in table.columns}
    assert shown == {
        "job": "sums",
        "state": "running",
        "done": "4 of 9",
        "failed": "1",
        "traces": "10",
        "traces/s": "2.5",
        "tokens/s": "100",
        "accepted": "6 (75%)",
    }
    nothing = Rates().table([row(verified=0, accepted=0)], width=120)
    assert isinstance(nothing, Table)
    assert [str(next(iter(column.cells))) for column in nothing.columns][-1] == "0"


def test_an_estimate_names_the_rate_that_it_rests_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, rates = Clock(), Rates()
    monkeypatch.setattr(jobs, "time", clock)
    assert rates.estimate(row(questions=100, done=10, failed=0)) is None
    clock.now += 40
    assert rates.estimate(row(questions=100, done=10, failed=0)) is None
    estimate = rates.estimate(row(questions=100, done=18, failed=2))
    assert estimate is not None
    assert estimate.in_words() == "about 5 min left (15 questions/min in the last 40 s)"
    slow = estimate._replace(questions_per_minute=1.211)
    assert slow.in_words() == "about 5 min left (1.2 questions/min in the last 40 s)"
    assert rates.estimate(row(questions=100, done=18, failed=2, state="paused")) is None
