"""Check that the engine of a model alias can start, within milliseconds and before anything is started.

It covers the alias, the installed engine, a model folder or wheel, the server's address and its key. It does NOT cover
the hub, the server itself, the memory, or options that only vLLM can judge.
"""

import os
from importlib.util import find_spec

from tracemill.engines.vllm import not_installed
from tracemill.engines.vllm_options import require_trusted
from tracemill.errors import UsageError
from tracemill.model_settings import ModelSettings
from tracemill.settings import model, settings
from tracemill.weights import require


def require_startable(alias: str) -> None:
    """Raise UsageError if the engine of a model alias cannot start on this machine."""
    config = model(alias)
    try:
        if config.engine == "vllm":
            if find_spec("vllm") is None:
                raise not_installed("there is no module vllm")
            require(config.model, settings().data_dir)
            require_trusted(config)
        else:
            _require_server(config)
    except UsageError as error:
        raise UsageError(f"model alias '{alias}': {error}") from None


def _require_server(config: ModelSettings) -> None:
    from tracemill.engines.openai_server import Server  # needs the extra `openai`

    Server(config)
    options = config.openai
    # Many local servers need no key. So an unset variable is an error only if the settings name it.
    if "api_key_env" in options.model_fields_set and not os.environ.get(options.api_key_env, "").strip():
        raise UsageError(f"the environment variable {options.api_key_env}, which holds the API key, is not set")
