"""The longest prompt and answer of a model alias together, without starting its engine."""

from contextlib import suppress
from typing import NamedTuple

from tracemill.errors import TracemillError
from tracemill.event_loop import run
from tracemill.model_settings import ModelSettings
from tracemill.settings import settings
from tracemill.weights import max_length


class Context(NamedTuple):
    """A limit in tokens, and where it comes from."""

    tokens: int
    #: The key that raises it; None for a limit of the model or of its server.
    setting: str | None


def context_of(alias: str, config: ModelSettings) -> Context | None:
    """The smallest known limit: that of the settings, of a config.json on this disk, or of the model's server.

    None if none is known. A server tells it in `GET /models`, as vLLM's does; it is not asked for longer than a moment.
    """
    if config.engine == "openai":
        tokens = None
        with suppress(TracemillError):  # a job may also be opened where its server cannot be reached
            tokens = run(_of_server(config))
        return None if tokens is None else Context(tokens, None)
    limits = [Context(config.context, f"max_model_len in [models.{alias}.vllm]")] if config.context else []
    if "hf_overrides" not in config.vllm.options and (longest := max_length(config.model, settings().data_dir)):
        limits.append(Context(longest, None))
    return min(limits, key=lambda limit: limit.tokens, default=None)


async def _of_server(config: ModelSettings) -> int | None:
    from tracemill.engines.openai_server import Server  # needs the extra `openai`

    server = Server(config)
    try:
        return await server.max_model_len()
    finally:
        await server.close()
