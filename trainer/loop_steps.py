"""The next step of a loop: a pure function of its state and of the awaited job or round.

    attempt -> rationalize -> train -> attempt of the next round, or the end
    attempt -> score -> train -> ...

Training follows the attempt directly if there is no [rationalize] or no failed question. A loop whose objective has a
model that scores the attempts goes the second way.
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
    step: Literal["attempt", "rationalize", "score", "train"]
    #: The job that the loop waits for; in the step `train` the round.
    awaits: str
    #: None means that the awaited job or round no longer exists.
    awaited_state: str | None
    awaited_error: str | None = None
    #: Questions of the attempt without an accepted trace.
    n_unsolved: int = 0
    #: Shares of right answers on the dev set, first of the base model, then of each finished round.
    dev: tuple[float, ...] = ()


class Decision(NamedTuple):
    """The move, and the reason if the loop ends or fails."""

    move: Literal["wait", "rationalize", "score", "train", "attempt", "end", "fail"]
    reason: str = ""


def next_step(loop: Snapshot) -> Decision:
    """Choose the next move of a running loop."""
    match loop.step, loop.awaited_state:
        case "train", "failed":
            return Decision("fail", f"round {loop.awaits} failed: {loop.awaited_error}")
        case "train", "done":
            reason = ended(loop.spec, loop.round, loop.dev)
            return Decision("end", reason) if reason else Decision("attempt")
        case _, None | "cancelled":
            problem = "no longer exists" if loop.awaited_state is None else "was cancelled"
            return Decision("fail", f"{loop.awaits} {problem}, so there is nothing to learn from")
        case "attempt", "done" | "over_budget":
            if loop.spec.scorer is not None:
                return Decision("score")
            return Decision("rationalize" if loop.spec.rationalize and loop.n_unsolved else "train")
        case "rationalize" | "score", "done" | "over_budget":
            return Decision("train")
        case _:
            return Decision("wait")
