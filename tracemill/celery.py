"""The Celery app: five task names on three kinds of queue, and nothing else.

A message is only a nudge, because Postgres owns the work (see `db/`). A message is acknowledged as soon as its task
starts, and no result is kept. A lost message costs a lease, a repeated one costs a SQL statement. Neither loses a
question.
"""

import importlib
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.loaders.app import AppLoader
from celery.signals import worker_shutting_down
from kombu.exceptions import OperationalError as BrokerAway
from redis import Redis

from tracemill import broker
from tracemill.interpreter import protect_children
from tracemill.keepalive import REDIS_CLIENT
from tracemill.policy import Policy
from tracemill.queues import TRAIN_QUEUE, verify_queue
from tracemill.settings import settings
from tracemill.text import PrintableRecord

log = logging.getLogger(__name__)

GENERATE = "tracemill.generate"
VERIFY = "tracemill.verify"
TRAIN = "tracemill.train"
LOOP = "tracemill.loop"
RATE = "tracemill.rate"


class Loader(AppLoader):  # type: ignore[misc]
    """Loads Celery's broker address and our tasks.

    Celery reads the configuration at its first connection. So an import of this module reads no settings before the
    flags of the command line are known. Celery's own loader puts the current folder first on the import path, so it
    would import a user's `trainer/` instead of ours.
    """

    def read_configuration(self, *_: Any, **__: Any) -> dict[str, Any]:
        url = settings().redis_url
        return {"broker_url": url.get_secret_value() if url else "redis://127.0.0.1:6379/0"}

    def import_from_cwd(self, module: str, *_: Any, package: str | None = None, **__: Any) -> Any:
        return importlib.import_module(module, package)

    def on_worker_init(self) -> None:
        protect_children()
        logging.setLogRecordFactory(PrintableRecord)


broker.install()
app = Celery(
    "tracemill",
    loader=Loader,
    amqp=broker.RetryingAMQP,
    include=["workers.generate", "workers.verify", "workers.rating", "trainer.service", "trainer.loop_service"],
)
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    # Otherwise each thread makes its own result backend, and searches all installed packages for it.
    result_backend_thread_safe=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
    worker_hijack_root_logger=False,
    worker_consumer="workers.consumer:Consumer",
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # no limit: a worker can do nothing without its broker
    broker_transport_options={
        # Seconds after which a killed worker's unstarted messages come back. The claim in Postgres makes a repeated
        # message harmless.
        "visibility_timeout": 60,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "health_check_interval": 10,
        **REDIS_CLIENT,
    },
    task_routes={TRAIN: {"queue": TRAIN_QUEUE}, LOOP: {"queue": TRAIN_QUEUE}},
)


#: Set as soon as this worker process is asked to end (SIGTERM).
shutting_down = threading.Event()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # celery is not typed
def _shut_down(**_: Any) -> None:
    shutting_down.set()


def publish(producer: Any, task: str, args: list[Any], queue: str) -> None:
    """Send one message through a producer of `app`. Raises BrokerAway.

    Redis needs no declaration of the queue, and Celery's own text of the arguments is slow to make. Both together would
    take a third of the CPU time of a message.
    """
    shown = {"argsrepr": repr(args), "kwargsrepr": "{}"}
    app.send_task(task, args=args, queue=queue, producer=producer, retry=False, declare=[], **shown)


def send(task: str, args: list[Any], queue: str) -> bool:
    """Send one message; false when Redis cannot be reached. Then the feeder sends it later."""
    try:
        with app.producer_or_acquire() as producer:
            publish(producer, task, args, queue)
    except BrokerAway as error:
        log.warning("Redis cannot be reached, the feeder will send this message later: %s", error)
        return False
    return True


@contextmanager
def commands() -> Iterator[Redis]:
    """A client on the connection for commands of this process. Raises kombu's OperationalError or RedisError."""
    with app.pool.acquire(block=True) as connection, connection.default_channel.conn_or_acquire() as client:
        yield client


#: Questions in one message to the verifiers. More would keep workers from sharing them; fewer would cost more messages.
MAX_QUESTIONS_A_MESSAGE = 16


def nudge_verifiers(job_id: int, question_ids: Iterable[int], policy: Policy) -> None:
    """Send the verifiers the questions that have new traces; see `send`."""
    queues: dict[str, list[int]] = {}
    for question_id in question_ids:
        queues.setdefault(verify_queue(policy.judge if policy.judges(question_id) else None), []).append(question_id)
    for queue, ids in queues.items():
        for start in range(0, len(ids), MAX_QUESTIONS_A_MESSAGE):
            send(VERIFY, [job_id, ids[start : start + MAX_QUESTIONS_A_MESSAGE]], queue)
