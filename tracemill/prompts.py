"""A prompt is data: chat messages with slots, addressed by the hash of its content.

Workers ask with it and the trainer trains on it, through the one `render` and the one `token_ids` below, so a student
is trained on exactly what its evaluation will ask. The template is stored once however many questions are put to it: a
trace's full prompt is (template, question) and can be derived again at any time.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

SLOT = re.compile(r"\{([a-z_]+)\}")

#: The domains that are asked in their own way. A question of any other domain is asked as `general`.
DOMAINS = ("math", "code", "legal", "medical", "general")


class Message(TypedDict):
    """One chat message, in the shape that every chat template and every OpenAI-compatible server takes."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Prompt:
    """A template: messages whose text may hold slots, `{question}` and whatever else its method fills in."""

    messages: tuple[Message, ...]

    @property
    def hash(self) -> str:
        """`p1:` and 32 hex digits of BLAKE2b over the canonical JSON of the messages."""
        canonical = json.dumps(self.messages, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return "p1:" + hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def prompt_domain(domain: str) -> str:
    """The domain that questions of `domain` are asked in."""
    return domain if domain in DOMAINS else "general"


def render(prompt: Prompt, slots: Mapping[str, str]) -> list[Message]:
    """Fill the template's slots. Braces in the inserted text are left alone: a question is data, never a template.

    Nor are braces that name no slot of `slots`: a worked example may hold a program.
    """

    def fill(match: re.Match[str]) -> str:
        return slots.get(match[1], match[0])

    return [{"role": message["role"], "content": SLOT.sub(fill, message["content"])} for message in prompt.messages]


def token_ids(tokenizer: Any, messages: list[Message]) -> list[int]:
    """The prompt as the model reads it: the tokenizer's chat template up to the start of the assistant's turn."""
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    return list(ids)
