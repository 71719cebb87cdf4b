"""Find phrases in a text of any length, in linear time.

Only the text near an anchor is searched: a word that every phrase contains.
"""

import re

MAX_TEXT = 1_000_000  # characters read of a text
WINDOW = 160  # characters read around an anchor; the longest phrase is shorter
MAX_READ = 300_000  # characters in all windows


def normal(text: str) -> str:
    """Normalize the case, spaces and apostrophes of a text, and remove emphasis.

    Only the first `MAX_TEXT` characters are read.
    """
    return " ".join(text[:MAX_TEXT].lower().replace("’", "'").replace("*", "").replace("`", "").split())


def near(anchor: re.Pattern[str], phrases: re.Pattern[str], text: str) -> str | None:
    """Return the first phrase near an anchor in `text`; None without one.

    Takes linear time.
    """
    n_left = MAX_READ
    for start, end in _windows(anchor, text):
        end = min(end, start + n_left)
        n_left -= end - start
        if match := phrases.search(text, start, end):
            return match[0]
    return None


def _windows(anchor: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    """Return the spans that can hold a phrase, in order and without overlaps."""
    spans: list[tuple[int, int]] = []
    for match in anchor.finditer(text):
        start, end = max(0, match.start() - WINDOW), match.end() + WINDOW
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans
