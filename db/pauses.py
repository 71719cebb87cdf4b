"""Paused models: aliases whose server refuses every request, because their key, address or model is wrong.

The feeder sends no question of a paused alias, and workers claim none. Once a minute it sends a single question as a
trial. An answer ends the pause, and so does the start of a worker that serves the alias. Every function waits while
Postgres is away.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from db.queries import Q
from db.retry import patiently
from db.session import statement

#: Seconds between two trials of a paused alias.
TRIAL_SECONDS = 60.0


def pause(alias: str, reason: str) -> None:
    """Pause an alias until its next trial."""
    patiently(lambda: _run("pause_model", {"alias": alias, "reason": reason, "seconds": TRIAL_SECONDS}))


def resume(aliases: Sequence[str]) -> None:
    """End the pauses of some aliases."""
    patiently(lambda: _run("resume_models", {"aliases": list(aliases)}))


def state_of(alias: str) -> Row[Any] | None:
    """The reason of a pause, and whether its next trial is due; None if the alias is not paused."""

    def state() -> Row[Any] | None:
        with statement() as connection:
            return connection.execute(Q["model_pause"], {"alias": alias}).one_or_none()

    return patiently(state)


def _run(query: str, values: dict[str, object]) -> None:
    with statement() as connection:
        connection.execute(Q[query], values)
