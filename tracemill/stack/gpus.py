"""The cards of the local generate workers: one worker for each card, or for each group that its engines span."""

import re
from collections.abc import Sequence

from tracemill.cards import cards, uses_cards
from tracemill.errors import UsageError
from tracemill.settings import Settings


def groups(settings: Settings) -> list[tuple[str, ...]]:
    """The cards of each local generate worker, by id; empty if one worker without a card of its own is right.

    Cards that are left over when the groups are full stay idle. Raises UsageError if an engine needs more cards.
    """
    local = settings.local
    configs = {alias: settings.models[alias] for alias in local.served if alias in settings.models}
    if isinstance(local.gpus, list):
        ids = [str(card) for card in local.gpus]
    else:
        ids = [card.id for card in cards()] if any(map(uses_cards, configs.values())) else []
    sizes = {alias: config.vllm.n_cards for alias, config in configs.items() if config.engine == "vllm"}
    size = max(sizes.values(), default=1)
    if ids and size > len(ids):
        alias = max(sizes, key=lambda alias: sizes[alias])
        raise UsageError(
            f"model alias '{alias}' computes on {size} GPUs (tensor_parallel_size, pipeline_parallel_size), but this "
            f"machine has {len(ids)}: {', '.join(ids)}"
        )
    return [tuple(ids[start : start + size]) for start in range(0, len(ids) - size + 1, size)]


def label(group: Sequence[str]) -> str:
    """A group of cards in the name of a process: `gpu0`, `gpu2-3`, or the first characters of UUIDs."""
    return "gpu" + "-".join(re.sub(r"\W", "", card.removeprefix("GPU-"))[:8] for card in group)
