"""What a reasoning model thought, apart from what it said: `<think>…</think>` before the answer.

Engines write a server's `reasoning_content` in the same form (`workers.engines.openai_protocol`), so there is one way.
"""

OPEN, CLOSE = "<think>", "</think>"


def apart(text: str) -> tuple[str | None, str]:
    """(thoughts, said). Thoughts are null where there are none; a text that breaks off while thinking says nothing.

    Some chat templates put the opening mark into the prompt, so the closing one alone is enough.
    """
    before, closed, after = text.rpartition(CLOSE)
    if closed:
        return before.replace(OPEN, "", 1).strip(), after.strip()
    start = text.lstrip()
    if start.startswith(OPEN):
        return start[len(OPEN) :].strip(), ""
    return None, text.strip()
