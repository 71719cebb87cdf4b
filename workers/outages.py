"""Outages of models: whose fault a failed request is, the pause of a refused alias, and the questions in a dead engine.

A dead engine names no question. Each of those that were in it counts the death, and shares its next engine with half as
many questions (`workers.room`), until it is alone. If that engine dies too, the question is the cause.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from db import pauses
from db.queries import Q
from db.retry import patiently
from db.session import transaction
from tracemill.engines import Engine
from tracemill.engines.probe import Probe
from tracemill.engines.registry import alias_engine
from tracemill.errors import AliasRefused, EngineAway, EngineDead, EngineError, RequestRefused, without_error_numbers
from tracemill.event_loop import run
from tracemill.text import storable

log = logging.getLogger(__name__)

#: By alias. Only the event loop uses them.
_probes: defaultdict[str, Probe] = defaultdict(Probe)


def is_to_blame(error: EngineError, alias: str) -> bool:
    """Whether the request caused the error of an engine. Otherwise the engine fails all requests for now."""
    return isinstance(error, RequestRefused) or (error.needs_probe and answers_now(alias))


def answers_now(alias: str) -> bool:
    """Whether the engine of an alias answers a simple request."""

    async def ask() -> bool:
        return await _probes[alias].answers_now(alias_engine(alias))

    try:
        return run(ask())
    except EngineError as error:  # it does not start
        log.warning("%s: %s", alias, error)
        return False


def pause(alias: str, error: AliasRefused) -> None:
    """Pause an alias that its server refuses. Other aliases of this worker continue."""
    log.error("%s is paused: %s", alias, error)
    pauses.pause(alias, str(error))


class Paused(EngineAway):
    """The alias is paused, so nothing was sent."""


@contextmanager
def unless_paused(alias: str) -> Iterator[None]:
    """Requests to an alias. Raises Paused if it is paused, or if its server refuses it now."""
    state = pauses.state_of(alias)
    if state is not None and not state.is_trial_due:
        raise Paused(state.reason)
    try:
        yield
    except AliasRefused as error:
        pause(alias, error)
        raise Paused(str(error)) from error
    if state is not None:
        pauses.resume([alias])


class Work(StrEnum):
    """The reason for requests of a question: the name of the statement that counts a death."""

    visit = "engine_died"
    verdict = "judge_died"


class Occupant(NamedTuple):
    """A question with requests in an engine."""

    work: Work
    job_id: int
    question_id: int
    #: The claim of its visit; None for verdicts.
    claim_id: UUID | None = None


#: The questions in each engine of this process. Those that were in an engine when it died stay.
_inside: dict[Occupant, Engine] = {}
#: The engines that died. Questions that come later are not among those that were in them.
_dead: set[Engine] = set()


def enter(engine: Engine, occupants: Iterable[Occupant]) -> None:
    """Record that requests of these questions enter an engine."""
    if engine not in _dead:
        _inside.update(dict.fromkeys(occupants, engine))


def leave(engine: Engine, occupants: Iterable[Occupant], error: Exception | None) -> None:
    """Record that requests of these questions have ended. If the engine died (`error`), the questions stay in it."""
    if isinstance(error, EngineDead) and not isinstance(error, AliasRefused):
        _dead.add(engine)
        return
    for occupant in occupants:
        _inside.pop(occupant, None)


def is_inside(occupant: Occupant) -> bool:
    """Whether requests of this question are in an engine."""
    return occupant in _inside


def count_death(engine: Engine, error: EngineDead) -> None:
    """Count the death of an engine against the questions in it. One that was alone in two dead engines fails."""
    occupants = [occupant for occupant, its_engine in list(_inside.items()) if its_engine is engine]
    error_text = storable(f"{type(error).__name__}: {without_error_numbers(str(error))}"[:2000])
    values = {"is_alone": len(occupants) == 1, "error": error_text}

    def store() -> None:
        with transaction() as connection:
            for work in Work:
                of_work = [each for each in occupants if each.work is work]
                keys = {f"{name}s": [getattr(each, name) for each in of_work] for name in Occupant._fields[1:]}
                if of_work:
                    connection.execute(Q[work], values | keys)

    patiently(store)
