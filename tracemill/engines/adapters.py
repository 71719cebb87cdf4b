"""LoRA adapters of a vLLM engine. Each is checked and loaded when it is first used, apart from any request.

vLLM loads an adapter with the first request that names it. If that fails, its engine dies with every running request.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

from tracemill.errors import EngineDead, EngineError, RequestRefused
from tracemill.model_settings import LORA_RANKS, served_rank

#: An adapter's files with their times and sizes. A changed file makes another adapter.
Version: TypeAlias = tuple[tuple[Path, int, int], ...]


class Adapters:
    """The adapters of one engine. Use it from the engine's event loop."""

    def __init__(self, add_lora: Callable[[Any], Awaitable[object]], max_rank: int | None) -> None:
        """`add_lora` loads an adapter into the engine. `max_rank`: None if the engine serves no adapters."""
        self._add_lora = add_lora
        self._max_rank = max_rank
        self._loading: dict[Version, asyncio.Task[Any]] = {}

    async def request(self, adapter: Path | None) -> Any:
        """vLLM's request of a loaded adapter; None for the base model.

        Raises RequestRefused, with the reason, if the engine cannot serve the adapter, now and at every later call.
        Raises EngineError if there is no adapter in the folder.
        """
        if adapter is None:
            return None
        if self._max_rank is None:
            raise RequestRefused("this model alias serves no adapters: set adapters = true in its settings")
        version = _version(adapter)
        if version not in self._loading:
            self._loading[version] = asyncio.ensure_future(self._load(adapter, len(self._loading) + 1))
        return await asyncio.shield(self._loading[version])  # a cancelled request does not stop it for the others

    async def _load(self, adapter: Path, number: int) -> Any:
        from vllm.lora.request import LoRARequest
        from vllm.v1.engine.exceptions import EngineDeadError

        assert self._max_rank is not None
        rank = _rank(adapter)
        if rank > self._max_rank:
            advice = f"set max_lora_rank = {served_rank(rank)} in the settings of the model alias"
            largest = f"vLLM serves at most rank {LORA_RANKS[-1]}"
            raise RequestRefused(
                f"the adapter {adapter} has rank {rank}, and this model alias serves at most rank {self._max_rank}: "
                f"{advice if served_rank(rank) else largest}"
            )
        request = LoRARequest(f"{adapter.parent.name}-{number}", number, str(adapter))
        try:
            await self._add_lora(request)
        except EngineDeadError as error:
            raise EngineDead(f"vLLM's engine process died: {error}") from error
        except Exception as error:  # the call passes on what the engine's process raised, without its class
            raise RequestRefused(f"vLLM cannot load the adapter {adapter}: {error}") from error
        return request


def _version(adapter: Path) -> Version:
    weights, config = adapter / "adapter_model.safetensors", adapter / "adapter_config.json"
    if not weights.is_file() or not config.is_file():
        raise EngineError(
            f"no adapter in {adapter} (adapter_model.safetensors). Was its round's folder moved, or is it elsewhere?"
        )
    return tuple((file, (state := file.stat()).st_mtime_ns, state.st_size) for file in (config, weights))


def _rank(adapter: Path) -> int:
    """The largest rank of an adapter's matrices. Raises RequestRefused if its configuration cannot be read."""
    try:
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        return max(int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values()), 0)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RequestRefused(f"{adapter / 'adapter_config.json'} is no configuration of a LoRA: {error!r}") from error
