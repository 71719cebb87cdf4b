"""The engines of this process, one for each distinct model.

Aliases with the same settings share an engine; prices and sampling do not count.
"""

import logging
import os
import threading
from collections.abc import Mapping
from typing import Any, NoReturn

from tracemill.engines import AliasEngine, Engine, start
from tracemill.errors import EngineDead, EngineError
from tracemill.event_loop import run
from tracemill.model_settings import ModelSettings
from tracemill.settings import model, settings

log = logging.getLogger(__name__)

#: Exit code of a worker whose engine died.
ENGINE_DIED = 70

#: Seconds without a step, while requests wait, after which `trouble` reports the engine.
SLOW_SECONDS = 20.0

_engines: dict[str, Engine] = {}
#: Options of vLLM by alias, planned for this process.
_options: dict[str, dict[str, Any]] = {}
#: Aliases with an engine that could not answer the last request, with the error.
_away: dict[str, str] = {}
_starting = threading.Lock()


def engine_key(alias: str) -> str:
    """Aliases with the same key share an engine."""
    return model(alias).of_engine


def engine(alias: str) -> Engine:
    """The engine of a model alias, started at first use. Raises UsageError or EngineError."""
    config, key = model(alias), engine_key(alias)
    with _starting:
        if key not in _engines:
            log.warning("starting engine %s for %s (%s)", config.engine, alias, config.model)
            _engines[key] = start(with_options(config, _options.get(alias, {})), settings().data_dir.resolve())
        return _engines[key]


def alias_engine(alias: str) -> Engine:
    """The engine of a model alias, with the alias's variables of the chat template and further keys in each request.

    Jobs have these in their own sampling.
    """
    sampling = model(alias).sampling
    is_plain = not (sampling.chat_template_kwargs or sampling.extra_body)
    return engine(alias) if is_plain else AliasEngine(engine(alias), sampling)


def with_options(config: ModelSettings, options: Mapping[str, Any]) -> ModelSettings:
    """The settings of an alias with further options of vLLM; those of the settings win."""
    vllm = config.vllm.model_copy(update={"options": {**options, **config.vllm.options}})
    return config.model_copy(update={"vllm": vllm})


def set_options(alias: str, **options: Any) -> None:
    """Give the engine of an alias options of vLLM that the settings do not name. Call it before its start."""
    _options[alias] = {**_options.get(alias, {}), **options}


def capacity(engine: Engine) -> int:
    """The samples that this process has in an engine at a time."""
    return settings().generate_concurrency or engine.max_sequences


def answered(alias: str, error: EngineError | None = None) -> None:
    """Record whether the engine of an alias could answer."""
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


def sleep_engines() -> None:
    """Let every engine of this process sleep. Until `wake_engines` no other engine starts."""
    _starting.acquire()
    log.warning("the engines sleep: a fit needs the GPU")
    for engine in _engines.values():
        run(engine.sleep())


def wake_engines() -> None:
    """Wake the engines that `sleep_engines` let sleep."""
    for engine in _engines.values():
        run(engine.wake())
    log.warning("the engines are awake: the fit has ended")
    _starting.release()


def close_engines() -> None:
    """End every engine of this process and the processes that they started."""
    while _engines:
        _, engine = _engines.popitem()
        run(engine.close())


def end_worker(error: EngineDead) -> NoReturn:
    """End this worker at once with exit code 70. `workers.shutdown.engine_died` first hands its work back."""
    log.critical("%s: this worker ends, so that its supervisor starts a new one", error)
    # A thread cannot shut down Celery's main thread properly.
    os._exit(ENGINE_DIED)
