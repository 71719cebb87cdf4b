"""Celery's consumer, which survives a lost connection to Redis while its threads finish tasks."""

from contextlib import suppress

from celery.worker import consumer

#: Attempts to forget the requests of a closed connection. Each takes microseconds.
TRIES = 100


class Consumer(consumer.Consumer):  # type: ignore[misc]
    def on_close(self) -> None:
        """Forget the requests that a closed connection delivered.

        Celery iterates over a set that threads change when they finish a task. It then raises RuntimeError ("Set
        changed size during iteration"), and the worker ends with exit code 0.
        """
        for _ in range(TRIES):
            with suppress(RuntimeError):
                super().on_close()
                return
        super().on_close()
