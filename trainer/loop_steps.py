"""What a loop does next: a pure function of where it is and of the job or round that it waits for.

    attempt -> rationalize -> train -> attempt of the next round, or the end

A loop without [rationalize], and one whose attempts failed nowhere, trains right after its attempt.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from trainer.loop import LoopSpec, ended


@dataclass(frozen=True)
class Snapshot:
    """A running loop at one moment."""

    spec: LoopSpec
    #: From 1.
    round: int
    step: Literal["attempt", "rationalize", "train"]
    #: The job, or while it trains the round, that it waits for; its state, None: it is gone; and why that failed.
    awaits: str
    awaited_state: str | None
    awaited_error: str | None = None
    #: Of the attempt: questions without an accepted trace.
    n_unsolved: int = 0
    #: Shares of right answers on the dev set: of the base model, then of each finished round.
    dev: tuple[float, ...] = ()


class Decision(NamedTuple):
    """What to do, and why a loop ends or fails."""

    move: Literal["wait", "rationalize", "train", "attempt", "end", "fail"]
    reason: str = ""


def next_step(loop: Snapshot) -> Decision:
    """The next move of a running loop."""
    match loop.step, loop.awaited_state:
        case "train", "failed":
            return Decision("fail", f"round {loop.awaits} failed: {loop.awaited_error}")
        case "train", "done":
            reason = ended(loop.spec, loop.round, loop.dev)
            return Decision("end", reason) if reason else Decision("attempt")
        case _, None | "cancelled":
            gone = "is not there any more" if loop.awaited_state is None else "was cancelled"
            return Decision("fail", f"{loop.awaits} {gone}, so there is nothing to learn from")
        case "attempt", "done" | "over_budget":
            return Decision("rationalize" if loop.spec.rationalize and loop.n_unsolved else "train")
        case "rationalize", "done" | "over_budget":
            return Decision("train")
        case _:
            return Decision("wait")
