"""The engines that run in this process, one for each distinct model.

Aliases whose settings are the same share one, whatever their prices.
"""

import logging
import os
import threading
from typing import NoReturn

from tracemill.errors import EngineDead
from tracemill.settings import model, settings
from workers.engines import Engine, start
from workers.loop import run

log = logging.getLogger(__name__)

#: Exit code of a worker whose engine died.
ENGINE_DIED = 70

#: Settings of an alias that mean nothing to its engine.
NOT_THE_ENGINES = {"price_in", "price_out"}

_engines: dict[str, Engine] = {}
_starting = threading.Lock()


def engine(alias: str) -> Engine:
    """The engine of a model alias, started at first use. Raises UsageError or EngineError."""
    wanted = model(alias)
    key = wanted.model_dump_json(exclude=NOT_THE_ENGINES)
    with _starting:
        if key not in _engines:
            log.warning("starting engine %s for %s (%s)", wanted.engine, alias, wanted.model)
            _engines[key] = start(wanted, settings().data_dir.resolve())
        return _engines[key]


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
