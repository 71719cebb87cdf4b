"""The programs of the local stack: the commands of a cluster, on one machine."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from tracemill.cards import ORDER, VISIBLE
from tracemill.interpreter import python
from tracemill.queues import TRAIN_QUEUE, generate_queue, verify_queue
from tracemill.settings import FileSource, Settings, config_file, settings
from tracemill.stack import Program, Stack, up
from tracemill.stack.flower import flower_command, flower_login
from tracemill.stack.gpus import groups, label


def start(
    prepare: Callable[[Stack], None],
    *,
    services_only: bool = False,
    postgres_port: int | None = None,
    redis_port: int | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    on_restart: Callable[[list[str]], None] = lambda names: None,
) -> Stack:
    """Start the local stack as the settings require, or update a running one.

    `prepare` migrates its database to this code's schema (`db.migrate.prepare`). `on_restart` gets the names of the
    programs that are restarted because their settings have changed. `environment` has further variables of all
    programs.
    """
    current = settings()
    stack = up(
        current.data_dir,
        (lambda stack: []) if services_only else lambda stack: programs(stack, environment),
        prepare=prepare,
        postgres_port=postgres_port if postgres_port is not None else current.local.postgres_port,
        redis_port=redis_port if redis_port is not None else current.local.redis_port,
        on_restart=on_restart,
    )
    settings.cache_clear()  # from now on the settings hold the stack's addresses
    return stack


def programs(stack: Stack, further: Mapping[str, str] = MappingProxyType({})) -> list[Program]:
    """The processes besides Postgres and Redis, with `further` variables."""
    local = settings().local
    environment = {**further, "TRACEMILL_DATA_DIR": str(settings().data_dir.absolute())}
    if config_file().is_file():
        environment["TRACEMILL_CONFIG"] = str(config_file().absolute())
    processes = [Program("producer", python("cli", "producer"), environment)]
    if local.generate:
        processes += _generate_workers(environment)
    processes.append(Program("verify", python("cli", "worker", "verify"), environment))
    if local.train:
        chosen = {VISIBLE: ",".join(map(str, local.gpus)), **ORDER} if isinstance(local.gpus, list) else {}
        processes.append(Program("train", python("cli", "worker", "train"), environment | chosen))
    if local.flower:
        processes.append(Program("flower", flower_command(stack.flower_port), environment | flower_login(stack)))
    return [replace(process, settings_digest=_digest(process.name)) for process in processes]


def _generate_workers(environment: dict[str, str]) -> list[Program]:
    """One worker for each group of GPUs, or one without GPUs. Each serves all aliases."""
    local, models = settings().local, settings().models
    judge = ["--judge", local.judge] if local.judge else []
    aliases = [word for alias in local.generate for word in ("--model", alias)]
    command = python("cli", "worker", "generate", *aliases, *judge)
    engines = sorted({models[alias].engine for alias in local.served if alias in models})
    lend = ["--lend"] if local.train else []
    workers = {
        "-".join(["generate", *engines, label(group)]): ORDER | {VISIBLE: ",".join(group)}
        for group in groups(settings())
    }
    if not workers:
        return [Program("generate", command, environment, engine=", ".join(engines))]
    return [
        Program(name, [*command, *lend], environment | pinned, engine=", ".join(engines))
        for name, pinned in workers.items()
    ]


def kind_of(program: str) -> str:
    """The kind of a program: several programs `generate-…` may serve the same models on different GPUs."""
    return program.partition("-")[0]


#: The kinds of programs that have settings.
CONFIGURED = ("producer", "generate", "verify", "train", "flower")
#: The kinds of programs that read each setting. They are restarted when it changes.
READERS: dict[str, tuple[str, ...]] = {
    "data_dir": CONFIGURED,
    "database_url": CONFIGURED,
    "direct_url": (),
    "reader_url": (),
    "redis_url": CONFIGURED,
    "models": ("generate", "train"),
    "methods": ("generate", "verify", "train"),
    "feeder": CONFIGURED,
    "local": ("generate", "flower"),
    "generate_concurrency": ("generate",),
    "grace_seconds": ("generate", "verify", "train"),
    "verify_concurrency": ("generate", "verify"),
}


def _digest(program: str) -> str:
    """A digest of the values in the settings file that a program reads."""
    values = FileSource(Settings, config_file())()
    read = {name: value for name, value in values.items() if kind_of(program) in READERS.get(name, CONFIGURED)}
    return hashlib.sha256(json.dumps(read, sort_keys=True, default=str).encode()).hexdigest()


def program_for(queue: str) -> str | None:
    """The kind of the programs of the local stack that take tasks from a queue; None if the settings start none."""
    local = settings().local
    programs = {verify_queue(None): "verify"} | {generate_queue(alias): "generate" for alias in local.generate}
    if local.generate and local.judge:
        programs[verify_queue(local.judge)] = "generate"
    if local.train:
        programs[TRAIN_QUEUE] = "train"
    return programs.get(queue)
