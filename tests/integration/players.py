"""Threads in place of the workers and the trainer: a rule gives the answers, and nothing is fitted."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from db.queries import Q
from db.session import transaction
from tests.integration.factory import rows
from tests.integration.rounds import finish, trace
from trainer import loop_service, service

#: (job's name, index of the question, number of questions) -> True if the answer is accepted.
Rule = Callable[[str, int, int], bool]


@contextmanager
def simulated_processes(monkeypatch: pytest.MonkeyPatch, accepted: Rule) -> Iterator[None]:
    """Answer all questions and run all queued rounds and loops until the block ends."""
    stopped = threading.Event()

    def trainer() -> None:
        while not stopped.wait(0.1):
            for row in rows("select id from rounds where state = 'queued'"):
                service.run_round(row.id)
            for row in rows("select id from loops where state = 'running'"):
                loop_service.make_step(row.id)

    def workers() -> None:
        while not stopped.wait(0.1):
            answer_all(accepted)

    threads = [threading.Thread(target=work) for work in (trainer, workers)]
    with monkeypatch.context() as playing:
        playing.setattr(service, "run_in_child", fit_nothing)
        playing.setattr(service, "POLL_SECONDS", 0.1)
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopped.set()
            for thread in threads:
                thread.join()


def fit_nothing(module: str, round_id: int, *_: Any) -> bool:
    """Save the adapter of a round that is not fitted."""
    with transaction() as connection:
        saved = {"round_id": round_id, "adapter_path": f"/adapter-{round_id}", "metrics": "{}"}
        connection.execute(Q["round_adapter"], saved)
    return True


def answer_all(accepted: Rule) -> None:
    """Answer every question of every running job."""
    for row in rows("select id, name from jobs where state = 'running'"):
        _answer(row.id, row.name, accepted)


def _answer(job_id: int, name: str, accepted: Rule) -> None:
    questions = rows("select question_id from job_questions where job_id = :id order by 1", id=job_id)
    with transaction() as connection:
        for index, row in enumerate(questions):
            right = accepted(name, index, len(questions))
            trace(connection, job_id, row.question_id, f"{name} {index}", accepted=right)
            change = "update job_questions set accepted = :accepted where job_id = :job and question_id = :question"
            connection.execute(text(change), {"accepted": int(right), "job": job_id, "question": row.question_id})
        finish(connection, job_id)
