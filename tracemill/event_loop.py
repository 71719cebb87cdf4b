"""The process's one event loop, on a thread of its own.

Celery's threads pool runs the tasks; the engine lives here. So the requests of all tasks in flight meet in one engine,
which batches them together, and a task waits for its own answer only.
"""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from tracemill.concurrency import once

T = TypeVar("T")


@once
def loop() -> asyncio.AbstractEventLoop:
    """The running loop; its thread is a daemon, so it never keeps a process alive."""
    new = asyncio.new_event_loop()
    threading.Thread(target=new.run_forever, name="tracemill-loop", daemon=True).start()
    return new


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
    """Run `work` on the loop and wait for its result here. Raises what it raises. Not to be called on the loop."""
    return asyncio.run_coroutine_threadsafe(work, loop()).result()
