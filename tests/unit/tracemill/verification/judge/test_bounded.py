"""The one way to ask a judge: bounded, in order, and a judge that is away is data."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from tests.conftest import forget
from tracemill.engines import Engine
from tracemill.errors import EngineAway, EngineDead
from tracemill.policy import Signal
from tracemill.verification.judge import Case, Judged, bounded
from tracemill.verification.judge.bounded import Judge, Request

BOUND = 3


class Replies:
    """Stands in for `judge.ask`: replies with the number in a case's answer, and counts the cases in flight."""

    def __init__(self) -> None:
        self.in_flight = self.highest = 0
        self.sent: list[int] = []
        self.act: Callable[[int], None] = lambda number: None

    async def ask(self, engine: Engine, case: Case, signals: Iterable[Signal]) -> Judged:
        number = int(case.answer)
        self.sent.append(number)
        self.in_flight += 1
        self.highest = max(self.highest, self.in_flight)
        await asyncio.sleep(0.02 / (number + 1))
        self.in_flight -= 1
        self.act(number)
        return Judged({"rating": number / 100})


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replies]:
    replies = Replies()
    monkeypatch.setenv("TRACEMILL_GENERATE_CONCURRENCY", str(BOUND))
    forget()
    monkeypatch.setattr(bounded, "alias_engine", lambda alias: None)
    monkeypatch.setattr(bounded, "close_engines", lambda: None)
    monkeypatch.setattr(bounded, "ask", replies.ask)
    yield replies
    monkeypatch.undo()
    forget()


def requests(count: int) -> list[Request | None]:
    return [Request(Case("What?", (), str(number)), ("rating",)) for number in range(count)]


def test_all_threads_together_have_a_bounded_number_of_traces_in_flight(replies: Replies) -> None:
    judge = Judge("judge")
    with ThreadPoolExecutor(4) as threads:
        batches = list(threads.map(judge.ask, [requests(10)] * 4))
    assert replies.highest == BOUND
    assert [[reply.scores["rating"] for reply in batch if reply] for batch in batches] == [
        [number / 100 for number in range(10)]
    ] * 4


def test_replies_come_in_order_with_none_for_no_request(replies: Replies) -> None:
    calls: dict[int, Judged] = {}
    batch = Judge("judge").ask([None, *requests(2), None], calls.__setitem__)
    assert [reply and reply.scores for reply in batch] == [None, {"rating": 0.0}, {"rating": 0.01}, None]
    assert all(reply.seconds > 0 for reply in batch if reply)
    assert calls == {1: batch[1], 2: batch[2]}


def test_a_judge_that_is_away_keeps_its_replies_and_gets_no_more_requests(replies: Replies) -> None:
    def away_at_one(number: int) -> None:
        if number == 1:
            raise EngineAway("no answer")

    replies.act = away_at_one
    batch = [reply for reply in Judge("judge").ask(requests(50)) if reply]
    assert len(batch) == 50
    assert {str(reply.away) for reply in batch if reply.away} == {"no answer"}
    kept = [number for number, reply in enumerate(batch) if reply.scores]
    assert set(kept) == set(replies.sent) - {1}
    assert len(replies.sent) < 10


def test_a_dead_judge_raises_and_its_other_requests_are_cancelled(replies: Replies) -> None:
    def die(number: int) -> None:
        raise EngineDead("its key is wrong")

    replies.act = die
    with pytest.raises(EngineDead, match="its key is wrong"):
        Judge("judge").ask(requests(50))
    assert len(replies.sent) <= 2 * BOUND


def test_closing_a_judge_ends_the_calls_under_way(replies: Replies, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def hang(engine: Engine, case: Case, signals: Iterable[Signal]) -> Judged:
        begun.set()
        await asyncio.sleep(3600)
        raise AssertionError("not cancelled")

    monkeypatch.setattr(bounded, "ask", hang)
    judge = Judge("judge")
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(judge.ask, requests(5))
        while not begun.is_set():
            pass
        judge.close()
        with pytest.raises(CancelledError):
            call.result(10)
