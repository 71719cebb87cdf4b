"""The memory that the engines of one generate worker take on its card, from the settings and each model's config.json.

A worker with several engines gives each its share as vLLM's `gpu_memory_utilization`. vLLM's own default is nearly the
whole card, so a second engine could not start. An option that the settings fix stays as it is.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracemill import memory
from tracemill.cards import Card, cards, uses_cards
from tracemill.engines.registry import engine_key
from tracemill.engines.vllm_options import USUAL_SHARE
from tracemill.memory import EngineNeed, FitNeed, Shape
from tracemill.model_settings import ModelSettings
from tracemill.settings import model, settings
from tracemill.stack.gpus import groups
from tracemill.weights import model_config, resolve

SHARE = "gpu_memory_utilization"
#: Free memory that is not planned with, because other programs and the driver use it at times.
MARGIN = int(0.25 * memory.GIB)
#: The alias that rounds train by default.
STUDENT = "student"

#: Reads the figures of a model; None if they are not known.
ShapeOf = Callable[[ModelSettings], Shape | None]


def engine_needs(aliases: Iterable[str], card: int, shape_of: ShapeOf) -> list[EngineNeed] | None:
    """The need of each engine that the aliases use on cards of `card` bytes; None if a model is not known."""
    engines: dict[str, list[str]] = {}
    for alias in dict.fromkeys(aliases):
        if model(alias).engine == "vllm" and model(alias).vllm.device != "cpu":
            engines.setdefault(engine_key(alias), []).append(alias)
    needs = []
    for names in engines.values():
        shape = shape_of(model(names[0]))
        if shape is None:
            return None
        needs.append(need_of(" + ".join(names), model(names[0]), shape, card))
    return needs


def _fetched_shape(config: ModelSettings) -> Shape | None:
    """The figures of a model that this process is about to load; None for an unknown kind of model."""
    path = resolve(config.model, settings().data_dir)  # unpacks a wheel, which has no config.json before
    values = model_config(path, settings().data_dir, download=True)
    return memory.shape_of(values) if values else None


def need_of(name: str, config: ModelSettings, shape: Shape, card: int) -> EngineNeed:
    """The need of one engine on a card, with the options of its settings."""
    return memory.engine_need(
        name,
        shape,
        card=card,
        max_model_len=config.vllm.max_model_len,
        # Most samples are far shorter than the longest.
        sequences=max(1, (settings().generate_concurrency or memory.STEP_SEQUENCES) // USUAL_SHARE),
        lora_rank=config.vllm.max_lora_rank if config.vllm.adapters else 0,
        cards=config.vllm.n_cards,
        fixed=config.vllm.options.get(SHARE),
    )


def student_fit(shape_of: ShapeOf) -> FitNeed | None:
    """The need of a fit with default settings; None if no student is trained or its config.json is not known here."""
    config = settings().models.get(STUDENT)
    if config is None or config.engine != "vllm" or (shape := shape_of(config)) is None:
        return None
    return memory.fit_need(config.model, shape, rank=config.vllm.max_lora_rank)


def worker_shares(aliases: Sequence[str]) -> dict[str, float]:
    """The share of each alias's engine for a worker of these aliases, by alias; empty where vLLM's default is right.

    That is on CPU, for a single engine, and where memory or a model is unknown. Raises UsageError if they do not fit.
    """
    on_cards = [model(alias) for alias in aliases if uses_cards(model(alias))]
    card = smallest(cards()[: max((config.vllm.n_cards for config in on_cards), default=0)])
    if card is None or card.memory is None or card.free is None:
        return {}
    needs = engine_needs(aliases, card.memory, _fetched_shape)
    if needs is None or len(needs) < 2:
        return {}
    usable = min(int(card.memory * memory.USABLE), card.free - MARGIN)
    return by_alias(memory.shares(needs, card.memory, usable))


def by_alias(shares: Mapping[str, float]) -> dict[str, float]:
    """The shares of engines as those of the aliases that use them."""
    return {alias: share for name, share in shares.items() for alias in name.split(" + ")}


def smallest(group: Iterable[Card]) -> Card | None:
    """The card with the least memory; None if there is none, or if the memory of one is unknown."""
    listed = list(group)
    if not listed or any(card.memory is None for card in listed):
        return None
    return min(listed, key=lambda card: card.memory or 0)


@dataclass(frozen=True)
class Plan:
    """The memory of one group of cards."""

    #: The cards of the group, by id.
    group: tuple[str, ...]
    #: The share of each engine; None if it is unknown until the worker starts.
    shares: dict[str, float] | None
    #: The fit that the engines make room for; None if no student is trained on these cards.
    fit: FitNeed | None


def local_plans(configs: Mapping[str, Mapping[str, Any] | None] | None = None) -> list[Plan]:
    """The plan of each group of cards of the local stack. Raises UsageError with the arithmetic.

    `configs`: the content of config.json by model, if the caller knows more than this machine's files.
    """

    def shape_of(config: ModelSettings) -> Shape | None:
        values = (configs or {}).get(config.model) or model_config(config.model, settings().data_dir)
        return memory.shape_of(values) if values else None

    local, visible = settings().local, {card.id: card for card in cards()}
    plans = []
    for number, group in enumerate(groups(settings())):
        card = smallest(visible.get(each, Card(each)) for each in group)
        size = card.memory if card is not None else None
        needs = engine_needs(local.served, size, shape_of) if size else None
        # The trainer takes the first cards.
        fit = student_fit(shape_of) if local.train and number == 0 else None
        if size and fit:
            memory.require_fit(fit, size, sleeping=len(needs or ()))
        plans.append(Plan(group, memory.shares(needs, size) if size and needs else None, fit))
    return plans
