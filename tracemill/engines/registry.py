"""The engines of this process, one for each distinct model.

Aliases with the same settings share an engine; prices and sampling do not count.
"""

import logging
import os
import threading
from typing import NoReturn

from tracemill.engines import AliasEngine, Engine, start
from tracemill.errors import EngineAway, EngineDead
from tracemill.event_loop import run
from tracemill.settings import model, settings

log = logging.getLogger(__name__)

#: Exit code of a worker whose engine died.
ENGINE_DIED = 70

#: Settings of an alias that its engine does not read: prices, sampling, and the options of the other engine.
UNUSED = {
    "vllm": {"price_in", "price_out", "sampling", "openai"},
    "openai": {"price_in", "price_out", "sampling", "vllm"},
}

#: Seconds without a step, while requests wait, after which `trouble` reports the engine.
SLOW_SECONDS = 20.0

_engines: dict[str, Engine] = {}
#: Aliases with an engine that could not be reached at the last request, with the error.
_away: dict[str, str] = {}
_starting = threading.Lock()


def engine(alias: str) -> Engine:
    """The engine of a model alias, started at first use. Raises UsageError or EngineError."""
    config = model(alias)
    key = config.model_dump_json(exclude=UNUSED[config.engine])
    with _starting:
        if key not in _engines:
            log.warning("starting engine %s for %s (%s)", config.engine, alias, config.model)
            _engines[key] = start(config, settings().data_dir.resolve())
        return _engines[key]


def alias_engine(alias: str) -> Engine:
    """The engine of a model alias, with the alias's variables of the chat template and further keys in each request.

    Jobs have these in their own sampling.
    """
    sampling = model(alias).sampling
    is_plain = not (sampling.chat_template_kwargs or sampling.extra_body)
    return engine(alias) if is_plain else AliasEngine(engine(alias), sampling)


def answered(alias: str, error: EngineAway | None = None) -> None:
    """Record whether the engine of an alias could be reached."""
    if error is not None:
        _away[alias] = str(error)
    elif _away:
        _away.pop(alias, None)


def trouble() -> str | None:
    """The current problem of this process's engines; None if there is none."""
    stalled = max((engine.stalled_seconds for engine in list(_engines.values())), default=0.0)
    if stalled > SLOW_SECONDS:
        return f"the engine has made no step for {stalled:.0f} s"
    return "; ".join(f"{alias}: {why}" for alias, why in list(_away.items())) or None


def close_engines() -> None:
    """End every engine of this process and the processes that they started."""
    while _engines:
        _, engine = _engines.popitem()
        run(engine.close())


def end_worker(error: EngineDead) -> NoReturn:
    """End this worker at once with exit code 70. Its questions come back when their leases run out."""
    log.critical("%s: this worker ends, so that its supervisor starts a new one", error)
    # A thread cannot shut down Celery's main thread properly.
    os._exit(ENGINE_DIED)
