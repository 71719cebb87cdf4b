"""The event loop of this process, on its own thread.

Celery's threads pool runs the tasks, and the engine runs on this loop. So one engine gets the requests of all running
tasks and batches them. Each task waits for its own answer only.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from tracemill.concurrency import once

T = TypeVar("T")


@once
def loop() -> asyncio.AbstractEventLoop:
    """The running loop. Its thread is a daemon, so it does not keep the process alive."""
    new_loop = asyncio.new_event_loop()
    threading.Thread(target=new_loop.run_forever, name="tracemill-loop", daemon=True).start()
    return new_loop


async def gather(*work: Coroutine[Any, Any, T]) -> list[T]:
    """The results of all coroutines, in order. The first error cancels the others and is raised.

    `asyncio.gather` leaves the others running, and they may outlive the engine that they use.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on the loop and wait for its result. Raises what `work` raises. Do not call it on the loop."""
    return asyncio.run_coroutine_threadsafe(work, loop()).result()
