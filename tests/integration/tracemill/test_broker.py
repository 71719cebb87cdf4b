"""All threads of a process send their commands to Redis on one connection."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from tests.integration.factory import waiting
from tracemill.celery import GENERATE, app, commands, send
from tracemill.queues import generate_queue
from tracemill.stack import Stack

pytestmark = pytest.mark.integration


def test_threads_send_their_messages_on_one_connection(clean: Stack) -> None:
    with ThreadPoolExecutor(8) as threads, redis.Redis.from_url(clean.redis_url) as client:
        before = client.info("stats")["total_connections_received"]
        assert all(threads.map(lambda n: send(GENERATE, [1, [n]], generate_queue("teacher")), range(200)))
        assert client.info("stats")["total_connections_received"] - before <= 1
    assert waiting(clean) == 200


def test_the_messages_of_a_killed_worker_come_back(clean: Stack) -> None:
    send(GENERATE, [1, [1]], generate_queue("teacher"))
    with app.connection_for_read() as killed:
        channel = killed.default_channel
        message = channel.basic_get(generate_queue("teacher"))
        assert waiting(clean) == 0
        channel.qos._delivered.clear()  # it hands nothing back
    with app.connection_for_read() as other, commands() as client:
        client.zadd(channel.unacked_index_key, {message.delivery_tag: 0})
        other.default_channel.qos.restore_visible(interval=1)
    assert waiting(clean) == 1
