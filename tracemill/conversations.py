"""Conversations in the forms of public data sets: the text of the user."""

from typing import Any

_USER = frozenset(("user", "human"))
_MODEL = frozenset(("assistant", "gpt", "model", "bot", "chatgpt"))


def user_text(value: object) -> object:
    """The user's text in a conversation with one turn; any other value unchanged.

    Messages have `role` and `content`, or `from` and `value` (ShareGPT). System messages are left out, because each
    method has its own. Raises ValueError for a conversation of several turns, and for a picture.

    >>> user_text([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}])
    '2 + 2?'
    """
    messages = _messages(value)
    if not messages:
        return value
    texts = [text for role, text in messages if role in _USER]
    if len(texts) != 1:
        raise ValueError(f"is a conversation with {len(texts)} messages of a user, and a question has 1")
    return _text(texts[0])


def reply_text(value: object) -> str | None:
    """The model's text in a conversation with one reply; None if there is no such conversation."""
    replies = [text for role, text in _messages(value) if role in _MODEL]
    return str(_text(replies[0])) if len(replies) == 1 else None


def _messages(value: object) -> list[tuple[str, Any]]:
    """Roles and contents; empty if this is no conversation."""
    match value:
        case {"role": list() as roles, "content": list() as texts} | {
            "from": list() as roles,
            "value": list() as texts,
        }:
            return [(str(role), text) for role, text in zip(roles, texts, strict=False)]
        case [{"role": _, "content": _}, *_]:
            keys = ("role", "content")
        case [{"from": _, "value": _}, *_]:
            keys = ("from", "value")
        case _:
            return []
    return [(str(message.get(keys[0])), message.get(keys[1])) for message in value if isinstance(message, dict)]


def _text(content: Any) -> object:
    """The text of a content, which may be a list of parts. Raises ValueError for a part that is no text."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") if isinstance(part, dict) else part for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("has a part that is no text, such as a picture")
    return "\n".join(map(str, texts))
