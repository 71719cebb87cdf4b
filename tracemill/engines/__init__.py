"""How to reach a model: asynchronous `generate`, `choose` and `score`, and one engine a model in a process.

Each engine is one file. Engines are used from the process's one event loop
(`tracemill.event_loop`), so that the requests of all tasks in flight are in the engine together.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tracemill.logprobs import TopK
from tracemill.model_settings import ModelSettings
from tracemill.prompts import Message
from tracemill.sampling import Sampling as Sampling


@dataclass(frozen=True)
class Completion:
    """One sample: its text, with any thoughts between thinking marks, its length in tokens, and why it ended."""

    text: str
    tokens: int
    #: `stop`, `length`, …; `refusal` or `content_filter` when there was something that would not be said.
    finish_reason: str | None
    #: How many of `tokens` are thoughts: exact in process; by a server's count, or their share of the text, elsewhere.
    thinking_tokens: int = 0
    #: As many places as `tokens`; null unless asked for. As the model gives them, before temperature and top_p.
    logprobs: TopK | None = None


@dataclass(frozen=True)
class Generation:
    """What one request returned. `tokens_in` counts the prompt once; `seconds` is the request's wall time.

    A server may return fewer completions than asked; never more.
    """

    completions: tuple[Completion, ...]
    tokens_in: int
    seconds: float


@dataclass(frozen=True)
class Score:
    """How likely a text is as the beginning of an answer."""

    #: Natural logarithm of its probability: at most 0.
    logprob: float
    #: Its length in the model's tokens.
    tokens: int


class Engine(Protocol):
    """A model that can be asked."""

    @property
    def silent(self) -> float:
        """Seconds for which an engine of this process has made no step although there is something to do."""

    async def generate(
        self, messages: list[Message], n: int, sampling: Sampling, adapter: Path | None = None
    ) -> Generation:
        """Answer `messages` n times. Raises EngineError, or EngineDead when no later request can succeed.

        RequestRefused also when log-probabilities are asked for that this model's server does not give.
        """
        ...

    async def choose(self, messages: list[Message], choices: Sequence[str]) -> dict[str, float] | None:
        """The probability of each choice as the answer's first word, summing to 1.

        Null when the model gives none of them a place among its likeliest first tokens. Raises what `generate` raises.
        """
        ...

    async def score(self, messages: list[Message], continuation: str, adapter: Path | None = None) -> Score | None:
        """How likely the answer to `messages` begins with `continuation`.

        Null when the engine cannot tell: few hosted servers give the probabilities of a text that they did not write.
        Raises what `generate` raises.
        """
        ...

    async def close(self) -> None:
        """End the engine and every process it started."""
        ...


def start(model: ModelSettings, data_dir: Path) -> Engine:
    """Start the engine of `model`; blocks until it can answer. Raises UsageError or EngineError.

    The kind is imported only here, so no process pays for an engine that it does not run.
    """
    match model.engine:
        case "vllm":
            from tracemill.engines.vllm import VllmEngine

            return VllmEngine(model, data_dir)
        case "openai":
            from tracemill.engines.openai import OpenaiEngine

            return OpenaiEngine(model)


#: Stands around a word without changing it.
AROUND_WORDS = string.whitespace + "\"'*`_.,:;!()"


def choice_shares(likeliest: Sequence[tuple[str, float]], choices: Sequence[str]) -> dict[str, float] | None:
    """Share the first token's probability mass among the choices.

    `likeliest` is (token text, probability) of the likeliest first tokens; case, spaces and punctuation around a word
    are ignored.
    """
    mass = dict.fromkeys(choices, 0.0)
    for token, probability in likeliest:
        word = token.strip(AROUND_WORDS).casefold()
        for choice in choices:
            if word == choice.casefold():
                mass[choice] += probability
    total = sum(mass.values())
    return {choice: value / total for choice, value in mass.items()} if total > 0 else None
