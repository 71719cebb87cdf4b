"""The LLM verifier: a model behind any engine judges traces. docs/verification.md has the formulas.

Each signal is a function of (engine, case, max_chars) that returns a number, or None where it has no value. A number is
only a signal: calibration and canaries show how far a judge can be trusted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tracemill.engines import Engine
from tracemill.errors import EngineAway, EngineDead, EngineError, RequestRefused
from tracemill.policy import Signal
from tracemill.verification.judge.canaries import CanaryResult, canaries
from tracemill.verification.judge.case import Case
from tracemill.verification.judge.forced_answer import counterfactual, uplift
from tracemill.verification.judge.yes_no import agreement, coherence, rating

__all__ = ["CanaryResult", "Case", "Judged", "ask", "canaries"]

SIGNALS: Mapping[Signal, Callable[[Engine, Case, int], Awaitable[float | None]]] = {
    "rating": rating,
    "uplift": uplift,
    "counterfactual": counterfactual,
    "coherence": coherence,
    "agreement": agreement,
}

#: Characters of a reasoning that are shown at most. Only its server knows how much a judge accepts. So a trace that is
#: refused is sent again with less of it, twice at most.
MAX_CHARS = (24_000, 6_000, 1_500)


@dataclass(frozen=True)
class Judged:
    """The judge's reply about one trace."""

    #: The signals by name. `rating`, `counterfactual`, `coherence`, `agreement`: 0 to 1; `uplift`: −1 to 1.
    scores: dict[Signal, float] = field(default_factory=dict)
    #: Which signals failed, and why.
    error: str | None = None
    #: The judge cannot answer for now, so there is no reply.
    away: EngineAway | None = None
    #: The failure of a signal that may be the judge's fault instead of the trace's.
    doubt: EngineError | None = field(default=None, compare=False)
    #: Wall time of the requests.
    seconds: float = 0.0


async def ask(engine: Engine, case: Case, signals: Iterable[Signal]) -> Judged:
    """Ask for all signals at once. A signal that fails, or has no value for this case, is absent.

    Raises EngineDead when no later request can succeed either, and EngineAway when the judge cannot be reached now. Any
    other failure is in `error`. If the judge may fail all requests, it is in `doubt` too.
    """
    names = tuple(dict.fromkeys(signals))
    replies = await asyncio.gather(*(_shortened(engine, case, name) for name in names), return_exceptions=True)
    scores: dict[Signal, float] = {}
    failed: dict[str, list[Signal]] = {}
    doubt: EngineError | None = None
    for signal, score in zip(names, replies, strict=True):
        if isinstance(score, EngineError) and (score.needs_probe or not isinstance(score, EngineDead | EngineAway)):
            failed.setdefault(str(score), []).append(signal)
            doubt = score if score.needs_probe else doubt
        elif isinstance(score, BaseException):
            raise score
        elif score is not None:
            scores[signal] = score
    error = "; ".join(f"{', '.join(signals)}: {reason}" for reason, signals in failed.items())
    return Judged(scores, error or None, doubt=doubt)


async def _shortened(engine: Engine, case: Case, signal: Signal) -> float | None:
    """The signal, with as much of the case as the judge accepts. Raises the last refusal."""
    lengths = [MAX_CHARS[0], *(length for length in MAX_CHARS[1:] if length < case.length)]
    for length in lengths[:-1]:
        try:
            return await SIGNALS[signal](engine, case, length)
        except RequestRefused:
            continue
    return await SIGNALS[signal](engine, case, lengths[-1])
