"""Conversations in the forms of public data sets: the text of the user, and the text of the model.

Messages have `role` and `content`, or `from` and `value` (ShareGPT).
"""

from typing import Any, NamedTuple

from tracemill.thinking import joined

_USER = frozenset(("user", "human"))
_MODEL = frozenset(("assistant", "gpt", "model", "bot", "chatgpt"))


class Turn(NamedTuple):
    """One message."""

    role: str
    content: Any
    thoughts: str


def user_text(value: object) -> object:
    """The user's text in a conversation with one turn; any other value unchanged.

    System messages are left out, because each method has its own. Raises ValueError for a conversation of several
    turns, and for a picture.

    >>> user_text([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}])
    '2 + 2?'
    """
    messages = turns(value)
    if not messages:
        return value
    contents = [message.content for message in messages if message.role in _USER]
    if len(contents) != 1:
        raise ValueError(f"is a conversation with {len(contents)} messages of a user, and a question has 1")
    return _text(contents[0])


def reply_text(value: object) -> str | None:
    """The model's text in a conversation with one reply, its thoughts between marks; None if there is no such reply.

    >>> reply_text([{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}])
    '4'
    """
    replies = [turn for turn in turns(value) if turn.role in _MODEL]
    if len(replies) != 1:
        return None
    text, thoughts = _text(replies[0].content), replies[0].thoughts
    if thoughts:
        return joined(thoughts, str(text or ""))
    return text if isinstance(text, str) else None


def turns(value: object) -> list[Turn]:
    """The messages; empty if this is no conversation."""
    match value:
        case {"role": list() as roles, "content": list() as texts}:
            return [Turn(str(role), text, "") for role, text in zip(roles, texts, strict=False)]
        case {"from": list() as roles, "value": list() as texts}:
            return [Turn(str(role), text, "") for role, text in zip(roles, texts, strict=False)]
        case [{"role": _, "content": _}, *_]:
            return [_turn(message, "role", "content") for message in value if isinstance(message, dict)]
        case [{"from": _, "value": _}, *_]:
            return [_turn(message, "from", "value") for message in value if isinstance(message, dict)]
    return []


def _turn(message: dict[str, Any], role: str, content: str) -> Turn:
    thoughts = message.get("reasoning_content") or message.get("reasoning")
    return Turn(str(message.get(role)), message.get(content), thoughts if isinstance(thoughts, str) else "")


def _text(content: Any) -> object:
    """The text of a content, which may be a list of parts. Raises ValueError for a part that is no text."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") if isinstance(part, dict) else part for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("has a part that is no text, such as a picture")
    return "\n".join(map(str, texts))
