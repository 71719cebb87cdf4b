"""A scripted server (no model) and an OpenAI engine for it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.scripted_server import ScriptedServer
from tests.unit.tracemill.engines.engine_contract import QUESTION
from tracemill.engines import Sampling, openai_server
from tracemill.engines.openai import OpenaiEngine
from tracemill.event_loop import run
from tracemill.model_settings import ModelSettings, OpenaiOptions

KEY = "sk-0123456789abcdef"
SAMPLING = Sampling(max_tokens=64)
SETTINGS = {*ModelSettings.model_fields, *OpenaiOptions.model_fields}

Pair = tuple[ScriptedServer, OpenaiEngine]
Start = Callable[..., Pair]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a scripted server and an engine for it that hardly pauses between attempts.

    Arguments that are settings of a model are the engine's, all others the server's.
    """
    monkeypatch.setenv("TEACHER_KEY", KEY)
    monkeypatch.setattr(openai_server, "FIRST_PAUSE", 0.001)
    with ExitStack() as stack:

        def started(*arguments: Any, **options: Any) -> Pair:
            own = {name: options.pop(name) for name in list(options) if name in SETTINGS}
            server = stack.enter_context(ScriptedServer(*arguments, **options))
            engine = OpenaiEngine(settings(base_url=server.base_url, **{"timeout_seconds": 10, **own}))
            stack.callback(lambda: run(engine.close()))
            return server, engine

        yield started


def settings(**values: Any) -> ModelSettings:
    """The settings of a model behind a scripted server; options of the engine are given like all others."""
    options = {name: values.pop(name) for name in list(values) if name in OpenaiOptions.model_fields}
    return ModelSettings(engine="openai", model="scripted", openai={"api_key_env": "TEACHER_KEY", **options}, **values)


def texts(engine: OpenaiEngine, n: int = 1) -> list[str]:
    """What the engine answers, n times."""
    return [completion.text for completion in run(engine.generate(QUESTION, n, SAMPLING)).completions]


def body(*choices: Any, **more: Any) -> str:
    """A chat completion of these choices."""
    return json.dumps({"choices": list(choices), **more})


def said(**message: Any) -> dict[str, Any]:
    """A choice."""
    return {"message": message, "finish_reason": "stop"}
