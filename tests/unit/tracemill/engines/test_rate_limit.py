"""Rate limits: those of the settings, requested pauses, and the rate learnt from 429 answers."""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill.engines.rate_limit import Pace, Started


def starts(pace: Pace, seconds: float, tokens: int = 1) -> Iterator[float]:
    """The start times of requests that come without a pause and are answered at once."""
    now = 0.0
    while (now := now + pace.wait(now)) < seconds:
        pace.answered(pace.start(now, tokens), tokens)
        yield now
        now += 1e-6


def test_without_limits_nothing_waits() -> None:
    pace = Pace(None, None)
    for _ in range(10_000):
        assert pace.wait(0) == 0
        pace.start(0, 10**6)


@given(st.integers(1, 2000), st.lists(st.floats(0, 90), max_size=10))
def test_no_minute_has_more_requests_than_allowed(per_minute: int, pauses: list[float]) -> None:
    pace, now, begun = Pace(per_minute, None), 0.0, list[float]()
    gaps = itertools.chain(pauses, itertools.repeat(0.0))
    while (now := now + next(gaps)) < 300 and len(begun) < 500:
        now += pace.wait(now)
        pace.start(now, 1)
        begun.append(now)
    minute = deque[float]()
    for time in begun:
        minute.append(time)
        while time - minute[0] >= 60 - 1e-6:
            minute.popleft()
        assert len(minute) <= per_minute


def test_nearly_the_whole_allowance_can_be_used() -> None:
    assert 0.97 * 600 * 5 < len(list(starts(Pace(600, None), 300))) <= 600 * 5


def test_tokens_are_allowed_by_the_minute_too() -> None:
    assert 0.97 * 50 * 5 < len(list(starts(Pace(None, 5000), 300, tokens=100))) <= 50 * 5 + 1


def test_unused_tokens_are_given_back() -> None:
    pace, now, begun = Pace(None, 60_000), 0.0, 0
    while (now := now + pace.wait(now)) < 60:
        pace.answered(pace.start(now, 4000), 100)
        begun += 1
    assert begun > 0.95 * 600


def test_later_requests_are_charged_the_measured_share_of_tokens() -> None:
    pace, now = Pace(None, 60_000), 0.0
    for started in [pace.start(now, 4000) for _ in range(20)]:
        pace.answered(started, 400)
    assert pace.start(now, 4000).charged == pytest.approx(400)


def test_a_failed_request_costs_no_tokens() -> None:
    pace = Pace(None, 100)
    pace.failed(0, pace.start(0, 10**6))
    assert pace.wait(0) == 0


def test_a_retry_after_holds_for_all_requests() -> None:
    pace = Pace(None, None)
    pace.busy(1, pace.start(0, 1), retry_after=7)
    assert pace.wait(1) == pytest.approx(7)
    assert pace.wait(8) == 0


@pytest.mark.parametrize("end", ["busy", "failed"])
def test_a_requested_pause_is_at_most_a_minute(end: str) -> None:
    pace = Pace(None, None)
    getattr(pace, end)(0, pace.start(0, 1), retry_after=10**9)
    assert pace.wait(0) == 60


def steady(pace: Pace, seconds: float, every: float) -> list[Started]:
    """Requests that start one after another and do not end."""
    return [pace.start(number * every, 1) for number in range(round(seconds / every))]


def test_a_429_lowers_the_rate_and_a_minute_brings_it_back() -> None:
    pace = Pace(None, None)
    assert pace.rate(0) == math.inf
    pace.busy(100, steady(pace, 100, every=0.1)[-1])
    assert pace.rate(100) == pytest.approx(450, rel=0.02)
    assert pace.rate(100 + 30) == pytest.approx(525, rel=0.02)
    assert pace.rate(100 + 60) == pytest.approx(600, rel=0.02)


def test_the_rate_doubles_a_minute_after_the_old_rate_is_reached() -> None:
    pace = Pace(None, None)
    pace.busy(100, steady(pace, 100, every=0.1)[-1])
    assert pace.rate(100 + 120) == pytest.approx(1200, rel=0.02)
    assert pace.rate(10**9) < math.inf


def test_429_answers_to_concurrent_requests_count_once() -> None:
    pace = Pace(None, None)
    for started in steady(pace, 100, every=0.1):
        pace.busy(100, started)
    assert pace.rate(100) == pytest.approx(450, rel=0.02)


def test_requests_are_distributed_at_the_lowered_rate() -> None:
    pace = Pace(None, None)
    pace.busy(100, steady(pace, 100, every=0.1)[-1])
    now, begun = 100.0, 0
    while (now := now + pace.wait(now)) < 160:
        pace.answered(pace.start(now, 1), 1)
        begun += 1
    assert 480 < begun < 540


def test_a_429_after_an_idle_time_does_not_stop_all_requests() -> None:
    pace = Pace(None, None)
    pace.busy(0.1, pace.start(0, 1), retry_after=1)
    now, begun = 0.1, 0
    while (now := now + pace.wait(now)) < 30:
        pace.start(now, 1)
        begun += 1
    assert begun > 30


def test_the_rate_never_falls_below_one_request_a_minute() -> None:
    pace, now = Pace(None, None), 0.0
    for _ in range(100):
        now += pace.wait(now)
        pace.busy(now, pace.start(now, 1))
        now += 0.001
    assert pace.rate(now) == 1  # request a minute
    assert pace.wait(now) <= 61


def test_the_pause_doubles_after_each_429_without_retry_after() -> None:
    pace, now, holds = Pace(None, None), 0.0, []
    for _ in range(9):
        started = pace.start(now + 1, 1)
        now += 1000  # longer than any delay by the rate
        pace.busy(now, started)
        holds.append(pace.wait(now))
    assert holds == pytest.approx([0.5, 1, 2, 4, 8, 16, 20, 20, 20])
    pace.answered(pace.start(now, 1), 1)
    pace.busy(now + 1000, pace.start(now + 1000, 1))
    assert pace.wait(now + 1000) == pytest.approx(0.5)


def test_requests_of_one_second_start_at_once_and_the_next_on_time() -> None:
    pace = Pace(61, None)  # one a second: 61 in a minute plus one second
    pace.start(0, 1)
    assert pace.wait(0) == 0
    pace.start(0, 1)
    assert pace.wait(0) == pytest.approx(1)
    assert pace.wait(0.75) == pytest.approx(0.25)
    assert pace.wait(1) == 0


def test_requests_are_charged_all_their_tokens_until_the_first_answer() -> None:
    pace = Pace(None, 61)
    started = pace.start(0, 5)
    assert (started.at, started.max_tokens, started.charged) == (0, 5, 5)
    assert pace.wait(0) == pytest.approx(4)
    pace.answered(started, 3)
    assert pace.wait(0) == pytest.approx(2)
    assert pace.start(0, 5).charged == pytest.approx(3)


def test_an_answer_above_its_charge_delays_the_next_request() -> None:
    pace = Pace(None, 61)
    pace.answered(pace.start(0, 5), 9)
    assert pace.wait(0) == pytest.approx(8)
    assert pace.start(0, 5).charged == pytest.approx(5)  # never above max_tokens


def test_after_many_answers_the_newest_has_a_weight_of_a_tenth() -> None:
    pace = Pace(None, None)
    for tokens in [100] * 20 + [0, 50]:
        pace.answered(pace.start(0, 100), tokens)
    assert pace.start(0, 100).charged == pytest.approx(95)


def test_the_first_ten_answers_are_averaged() -> None:
    pace = Pace(None, None)
    for tokens in range(10, 60, 10):
        pace.answered(pace.start(0, 100), tokens)
    assert pace.start(0, 100).charged == pytest.approx(30)


def test_a_request_started_at_the_moment_of_the_cut_lowers_nothing() -> None:
    pace = Pace(None, None)
    before, at, later = pace.start(4, 1), pace.start(5, 1), pace.start(5.001, 1)
    pace.busy(5, before)
    rate = pace.rate(5)
    assert rate == pytest.approx(90)  # three quarters of the least measured rate
    pace.busy(5, at)
    assert pace.rate(5) == rate
    pace.busy(5.001, later)
    assert pace.rate(5.001) < 0.76 * rate


def test_a_requested_pause_replaces_the_default_pause() -> None:
    pace = Pace(None, None)
    pace.busy(0, pace.start(0, 1), retry_after=0.2)
    assert pace.wait(0) == pytest.approx(0.2)


@pytest.mark.parametrize(("pause", "wait"), [(59.5, 59.5), (60, 60), (60.5, 60)])
def test_the_longest_obeyed_pause_is_a_minute(pause: float, wait: float) -> None:
    pace = Pace(None, None)
    pace.failed(0, pace.start(0, 1), retry_after=pause)
    assert pace.wait(0) == wait


@dataclass
class Server:
    """A server with a limit a minute (those of five seconds may come at once) and a limit of requests in flight."""

    per_minute: float = math.inf
    at_a_time: int = 10**9
    latency: float = 2.0
    left: float = field(init=False)
    last: float = 0.0
    answered: int = 0
    refused: int = 0

    def __post_init__(self) -> None:
        self.left = self.bucket

    @property
    def bucket(self) -> float:
        return max(self.per_minute / 12, 1)

    def accepts(self, now: float, in_flight: int) -> bool:
        self.left = min(self.left + (now - self.last) * self.per_minute / 60, self.bucket)
        self.last = now
        if self.left < 1 or in_flight >= self.at_a_time:
            self.refused += 1
            return False
        self.left -= 1
        self.answered += 1
        return True


def ask(server: Server, pace: Pace, seconds: float, begin: float = 0, in_flight: int = 256) -> None:
    """`in_flight` workers send requests without a pause, as fast as `pace` allows."""
    ends: list[tuple[float, int, Started]] = []
    number, now = itertools.count(), begin
    while now < begin + seconds:
        wait = pace.wait(now) if len(ends) < in_flight else math.inf
        if ends and ends[0][0] <= now + wait:
            now, _, started = heapq.heappop(ends)
            pace.answered(started, 1)
            continue
        now += wait + 1e-9
        started = pace.start(now, 1)
        if server.accepts(now, len(ends)):
            heapq.heappush(ends, (now + server.latency, next(number), started))
        else:
            pace.busy(now, started)
    for _, _, started in ends:
        pace.answered(started, 1)


@pytest.mark.parametrize("per_minute", [10, 60, 600, 3000])
@pytest.mark.parametrize("latency", [0.05, 2])
def test_a_limit_by_the_minute_is_used_well_with_few_429_answers(per_minute: int, latency: float) -> None:
    server, pace = Server(per_minute, latency=latency), Pace(None, None)
    ask(server, pace, 1200)
    assert server.answered > 0.8 * 20 * per_minute
    assert server.refused < 0.2 * server.answered


@pytest.mark.parametrize(("at_a_time", "latency"), [(10, 2), (10, 20), (100, 20)])
def test_a_limit_of_requests_in_flight_is_used_well_too(at_a_time: int, latency: float) -> None:
    server, pace = Server(at_a_time=at_a_time, latency=latency), Pace(None, None)
    ask(server, pace, 1200)
    assert server.answered > 0.65 * 1200 * at_a_time / latency
    assert server.refused < 0.2 * server.answered


def test_the_rate_grows_when_the_server_allows_more() -> None:
    server, pace = Server(300), Pace(None, None)
    ask(server, pace, 300)
    server.per_minute = 3000
    ask(server, pace, 1200, begin=300)
    server.answered = 0
    ask(server, pace, 60, begin=1500)
    assert server.answered > 0.7 * 3000
