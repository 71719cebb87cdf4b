"""A connection whose other end says nothing counts as broken after seconds, not hours."""

import os
import socket

import pytest
from sqlalchemy import text

from db.session import statement
from tests.integration.factory import broker
from tracemill.celery import app
from tracemill.keepalive import BROKEN
from tracemill.stack import Stack

pytestmark = pytest.mark.integration


def check(descriptor: int) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as end:
        assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle, interval, count = (
            end.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle + interval * count == BROKEN
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * BROKEN


def test_a_process_notices_that_postgres_is_silent(clean: Stack) -> None:
    with statement() as connection:
        check(connection.connection.driver_connection.fileno())


def test_postgres_notices_that_a_process_is_silent(clean: Stack) -> None:
    with statement() as connection:
        shown = connection.execute(text("select name, setting from pg_settings where name like 'tcp\\_%'"))
        seconds = {row.name: int(row.setting) for row in shown}
    assert (
        seconds["tcp_keepalives_idle"] + seconds["tcp_keepalives_interval"] * seconds["tcp_keepalives_count"]
        == seconds["tcp_user_timeout"] / 1000
        == BROKEN
    )


def test_a_process_notices_that_redis_is_silent(clean: Stack) -> None:
    with broker(clean.redis_url), app.connection_for_write() as connection:
        channel = connection.default_channel
        for pool in (channel.pool, channel.async_pool):
            made = pool.get_connection()
            check(made._sock.fileno())
            pool.release(made)
