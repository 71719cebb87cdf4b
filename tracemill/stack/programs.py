"""The programs of the local stack: the same commands that a cluster runs, on one machine."""

import os
from collections.abc import Callable

from tracemill.interpreter import python
from tracemill.settings import config_file, settings
from tracemill.stack import Program, Stack, up


def start(
    prepare: Callable[[Stack], None],
    *,
    services_only: bool = False,
    postgres_port: int | None = None,
    redis_port: int | None = None,
) -> Stack:
    """Start the local stack as the settings describe it, or bring a running one up to date.

    `prepare` brings its database to this code's schema (`db.migrate.prepare`).
    """
    found = settings()
    stack = up(
        found.data_dir,
        (lambda stack: []) if services_only else programs,
        prepare=prepare,
        postgres_port=postgres_port if postgres_port is not None else found.local.postgres_port,
        redis_port=redis_port if redis_port is not None else found.local.redis_port,
    )
    settings.cache_clear()  # the stack's addresses are settings from here on
    return stack


def programs(stack: Stack) -> list[Program]:
    """The processes beside Postgres and Redis."""
    found = settings().local
    environment = {"TRACEMILL_DATA_DIR": str(settings().data_dir.absolute())}
    if config_file().is_file():
        environment["TRACEMILL_CONFIG"] = str(config_file().absolute())
    judge = ["--judge", found.judge] if found.judge else []
    models = [word for alias in found.generate for word in ("--model", alias)]
    wanted = [Program("producer", python("cli", "producer"), environment)]
    if found.generate:
        wanted.append(Program("generate", python("cli", "worker", "generate", *models, *judge), environment))
    wanted.append(Program("verify", python("cli", "worker", "verify"), environment))
    if found.train:
        wanted.append(Program("train", python("cli", "worker", "train"), environment))
    if found.flower:
        wanted.append(Program("flower", flower_command(stack.flower_port), environment | flower_login(stack)))
    return wanted


def flower_command(port: int) -> list[str]:
    """Flower on loopback."""
    options = ("--address=127.0.0.1", f"--port={port}", "--inspect-timeout=3000")
    return python("cli", "celery", "flower", *options)


def flower_login(stack: Stack) -> dict[str, str]:
    """Flower's credentials, as variables: a command line can be read by everybody on the machine."""
    return {"FLOWER_BASIC_AUTH": f"{stack.flower_user}:{stack.flower_password}", "PATH": os.environ.get("PATH", "")}
