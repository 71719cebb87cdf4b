"""Pause a worker: it takes no messages, and hands back the questions that it has not claimed.

So other workers of its queues can answer them, and the feeder sees that this worker takes none.
"""

import threading
from typing import Any

from celery.signals import worker_ready

from tracemill.celery import app

_paused = threading.Event()
_consumer: Any = None
#: The queues of this worker while it is paused.
_queues: list[Any] = []


def is_paused() -> bool:
    """Whether this worker is paused."""
    return _paused.is_set()


def pause() -> None:
    """Take no more messages. It may be called before the worker takes any."""
    _paused.set()
    if _consumer is not None:
        _queues[:] = app.amqp.queues.consume_from.values()
        # A worker that reconnects takes from the selected queues.
        app.amqp.queues.deselect([queue.name for queue in _queues])
        _consumer.call_soon(_adjust)


def resume() -> None:
    """Take messages again."""
    _paused.clear()
    while _queues:
        app.amqp.queues.select_add(_queues.pop())
    if _consumer is not None:
        _consumer.call_soon(_adjust)


@worker_ready.connect  # type: ignore[untyped-decorator]  # celery is not typed
def _ready(sender: Any, **_: Any) -> None:
    global _consumer
    _consumer = sender
    if is_paused():
        pause()


def _adjust() -> None:
    """Take messages from the selected queues and no others. It runs in the thread that reads them."""
    selected, reading = dict(app.amqp.queues.consume_from), _consumer.task_consumer
    if reading is None:  # without a connection
        return
    for queue in list(reading.queues):
        if queue.name not in selected:
            reading.cancel_by_queue(queue.name)
    for name, queue in selected.items():
        if not reading.consuming_from(name):
            reading.add_queue(queue)
            reading.consume()
