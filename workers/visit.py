"""One visit of a question: send all missing chains of calls at once, and collect their answers and costs.

The samples of a variant share its first request. Each then goes through the rest of the chain by itself. A failure
loses only its own samples; all other paid answers are kept.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

from tracemill import thinking
from tracemill.engines import Completion, Engine, Sampling, Written
from tracemill.engines.usage import Usage
from tracemill.errors import EngineError
from tracemill.methods import Call
from tracemill.model_settings import ModelSettings
from tracemill.prompts import SLOT, Prompt, render
from workers.engine_clock import EngineClock
from workers.job import Chains

_clocks: "WeakKeyDictionary[Engine, EngineClock]" = WeakKeyDictionary()


class Slot(NamedTuple):
    """The key of one trace among the traces of its question."""

    variant: str
    sample_index: int


def slots(chains: Chains, n_traces: int) -> list[Slot]:
    """The slots of the first `n_traces` traces: the first sample of each variant, then the second ones, and so on."""
    variants = list(chains)
    return [Slot(variants[index % len(variants)], index // len(variants)) for index in range(n_traces)]


class Link(NamedTuple):
    """One call of a chain and its answer."""

    call: Call
    completion: Completion
    #: Tokens of the prompt.
    tokens_in: int
    #: Price of the answer, and this sample's share of the price of the prompt, which all samples pay together.
    cost: float
    seconds: float
    engine_seconds: float


@dataclass(frozen=True)
class Answer:
    """A complete chain; its last text is the trace."""

    slot: Slot
    links: tuple[Link, ...]

    @property
    def prompt(self) -> Prompt:
        """The prompt of the trace."""
        return self.links[-1].call.prompt

    @property
    def completion(self) -> Completion:
        """The trace."""
        return self.links[-1].completion

    @property
    def cost(self) -> float:
        """In the currency of the settings."""
        return sum(link.cost for link in self.links)


@dataclass
class Visit:
    """The answers and the cost of one visit."""

    answers: list[Answer] = field(default_factory=list)
    #: The first error; the samples still missing failed because of it.
    error: EngineError | None = None
    #: Prompt tokens of each request, and tokens of all answers, also of chains that failed half-way.
    usage: Usage = field(default_factory=Usage)
    cost: float = 0.0
    #: The job was cancelled before all answers were complete.
    is_aborted: bool = False

    @property
    def tokens(self) -> int:
        """All tokens of the visit."""
        return self.usage.tokens


class Sampler:
    """An engine with the settings of a job: model prices, sampling, adapter."""

    def __init__(self, engine: Engine, model: ModelSettings, sampling: Sampling, adapter: Path | None) -> None:
        self._engine = engine
        self._model = model
        self._sampling = sampling
        self._adapter = adapter

    async def visit(
        self, chains: Chains, missing: Sequence[Slot], values: Mapping[str, str], visit: Visit | None = None
    ) -> Visit:
        """Request the missing samples. `values` fill the slots of the templates. An engine's failure is data.

        The answers are added to `visit`, which keeps the complete ones if this coroutine is cancelled.
        """
        visit = Visit() if visit is None else visit
        by_variant = [(chain, [slot for slot in missing if slot.variant == name]) for name, chain in chains.items()]
        await asyncio.gather(*(self._variant(visit, chain, slots, values) for chain, slots in by_variant if slots))
        return visit

    async def _variant(
        self, visit: Visit, chain: tuple[Call, ...], slots: list[Slot], values: Mapping[str, str]
    ) -> None:
        try:
            firsts = await self._links(visit, chain, 0, len(slots), values)
        except EngineError as error:
            visit.error = visit.error or error
            return
        begun = zip(slots, firsts, strict=False)  # a server may return fewer
        if len(chain) == 1:
            visit.answers += [Answer(slot, (first,)) for slot, first in begun]
            return
        await asyncio.gather(*(self._rest(visit, chain, slot, first, values) for slot, first in begun))

    async def _rest(
        self, visit: Visit, chain: tuple[Call, ...], slot: Slot, first: Link, values: Mapping[str, str]
    ) -> None:
        links = [first]
        try:
            while len(links) < len(chain):
                earlier = {link.call.name: thinking.answer_of(link.completion.text) for link in links}
                links += await self._links(visit, chain, len(links), 1, {**values, **earlier})
        except EngineError as error:
            visit.error = visit.error or error
        else:
            visit.answers.append(Answer(slot, tuple(links)))

    async def score(
        self, chains: Chains, samples: Mapping[Slot, Completion], values: Mapping[str, str], visit: Visit
    ) -> None:
        """Score every token of other traces after this job's prompt: they become answers with new log-probabilities.

        The text of a sample without tokens is read in this model's tokens. An engine's failure is data, as in `visit`.
        """
        await asyncio.gather(
            *(self._score(visit, slot, sample, chains[slot.variant][-1], values) for slot, sample in samples.items())
        )

    async def _score(self, visit: Visit, slot: Slot, sample: Completion, call: Call, values: Mapping[str, str]) -> None:
        messages, started = render(call.prompt, values), time.monotonic()
        top, is_complete = sample.logprobs, sample.finish_reason == "stop"
        answer = Written(sample.text, is_complete) if top is None else top.chosen
        try:
            async with self._share() as share:
                scored = await self._engine.score_tokens(messages, answer, self._sampling)
        except EngineError as error:
            visit.error = visit.error or error
            return
        # The model reads the sample, and writes nothing.
        cost = self._model.price_in * sample.tokens / 1e6
        link = Link(call, replace(sample, logprobs=scored), 0, cost, time.monotonic() - started, share.seconds)
        visit.usage.tokens_in += sample.tokens
        visit.cost += cost
        visit.answers.append(Answer(slot, (link,)))

    async def _links(
        self, visit: Visit, chain: tuple[Call, ...], index: int, n: int, values: Mapping[str, str]
    ) -> list[Link]:
        call, is_last = chain[index], index == len(chain) - 1
        sampling = self._sampling if is_last else replace(self._sampling, logprobs=0)
        async with self._share() as share:
            generation = await self._engine.generate(render(call.prompt, values), n, sampling, self._adapter)
        if not is_last and not generation.completions:
            raise EngineError(f"the engine gave no answer to the call '{call.name}'")
        cost_in = self._model.price_in * generation.tokens_in / 1e6
        count = max(1, len(generation.completions))
        visit.usage.tokens_in += generation.tokens_in
        visit.usage.tokens_out += sum(completion.tokens for completion in generation.completions)
        links = [
            Link(
                call,
                completion,
                generation.tokens_in,
                cost_in / count + self._model.price_out * completion.tokens / 1e6,
                generation.seconds,
                share.seconds / count,
            )
            for completion in generation.completions
        ]
        visit.cost += sum(link.cost for link in links) if links else cost_in
        return links

    @asynccontextmanager
    async def _share(self) -> "AsyncIterator[Share]":
        clock = _clocks.setdefault(self._engine, EngineClock())
        share, entered = Share(), clock.enter()
        try:
            yield share
        finally:
            share.seconds = clock.leave(entered)


@dataclass
class Share:
    """The share of a request in its engine's time; known when the request has ended."""

    seconds: float = 0.0


#: Tokens that a chat template may add to a request: the marks of its turns, and a system prompt of its own.
TEMPLATE_TOKENS = 100


def token_limit(chains: Chains, missing: int, slot_bytes: Mapping[str, int], max_tokens: int) -> int:
    """The highest number of tokens that a visit may cost: `missing` samples of one question.

    `slot_bytes` is the length in bytes of the text in each slot, by the slot's name. No tokenizer makes more than one
    token of a byte. The samples of a variant share its first prompt; later prompts also quote earlier answers.
    """
    shared = max(_prompt_limit(chain, 0, slot_bytes, max_tokens) for chain in chains.values())
    each = max(
        len(chain) * max_tokens
        + sum(_prompt_limit(chain, index, slot_bytes, max_tokens) for index in range(1, len(chain)))
        for chain in chains.values()
    )
    return min(missing, len(chains)) * shared + missing * each


def _prompt_limit(chain: tuple[Call, ...], index: int, slot_bytes: Mapping[str, int], max_tokens: int) -> int:
    template = "".join(message["content"] for message in chain[index].prompt.messages)
    earlier = {call.name for call in chain[:index]}
    slots = SLOT.findall(template)
    inserted = sum(max_tokens if slot in earlier else slot_bytes.get(slot, 0) for slot in slots)
    return TEMPLATE_TOKENS + len(template.encode()) + inserted


def cost_limit(tokens: int, model: ModelSettings) -> float:
    """The highest price of so many tokens, in the currency of the settings."""
    return tokens * max(model.price_in, model.price_out) / 1e6
