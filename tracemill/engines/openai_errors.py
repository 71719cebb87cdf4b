"""Errors inside an answer with status 200: of a whole request, of a stream, or of one sample."""

import json
from typing import Any

#: The status that a named error stands for.
_STATUSES = {
    "insufficient_quota": 402,
    "insufficient_credits": 402,
    "billing_error": 402,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "overloaded_error": 529,
}


def error_status(error: Any) -> int | None:
    """The error's HTTP status; None if it names none."""
    if not isinstance(error, dict):
        return None
    for name in ("code", "status", "type"):
        code = error.get(name)
        if isinstance(code, str):
            code = int(code) if code.isascii() and code.isdigit() and len(code) == 3 else _STATUSES.get(code)
        if isinstance(code, int) and 400 <= code < 600:
            return code
    return None


def event_error(data: bytes) -> Any:
    """The error in the data of an event whose type is `error`: an object, perhaps around one, or a text."""
    try:
        error = json.loads(data)
    except (ValueError, RecursionError):
        return data.decode("utf-8", "replace")
    return error["error"] if isinstance(error, dict) and error.get("error") else error


def error_text(error: Any) -> str:
    """The error as one text."""
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
