"""Celery's consumer survives a lost connection to Redis while tasks end."""

import pytest
from celery.worker.consumer import consumer

from tracemill.celery import app
from workers.consumer import Consumer


class Request:
    """A request that a thread may finish."""


class EndingRequests(dict[Request, Request]):
    """The requests of a worker. Another one ends while Celery looks for the first."""

    def __contains__(self, request: object) -> bool:
        if len(consumer.reserved_requests) > 1:
            other = next(each for each in set(consumer.reserved_requests) if each is not request)
            consumer.reserved_requests.discard(other)
        return super().__contains__(request)


def test_requests_that_end_while_the_connection_closes_do_not_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = EndingRequests((request, request) for request in (Request(), Request(), Request()))
    monkeypatch.setattr(consumer, "requests", requests)
    monkeypatch.setattr(consumer, "reserved_requests", type(consumer.reserved_requests)(requests))
    unconnected = Consumer.__new__(Consumer)
    vars(unconnected).update(controller=None, task_buckets={}, pool=None)
    unconnected.on_close()
    assert len(consumer.reserved_requests) == 0


def test_workers_have_this_consumer() -> None:
    assert app.conf.worker_consumer == f"{Consumer.__module__}:{Consumer.__name__}"
