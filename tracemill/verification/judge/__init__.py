"""The LLM verifier: what a model, asked through any engine, thinks of a trace. docs/verification.md has the formulas.

Each signal is a function of (engine, case, room) that gives a number, or null when it has none to give. A number is
only a signal: how far a judge can be trusted is a matter of calibration, and of its canaries.
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

#: Most characters of a reasoning that are shown. A judge that refuses a trace is shown less of it, twice at most: how
#: much it takes is known to its server alone.
ROOMS = (24_000, 6_000, 1_500)


@dataclass(frozen=True)
class Judged:
    """What the judge said about one trace."""

    #: The signals that it gave. `rating`, `counterfactual`, `coherence`, `agreement`: 0 to 1; `uplift`: −1 to 1.
    scores: dict[Signal, float] = field(default_factory=dict)
    #: Which signals failed, and why.
    error: str | None = None


async def ask(engine: Engine, case: Case, signals: Iterable[Signal]) -> Judged:
    """Ask for all signals at once. One that has nothing to say about this case, or fails, is absent.

    Raises EngineDead when no later request can succeed either, and EngineAway when the judge cannot be reached now; any
    other failure is in `error`.
    """
    asked = tuple(dict.fromkeys(signals))
    given = await asyncio.gather(*(_within_room(engine, case, signal) for signal in asked), return_exceptions=True)
    scores: dict[Signal, float] = {}
    failed: dict[str, list[Signal]] = {}
    for signal, score in zip(asked, given, strict=True):
        if isinstance(score, EngineError) and not isinstance(score, EngineDead | EngineAway):
            failed.setdefault(str(score), []).append(signal)
        elif isinstance(score, BaseException):
            raise score
        elif score is not None:
            scores[signal] = score
    error = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in failed.items())
    return Judged(scores, error or None)


async def _within_room(engine: Engine, case: Case, signal: Signal) -> float | None:
    rooms = [ROOMS[0], *(room for room in ROOMS[1:] if room < case.length)]
    for room in rooms[:-1]:
        try:
            return await SIGNALS[signal](engine, case, room)
        except RequestRefused:
            continue
    return await SIGNALS[signal](engine, case, rooms[-1])
