"""The form of most prompts: an instruction, worked examples as turns of the chat, the question."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracemill.prompts import Message, Prompt

if TYPE_CHECKING:
    from tracemill.methods import Shot


def chat(system: str | None, user: str, shots: "Sequence[Shot]" = (), request: str = "") -> Prompt:
    """Build a prompt: `system` unless it is None, two turns for each example, then `user`.

    `request` ends each turn of the user, on a line of its own. A model that sees it only in the last turn leaves the
    form of the examples.
    """
    turns: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    ending = f"\n{request}" if request else ""
    for shot in shots:
        turns.append({"role": "user", "content": shot.question + ending})
        turns.append({"role": "assistant", "content": shot.answer})
    return Prompt((*turns, {"role": "user", "content": user + ending}))
