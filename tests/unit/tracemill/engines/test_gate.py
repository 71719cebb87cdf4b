"""The gate before an engine that sleeps."""

import asyncio

from tracemill.engines.gate import Gate


def test_a_closed_gate_waits_for_those_inside_and_lets_nobody_in() -> None:
    async def scene() -> list[str]:
        gate, events, may_end = Gate(), list[str](), asyncio.Event()

        async def request(name: str) -> None:
            async with gate:
                events.append(f"{name} in")
                await may_end.wait()
                events.append(f"{name} out")

        async def close() -> None:
            await gate.close()
            events.append("closed")

        tasks = [asyncio.create_task(request("first")), asyncio.create_task(asyncio.sleep(0))]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(close()))
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(request("second")))
        for _ in range(5):
            await asyncio.sleep(0)
        may_end.set()
        for _ in range(5):
            await asyncio.sleep(0)
        gate.open()
        await asyncio.gather(*tasks)
        return events

    assert asyncio.run(scene()) == ["first in", "first out", "closed", "second in", "second out"]
