"""The engines that run in this process, one for each distinct model.

Aliases whose settings are the same share one, whatever their prices.
"""

import logging
import os
import threading
from typing import NoReturn

from tracemill.engines import Engine, start
from tracemill.errors import EngineAway, EngineDead
from tracemill.event_loop import run
from tracemill.settings import model, settings

log = logging.getLogger(__name__)

#: Exit code of a worker whose engine died.
ENGINE_DIED = 70

#: Settings of an alias that its engine does not read: prices, and the options of the other engine.
UNUSED = {"vllm": {"price_in", "price_out", "openai"}, "openai": {"price_in", "price_out", "vllm"}}

#: Seconds without a step of an engine that has work, which are worth a word.
SLOW_SECONDS = 20.0

_engines: dict[str, Engine] = {}
#: Aliases whose engine could not be reached when it was last asked, and why.
_away: dict[str, str] = {}
_starting = threading.Lock()


def engine(alias: str) -> Engine:
    """The engine of a model alias, started at first use. Raises UsageError or EngineError."""
    chosen = model(alias)
    key = chosen.model_dump_json(exclude=UNUSED[chosen.engine])
    with _starting:
        if key not in _engines:
            log.warning("starting engine %s for %s (%s)", chosen.engine, alias, chosen.model)
            _engines[key] = start(chosen, settings().data_dir.resolve())
        return _engines[key]


def answered(alias: str, error: EngineAway | None = None) -> None:
    """Remember whether the engine of an alias could be reached."""
    if error is not None:
        _away[alias] = str(error)
    elif _away:
        _away.pop(alias, None)


def trouble() -> str | None:
    """What is wrong with the engines of this process."""
    silent = max((found.silent for found in list(_engines.values())), default=0.0)
    if silent > SLOW_SECONDS:
        return f"the engine has made no step for {silent:.0f} s"
    return "; ".join(f"{alias}: {why}" for alias, why in list(_away.items())) or None


def close_engines() -> None:
    """End every engine of this process, and every process that they started."""
    while _engines:
        _, ended = _engines.popitem()
        run(ended.close())


def end_worker(error: EngineDead) -> NoReturn:
    """End this worker at once with exit code 70; the leases bring back what it held."""
    log.critical("%s: this worker ends, so that its supervisor starts a new one", error)
    # A thread cannot end Celery's main thread in an orderly way.
    os._exit(ENGINE_DIED)
