"""The GPU memory that a model takes, computed from its `config.json`: weights, key-value cache, adapters, a fit.

Pure arithmetic in bytes. The count of parameters follows the common decoder with gated feed-forward layers: Llama,
Qwen, Mistral, Gemma, Phi, SmolLM and their mixtures of experts. It does NOT cover vision towers, state-space layers and
latent attention. The cost of computing (activations, CUDA itself) is an estimate, not yet tried on a GPU.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tracemill.errors import UsageError

GIB = 2**30
#: Bytes of a bfloat16 number.
BF16 = 2
#: Memory of a process on a card before it holds a tensor: CUDA's context and its libraries.
CONTEXT = int(0.6 * GIB)
#: CUDA graphs and the allocator's fragments of one engine.
GRAPHS = int(0.7 * GIB)
#: Tokens and sequences that an engine computes in one step: vLLM's defaults for `LLM` on a card below `LARGE_CARD`.
STEP_TOKENS = 8192
STEP_SEQUENCES = 256
LARGE_CARD = 70 * GIB
#: The same on larger cards.
LARGE_STEP_TOKENS = 16384
LARGE_STEP_SEQUENCES = 1024
#: Part of a card to plan with. The rest is for the driver and for errors of this estimate.
USABLE = 0.95
#: Bytes of a parameter in NF4: 4 bits and doubly quantised scales (0.127 bits).
NF4 = (4 + 0.127) / 8
#: Bytes of a LoRA parameter in a fit: weight, gradient and two moments of AdamW, in bfloat16 as trl keeps them.
TRAINED = 8
#: Padded tokens in one forward pass of a fit (`trainer.training.TOKENS_A_CUDA_PASS`), at least one row.
PASS_TOKENS = 16_384
#: Chunks of logits that a loss over the vocabulary holds at its peak (`trainer.lm_head.CHUNK`), in float32.
CHUNKS = int(0.4 * GIB)

#: Bits of a weight by the method of `quantization_config`, where that does not name them.
_BITS = {
    "fp8": 8,
    "compressed-tensors": 8,
    "modelopt": 8,
    "mxfp4": 4.25,
    "bitsandbytes": 4.127,
    "awq": 4.25,
    "gptq": 4.25,
}


@dataclass(frozen=True)
class Shape:
    """The figures of a decoder that decide about its memory."""

    layers: int
    hidden: int
    #: Width of a feed-forward layer, and the number of such layers that are dense.
    intermediate: int
    dense_layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    #: Experts of a layer, with the shared ones, and their width.
    experts: int = 0
    expert_width: int = 0
    #: Bits of a weight in a linear layer. Embeddings have 16.
    bits: float = 16

    @property
    def linear_parameters(self) -> int:
        """Parameters of the layers without embeddings, norms and biases."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        experts = (self.layers - self.dense_layers) * self.experts * 3 * self.hidden * self.expert_width
        return self.layers * attention + self.dense_layers * 3 * self.hidden * self.intermediate + experts

    @property
    def expert_parameters(self) -> int:
        return (self.layers - self.dense_layers) * self.experts * 3 * self.hidden * self.expert_width

    @property
    def embedding_parameters(self) -> int:
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All parameters, without norms, biases and routers, which are less than a thousandth."""
        return self.linear_parameters + self.embedding_parameters

    @property
    def weights(self) -> int:
        """Bytes of the weights in an engine."""
        return int(self.linear_parameters * self.bits / 8) + self.embedding_parameters * BF16

    @property
    def kv_token(self) -> int:
        """Bytes of one token in the key-value cache. Sliding windows save some of it, which is not counted."""
        return 2 * self.layers * self.kv_heads * self.head_dim * BF16

    def lora_parameters(self, rank: int) -> int:
        """Parameters of an adapter on every linear layer."""
        inputs_outputs = 2 * (self.hidden + self.heads * self.head_dim) + 2 * (
            self.hidden + self.kv_heads * self.head_dim
        )
        gated = 3 * (self.hidden + self.intermediate)
        return rank * (self.layers * inputs_outputs + self.dense_layers * gated)


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """Read a `config.json`; None for a model that this module cannot count."""
    text = config.get("text_config")
    values = {**config, **text} if isinstance(text, Mapping) else config
    try:
        layers, hidden, heads = (
            int(values[key]) for key in ("num_hidden_layers", "hidden_size", "num_attention_heads")
        )
        experts = int(_first(values, "num_experts", "num_local_experts", "n_routed_experts") or 0)
        intermediate = int(values.get("intermediate_size") or 0)
        # Mixtral and gpt-oss have only experts and give their width as that of the layer.
        width = int(values.get("moe_intermediate_size") or intermediate) if experts else 0
        dense = int(values.get("first_k_dense_replace") or 0) if experts else layers
        return Shape(
            layers=layers,
            hidden=hidden,
            intermediate=intermediate,
            dense_layers=dense,
            heads=heads,
            kv_heads=int(values.get("num_key_value_heads") or heads),
            head_dim=int(values.get("head_dim") or hidden // heads),
            vocabulary=int(values["vocab_size"]),
            tied=bool(values.get("tie_word_embeddings", _tied_by_default(values))),
            experts=experts + int(values.get("n_shared_experts") or 0),
            expert_width=width,
            bits=_bits(values.get("quantization_config")),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _tied_by_default(values: Mapping[str, Any]) -> bool:
    return str(values.get("model_type", "")).startswith("gemma")


def _first(values: Mapping[str, Any], *keys: str) -> Any:
    return next((values[key] for key in keys if values.get(key)), None)


def _bits(quantisation: Any) -> float:
    if not isinstance(quantisation, Mapping):
        return 16
    bits = quantisation.get("bits")
    return float(bits) if bits else _BITS.get(str(quantisation.get("quant_method")), 16)


@dataclass(frozen=True)
class EngineNeed:
    """The memory of one engine on each of its cards, in bytes, without `CONTEXT`.

    vLLM takes CUDA's context in addition to its share of the card.
    """

    #: The aliases that it serves.
    name: str
    weights: int
    #: Buffers for adapters.
    adapters: int
    #: Computing: graphs, activations, logits.
    work: int
    #: Key-value cache of one sequence of the largest length: without it vLLM does not start.
    kv_least: int
    #: Key-value cache of all sequences at once.
    kv_wish: int
    #: The number of cards that share it.
    cards: int = 1
    #: A share of the card that the user fixed; None if it is planned.
    fixed: float | None = None

    @property
    def least(self) -> int:
        """Without this it does not start."""
        return self.weights + self.adapters + self.work + self.kv_least

    @property
    def wish(self) -> int:
        """With this no sequence waits for memory."""
        return self.weights + self.adapters + self.work + max(self.kv_least, self.kv_wish)

    def __str__(self) -> str:
        parts = {
            "weights": self.weights,
            "adapters": self.adapters,
            "computing": self.work,
            "one sequence": self.kv_least,
        }
        terms = " + ".join(f"{gib(size)} {name}" for name, size in parts.items() if size)
        return f"{self.name} needs {gib(self.least)} GiB ({terms})"


def engine_need(
    name: str,
    shape: Shape,
    *,
    card: int,
    max_model_len: int,
    sequences: int | None,
    lora_rank: int = 0,
    cards: int = 1,
    fixed: float | None = None,
) -> EngineNeed:
    """The memory of an engine on each of its `cards`, which have `card` bytes.

    `sequences`: those that it should answer at the same time, by default as many as it computes in one step.
    """
    is_large = card >= LARGE_CARD
    batch = LARGE_STEP_SEQUENCES if is_large else STEP_SEQUENCES
    logits = 3 * batch * shape.vocabulary * 4
    width = max(shape.intermediate, shape.expert_width * 8)
    step = (LARGE_STEP_TOKENS if is_large else STEP_TOKENS) * (2 * width + 4 * shape.hidden) * BF16
    kv = shape.kv_token * max_model_len // cards
    return EngineNeed(
        name=name,
        weights=shape.weights // cards,
        # One slot for the adapter in use, and vLLM's second buffer.
        adapters=2 * shape.lora_parameters(lora_rank) * BF16 // cards,
        work=GRAPHS + (logits + step) // cards,
        kv_least=kv,
        kv_wish=kv * min(sequences or batch, batch),
        cards=cards,
        fixed=fixed,
    )


@dataclass(frozen=True)
class FitNeed:
    """The memory of a fit, in bytes."""

    name: str
    #: The base in NF4 with embeddings in bfloat16, and what bitsandbytes leaves in bfloat16.
    weights: int
    #: LoRA with gradients and the two moments of the optimiser.
    trained: int
    #: Checkpointed activations, and the layer that is computed again.
    activations: int
    logits: int

    @property
    def least(self) -> int:
        return CONTEXT + self.weights + self.trained + self.activations + self.logits

    def __str__(self) -> str:
        parts = {
            "NF4 weights": self.weights,
            "LoRA and optimiser": self.trained,
            "activations": self.activations,
            "logits": self.logits,
            "CUDA": CONTEXT,
        }
        terms = " + ".join(f"{gib(size)} {name}" for name, size in parts.items())
        return f"a fit of {self.name} needs {gib(self.least)} GiB ({terms})"


def fit_need(name: str, shape: Shape, *, rank: int, tokens: int = PASS_TOKENS) -> FitNeed:
    """The memory of a QLoRA fit with `tokens` in one forward pass."""
    quantised = shape.linear_parameters - shape.expert_parameters  # bitsandbytes quantises no fused experts
    lora = shape.lora_parameters(rank)
    layer = tokens * (6 * shape.intermediate + 12 * shape.hidden) * BF16
    return FitNeed(
        name=name,
        weights=int(quantised * NF4) + (shape.expert_parameters + shape.embedding_parameters) * BF16,
        trained=lora * TRAINED,
        activations=shape.layers * tokens * shape.hidden * BF16 + layer,
        logits=CHUNKS,
    )


def require_fit(fit: FitNeed, card: int, *, sleeping: int = 0) -> None:
    """Raise UsageError with the arithmetic if a fit does not fit on a card on which `sleeping` engines sleep."""
    residue = sleeping * (CONTEXT + GRAPHS)
    if fit.least + residue > card * USABLE:
        rest = f", and {sleeping} sleeping engines keep {gib(residue)} GiB" if sleeping else ""
        raise UsageError(
            f"{fit}{rest}, but {gib(card * USABLE)} of the {gib(card)} GiB of the card can be used. Choose a smaller "
            "student, or set train = false under [local]"
        )


def shares(needs: Iterable[EngineNeed], card: int, usable: int | None = None) -> dict[str, float]:
    """The part of a card of `card` bytes for each engine on it, by name.

    Every engine gets its least. They share the rest equally, but none gets more than it wishes for. `usable`: the bytes
    to plan with, by default `USABLE` of the card. Raises UsageError with the arithmetic if they cannot fit.
    """
    engines = list(needs)
    budget = (int(card * USABLE) if usable is None else usable) - len(engines) * CONTEXT
    planned = [engine for engine in engines if engine.fixed is None]
    left = budget - sum(int(engine.fixed * card) for engine in engines if engine.fixed is not None)
    spare = left - sum(engine.least for engine in planned)
    if planned and spare < 0:
        raise UsageError(_refusal(engines, card, budget))
    result = {engine.name: engine.fixed for engine in engines if engine.fixed is not None}
    # The smallest wishes first, so that their engines leave to the others what they do not need.
    by_wish = sorted(planned, key=lambda engine: engine.wish - engine.least)
    for position, engine in enumerate(by_wish):
        extra = min(engine.wish - engine.least, spare // (len(by_wish) - position))
        spare -= extra
        # Rounded down, so that together they stay below the budget.
        result[engine.name] = int((engine.least + extra) / card * 1000) / 1000
    return result


def _refusal(engines: Iterable[EngineNeed], card: int, budget: int) -> str:
    terms = [
        str(engine) if engine.fixed is None else f"{engine.name} has {engine.fixed:.0%} (gpu_memory_utilization)"
        for engine in engines
    ]
    return (
        f"the engines do not fit on a card of {gib(card)} GiB. Without a reserve and CUDA's own memory it has "
        f"{gib(budget)} GiB for them, but {'; '.join(terms)}. "
        "Lower max_model_len, choose a smaller or a quantised model, set adapters = false where no adapter is served, "
        "or take an alias out of generate or judge under [local]"
    )


def gib(size: float) -> str:
    """Bytes as GiB with one digit after the point, or two below 1 GiB."""
    value = size / GIB
    return f"{value:.2f}" if value < 0.95 else f"{value:.1f}"
