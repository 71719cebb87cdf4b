"""The shape of most prompts: an instruction, worked examples as turns of the chat, the question."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracemill.prompts import Message, Prompt

if TYPE_CHECKING:
    from workers.methods import Shot


def chat(system: str, user: str, shots: "Sequence[Shot]" = ()) -> Prompt:
    """`system`, then each worked example as a turn of each side, then `user`."""
    turns: list[Message] = [{"role": "system", "content": system}]
    for shot in shots:
        turns.append({"role": "user", "content": shot.question})
        turns.append({"role": "assistant", "content": shot.answer})
    return Prompt((*turns, {"role": "user", "content": user}))
