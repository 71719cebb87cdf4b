"""Prompt templates: chat messages with slots, identified by the hash of their content.

Workers and the trainer share `render` and `token_ids`. So a student is trained on exactly the prompt of its evaluation.
A template is stored once for all its questions. The full prompt of a trace follows from its template and question.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, TypedDict

from tracemill.control_tokens import control_tokens

SLOT = re.compile(r"\{([a-z_]+)\}")

#: The domains with their own prompts. A question of any other domain gets the prompt of `general`.
DOMAINS = ("math", "code", "legal", "medical", "general")


class Message(TypedDict):
    """One chat message, in the form that chat templates and OpenAI-compatible servers accept."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Prompt:
    """A template: messages whose text may hold slots, such as `{question}` and those of the method."""

    messages: tuple[Message, ...]

    @cached_property
    def hash(self) -> str:
        """`p1:` and 32 hex digits of BLAKE2b over the canonical JSON of the messages."""
        canonical = json.dumps(self.messages, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return "p1:" + hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def prompt_domain(domain: str) -> str:
    """The domain whose prompts are used for questions of `domain`."""
    return domain if domain in DOMAINS else "general"


def render(prompt: Prompt, slots: Mapping[str, str]) -> list[Message]:
    """Fill the template's slots.

    Braces in the inserted text stay as they are, because a question is data and never a template. Braces that name no
    slot of `slots` stay too, because a worked example may hold a program.
    """

    def fill(match: re.Match[str]) -> str:
        return slots.get(match[1], match[0])

    return [{"role": message["role"], "content": SLOT.sub(fill, message["content"])} for message in prompt.messages]


def token_ids(tokenizer: Any, messages: list[Message], options: Mapping[str, Any] = MappingProxyType({})) -> list[int]:
    """The tokens of the prompt: the tokenizer's chat template up to the start of the assistant's turn.

    `options` are the chat template's own, such as `enable_thinking`. Control tokens that a message spells are text.
    """
    control = control_tokens(tokenizer)
    if any(control.hide(message["content"]) != message["content"] for message in messages):
        return control.ids(prompt_text(tokenizer, messages, options))
    ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=False, **options
    )
    return list(ids)


def prompt_text(tokenizer: Any, messages: list[Message], options: Mapping[str, Any] = MappingProxyType({})) -> str:
    """The text of the prompt, with a stand-in for each control token that a message spells (`control_tokens`)."""
    hide = control_tokens(tokenizer).hide
    hidden = [{"role": message["role"], "content": hide(message["content"])} for message in messages]
    return str(tokenizer.apply_chat_template(hidden, add_generation_prompt=True, tokenize=False, **options))
