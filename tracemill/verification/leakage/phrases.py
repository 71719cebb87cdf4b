"""Looking for phrases in a text, however long and hostile it is: only near the words that one of them must hold."""

import re

MAX_TEXT = 1_000_000  # characters
WINDOW = 160  # characters read around such a word; the longest phrase is shorter
MAX_READ = 300_000  # characters in all windows


def normal(text: str) -> str:
    """Small letters, single spaces, straight apostrophes, no emphasis. Of a longer text the first `MAX_TEXT`."""
    return " ".join(text[:MAX_TEXT].lower().replace("’", "'").replace("*", "").replace("`", "").split())


def near(anchor: re.Pattern[str], phrases: re.Pattern[str], text: str) -> str | None:
    """The first of the phrases in `text` that stands near an anchor; null: none does. Takes linear time."""
    left = MAX_READ
    for start, end in _windows(anchor, text):
        end = min(end, start + left)
        left -= end - start
        if found := phrases.search(text, start, end):
            return found[0]
    return None


def _windows(anchor: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    """The stretches in which a phrase can stand, in order; none overlaps another."""
    found: list[tuple[int, int]] = []
    for hit in anchor.finditer(text):
        start, end = max(0, hit.start() - WINDOW), hit.end() + WINDOW
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found
