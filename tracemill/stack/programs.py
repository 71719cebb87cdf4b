"""The programs of the local stack: the commands of a cluster, on one machine."""

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
    """Start the local stack as the settings require, or update a running one.

    `prepare` migrates its database to this code's schema (`db.migrate.prepare`).
    """
    current = settings()
    stack = up(
        current.data_dir,
        (lambda stack: []) if services_only else programs,
        prepare=prepare,
        postgres_port=postgres_port if postgres_port is not None else current.local.postgres_port,
        redis_port=redis_port if redis_port is not None else current.local.redis_port,
    )
    settings.cache_clear()  # from now on the settings hold the stack's addresses
    return stack


def programs(stack: Stack) -> list[Program]:
    """The processes besides Postgres and Redis."""
    local = settings().local
    environment = {"TRACEMILL_DATA_DIR": str(settings().data_dir.absolute())}
    if config_file().is_file():
        environment["TRACEMILL_CONFIG"] = str(config_file().absolute())
    judge = ["--judge", local.judge] if local.judge else []
    models = [word for alias in local.generate for word in ("--model", alias)]
    processes = [Program("producer", python("cli", "producer"), environment)]
    if local.generate:
        processes.append(Program("generate", python("cli", "worker", "generate", *models, *judge), environment))
    processes.append(Program("verify", python("cli", "worker", "verify"), environment))
    if local.train:
        processes.append(Program("train", python("cli", "worker", "train"), environment))
    if local.flower:
        processes.append(Program("flower", flower_command(stack.flower_port), environment | flower_login(stack)))
    return processes


def flower_command(port: int) -> list[str]:
    """The command of Flower on loopback."""
    options = ("--address=127.0.0.1", f"--port={port}", "--inspect-timeout=3000")
    return python("cli", "celery", "flower", *options)


def flower_login(stack: Stack) -> dict[str, str]:
    """Flower's credentials as environment variables, because every user can read a command line."""
    return {"FLOWER_BASIC_AUTH": f"{stack.flower_user}:{stack.flower_password}", "PATH": os.environ.get("PATH", "")}
