"""The messages that Redis holds, so that the feeder sends a message again only when the first one is gone."""

import base64
import json
from typing import Any

from tracemill.broker import Channel
from tracemill.celery import commands


def questions_in(*queues: str) -> set[tuple[int, int]]:
    """(job, question) of every message that waits in one of the queues or that a worker has reserved.

    Raises kombu's OperationalError or RedisError if Redis cannot be reached.
    """
    with commands() as client:
        waiting = [message for queue in queues for message in client.lrange(queue, 0, -1)]
        reserved = [json.loads(entry)[0] for entry in client.hvals(Channel.unacked_key)]
    return {key for message in [*map(json.loads, waiting), *reserved] for key in questions_of(message)}


def questions_of(message: dict[str, Any]) -> list[tuple[int, int]]:
    """(job, question) of a message as Redis holds it."""
    arguments, _, _ = json.loads(base64.b64decode(message["body"]))
    match arguments:
        case [int(job_id), [*question_ids]]:
            return [(job_id, question_id) for question_id in question_ids]
        case _:  # of another task
            return []
