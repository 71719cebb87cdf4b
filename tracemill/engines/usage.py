"""Count the tokens of all requests that a piece of work makes, whichever engine answers them.

A visit knows its tokens from the generations. A judge asks through many functions that return scores, so the engines
report each answered request here.
"""

from collections.abc import Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from tracemill.model_settings import ModelSettings

T = TypeVar("T")


@dataclass
class Usage:
    """Tokens of prompts and of answers."""

    tokens_in: int = 0
    tokens_out: int = 0

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.tokens_in + self.tokens_out

    def cost(self, model: ModelSettings) -> float:
        """The price, in the currency of the settings."""
        return (self.tokens_in * model.price_in + self.tokens_out * model.price_out) / 1e6


_current: ContextVar[Usage | None] = ContextVar("usage", default=None)


def count(tokens_in: int, tokens_out: int) -> None:
    """Report an answered request. Tasks that the counted work starts belong to it."""
    usage = _current.get()
    if usage is not None:
        usage.tokens_in += tokens_in
        usage.tokens_out += tokens_out


async def counted(usage: Usage, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, whose requests are added to `usage`."""
    token = _current.set(usage)
    try:
        return await work
    finally:
        _current.reset(token)
