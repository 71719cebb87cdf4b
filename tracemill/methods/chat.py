"""The form of most prompts: an instruction, worked examples as turns of the chat, the question."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracemill.prompts import Message, Prompt

if TYPE_CHECKING:
    from tracemill.methods import Shot


def chat(system: str | None, user: str, shots: "Sequence[Shot]" = ()) -> Prompt:
    """Build a prompt: `system` unless it is None, two turns for each example, then `user`."""
    turns: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    for shot in shots:
        turns.append({"role": "user", "content": shot.question})
        turns.append({"role": "assistant", "content": shot.answer})
    return Prompt((*turns, {"role": "user", "content": user}))
