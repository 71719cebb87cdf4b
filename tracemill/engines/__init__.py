"""Engines run models: asynchronous `generate`, `choose` and `score`.

Each engine is one file. A process has one engine for each model and uses it from its event loop
(`tracemill.event_loop`). So one engine gets the requests of all running tasks.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from tracemill.logprobs import TopK
from tracemill.model_settings import ModelSettings
from tracemill.prompts import Message
from tracemill.sampling import Sampling as Sampling
from tracemill.sampling import SamplingSettings

#: No variables of the chat template, and no further keys.
NO_SAMPLING = Sampling()
#: A question that every model can answer. An answer shows that an engine works.
PROBE: list[Message] = [{"role": "user", "content": "What is 2 + 2? Reply with the number only."}]


@dataclass(frozen=True)
class Completion:
    """One sample. Thoughts in its text stand between thinking marks."""

    text: str
    tokens: int
    #: `stop`, `length`, …; `refusal` or `content_filter` if the model or its server refused to answer.
    finish_reason: str | None
    #: How many of `tokens` are thoughts. Exact for engines in this process. A server's count otherwise, or an estimate
    #: from the length of the text.
    thinking_tokens: int = 0
    #: One position for each of `tokens`, before temperature and top_p; None unless requested.
    logprobs: TopK | None = None


@dataclass(frozen=True)
class Generation:
    """The result of one request. `tokens_in` counts the prompt once; `seconds` is its wall time.

    There may be fewer completions than requested, but never more.
    """

    completions: tuple[Completion, ...]
    tokens_in: int
    seconds: float


@dataclass(frozen=True)
class Score:
    """The probability of a text as the beginning of an answer."""

    #: Natural logarithm of its probability: at most 0.
    logprob: float
    #: Its length in the model's tokens.
    tokens: int


class Written(NamedTuple):
    """The text of an answer by any model."""

    text: str
    #: Whether its model ended its turn after it.
    is_complete: bool


class Engine(Protocol):
    """A running model."""

    @property
    def stalled_seconds(self) -> float:
        """Seconds since the engine's last step while requests wait; 0 if none wait."""

    @property
    def max_sequences(self) -> int:
        """The number of sequences (samples) that keeps the engine busy, with some that wait for their turn."""

    async def generate(
        self, messages: list[Message], n: int, sampling: Sampling, adapter: Path | None = None
    ) -> Generation:
        """Answer `messages` n times, or fewer if only some samples fail.

        Raises EngineError if all fail, EngineAway if later requests may succeed, or EngineDead if none can.

        Raises RequestRefused also if the request needs log-probabilities that the model's server does not give.
        """
        ...

    async def choose(
        self, messages: list[Message], choices: Sequence[str], sampling: Sampling = NO_SAMPLING
    ) -> dict[str, float] | None:
        """The probability of each choice as the answer's first word; their sum is 1.

        None if no choice is among the model's likeliest first tokens. Of `sampling` only the variables of the chat
        template and the further keys of requests count. Raises the errors of `generate`.
        """
        ...

    async def score(
        self,
        messages: list[Message],
        continuation: str,
        adapter: Path | None = None,
        sampling: Sampling = NO_SAMPLING,
    ) -> Score | None:
        """The probability that the answer to `messages` begins with `continuation`. `sampling`: as in `choose`.

        None if the engine cannot compute it: few hosted servers give probabilities of a text that they did not write.
        Raises the errors of `generate`.
        """
        ...

    async def score_tokens(self, messages: list[Message], answer: Sequence[int] | Written, sampling: Sampling) -> TopK:
        """The `sampling.logprobs` likeliest tokens at each position of an answer: this model's tokens, or a text.

        Each row also has the answer's own token. Of `sampling` only that number and those of `choose` count. Raises the
        errors of `generate`, and RequestRefused if the engine cannot score tokens.
        """
        ...

    async def sleep(self) -> None:
        """Finish the running requests and free the GPU's memory. Later requests wait until `wake`."""
        ...

    async def wake(self) -> None:
        """Take the memory again and answer the waiting requests."""
        ...

    async def close(self) -> None:
        """End the engine and every process it started."""
        ...


class AliasEngine:
    """An engine with the chat template's variables and the further keys of a model alias, in every request."""

    def __init__(self, engine: Engine, settings: SamplingSettings) -> None:
        self._engine, self._settings = engine, settings

    @property
    def stalled_seconds(self) -> float:
        return self._engine.stalled_seconds

    @property
    def max_sequences(self) -> int:
        return self._engine.max_sequences

    async def generate(
        self, messages: list[Message], n: int, sampling: Sampling, adapter: Path | None = None
    ) -> Generation:
        return await self._engine.generate(messages, n, self._with_settings(sampling), adapter)

    async def choose(
        self, messages: list[Message], choices: Sequence[str], sampling: Sampling = NO_SAMPLING
    ) -> dict[str, float] | None:
        return await self._engine.choose(messages, choices, self._with_settings(sampling))

    async def score(
        self,
        messages: list[Message],
        continuation: str,
        adapter: Path | None = None,
        sampling: Sampling = NO_SAMPLING,
    ) -> Score | None:
        return await self._engine.score(messages, continuation, adapter, self._with_settings(sampling))

    async def score_tokens(self, messages: list[Message], answer: Sequence[int] | Written, sampling: Sampling) -> TopK:
        return await self._engine.score_tokens(messages, answer, self._with_settings(sampling))

    async def sleep(self) -> None:
        await self._engine.sleep()

    async def wake(self) -> None:
        await self._engine.wake()

    async def close(self) -> None:
        await self._engine.close()

    def _with_settings(self, sampling: Sampling) -> Sampling:
        return replace(
            sampling,
            chat_template_kwargs={**self._settings.chat_template_kwargs, **sampling.chat_template_kwargs},
            extra_body={**self._settings.extra_body, **sampling.extra_body},
        )


def start(model: ModelSettings, data_dir: Path) -> Engine:
    """Start the engine of `model` and wait until it can answer. Raises UsageError or EngineError.

    The engine's module is imported only here, because its packages are large.
    """
    match model.engine:
        case "vllm":
            from tracemill.engines.vllm import VllmEngine

            return VllmEngine(model, data_dir)
        case "openai":
            from tracemill.engines.openai import OpenaiEngine

            return OpenaiEngine(model)


#: Characters around a word that are not part of it.
AROUND_WORDS = string.whitespace + "\"'*`_.,:;!()"


def choice_shares(likeliest: Sequence[tuple[str, float]], choices: Sequence[str]) -> dict[str, float] | None:
    """Each choice's share of the probability that the first token is one of the choices; None if that is 0.

    `likeliest` holds (token text, probability) of the likeliest first tokens. Case does not count, nor do spaces and
    punctuation around a word.
    """
    mass = dict.fromkeys(choices, 0.0)
    for token, probability in likeliest:
        word = token.strip(AROUND_WORDS).casefold()
        for choice in choices:
            if word == choice.casefold():
                mass[choice] += probability
    total = sum(mass.values())
    return {choice: value / total for choice, value in mass.items()} if total > 0 else None
