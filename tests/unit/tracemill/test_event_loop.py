"""The process's event loop: work that is gathered ends together."""

import asyncio

import pytest

from tracemill.event_loop import gather, run


async def reply(number: int) -> int:
    await asyncio.sleep(0.01 / (number + 1))
    return number


def test_results_come_in_the_order_of_the_work() -> None:
    assert run(gather(*map(reply, range(5)))) == [0, 1, 2, 3, 4]
    assert run(gather()) == []


def test_the_first_error_cancels_the_other_work_and_is_raised() -> None:
    ended: list[str] = []

    async def hang() -> int:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return 0

    async def fail() -> int:
        await asyncio.sleep(0.01)
        raise ValueError("the first")

    with pytest.raises(ValueError, match="the first"):
        run(gather(hang(), fail(), hang()))
    assert ended == ["cancelled", "cancelled"]
