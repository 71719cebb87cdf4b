"""The engines that run in this process, one for each distinct model: aliases with the same settings share one."""

import logging
import threading

from tracemill.settings import model, settings
from workers.engines import Engine, start
from workers.loop import run

log = logging.getLogger(__name__)

_engines: dict[str, Engine] = {}
_starting = threading.Lock()


def engine(alias: str) -> Engine:
    """The engine of a model alias, started at first use. Raises UsageError or EngineError."""
    wanted = model(alias)
    key = wanted.model_dump_json()
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
