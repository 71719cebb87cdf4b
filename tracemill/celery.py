"""The Celery app: four task names on three kinds of queue, and nothing else.

A message is only a nudge: Postgres owns the work (see `db/`). So messages are acknowledged as soon as a task starts, no
result is kept, and a message that is lost or repeated costs a lease or one SQL statement, never a question.
"""

import importlib
import logging
from collections.abc import Iterable
from typing import Any

from celery import Celery
from celery.loaders.app import AppLoader
from kombu.exceptions import OperationalError as BrokerAway

from tracemill import broker
from tracemill.interpreter import protect_children
from tracemill.keepalive import REDIS_CLIENT
from tracemill.policy import Policy
from tracemill.settings import settings

log = logging.getLogger(__name__)

GENERATE = "tracemill.generate"
VERIFY = "tracemill.verify"
TRAIN = "tracemill.train"
LOOP = "tracemill.loop"


def generate_queue(alias: str) -> str:
    """The queue that the workers of a model alias listen on."""
    return f"generate.{alias}"


def verify_queue(judge: str | None) -> str:
    """The queue for verifications: those that ask a judge go to the workers that have that model."""
    return f"verify.{judge}" if judge else "verify"


TRAIN_QUEUE = "train"


class Loader(AppLoader):  # type: ignore[misc]
    """How Celery finds its broker and our tasks.

    Celery asks for the configuration when it first connects, so that importing this module reads no settings: the flags
    of the command line come later. And Celery's own loader puts the current folder first on the import path, where a
    `trainer/` of the user's would be imported instead of ours.
    """

    def read_configuration(self, *_: Any, **__: Any) -> dict[str, Any]:
        url = settings().redis_url
        return {"broker_url": url.get_secret_value() if url else "redis://127.0.0.1:6379/0"}

    def import_from_cwd(self, module: str, *_: Any, package: str | None = None, **__: Any) -> Any:
        return importlib.import_module(module, package)

    def on_worker_init(self) -> None:
        protect_children()


broker.install()
app = Celery(
    "tracemill",
    loader=Loader,
    amqp=broker.Wires,
    include=["workers.generate", "workers.verify", "trainer.service", "trainer.loop_service"],
)
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    # Else each thread makes a result backend of its own, and searches all installed packages for it.
    result_backend_thread_safe=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # for ever: a worker has nothing better to do
    broker_transport_options={
        # A killed worker's unstarted messages come back after this; the claim in Postgres makes a repeat harmless.
        "visibility_timeout": 60,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "health_check_interval": 10,
        **REDIS_CLIENT,
    },
    task_routes={TRAIN: {"queue": TRAIN_QUEUE}, LOOP: {"queue": TRAIN_QUEUE}},
)


def send(task: str, args: list[Any], queue: str) -> bool:
    """Send one message; false when Redis is away. Nobody waits for it: Postgres knows what is still to do."""
    try:
        with app.producer_or_acquire() as producer:
            app.send_task(task, args=args, queue=queue, producer=producer, retry=False)
    except BrokerAway as error:
        log.warning("Redis is away, a nudge is left to the feeder: %s", error)
        return False
    return True


#: Questions in one message to the verifiers: so many that the message hardly counts, so few that workers share them.
VERIFIED_TOGETHER = 16


def nudge_verifiers(job_id: int, question_ids: Iterable[int], policy: Policy) -> None:
    """Tell the verifiers that questions have traces; see `send`."""
    queues: dict[str, list[int]] = {}
    for question_id in question_ids:
        queues.setdefault(verify_queue(policy.judge if policy.judges(question_id) else None), []).append(question_id)
    for queue, found in queues.items():
        for start in range(0, len(found), VERIFIED_TOGETHER):
            send(VERIFY, [job_id, found[start : start + VERIFIED_TOGETHER]], queue)
