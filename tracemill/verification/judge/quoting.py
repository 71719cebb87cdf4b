"""A trace is data: how it stands in a judge's prompt, so that it can neither end its place nor speak for anybody else.

Two independent means. Every line of it starts with a bar, and the lines that open and close its block do not: whatever
it holds, a block ends only where we end it. And nothing in it is read as a control token of any chat template: those
all begin with an angle bracket or a square bracket that sticks to what follows, and such brackets are exchanged for
others that look like them, except where mathematics has them (`x < 5`, `<=`, `[0, 1]`). What cannot be seen (format,
control and private characters) is dropped first, so that it cannot hide in between.

The attacks: Perez and Ribeiro 2022 (arXiv:2211.09527); on judges: Raina et al. 2024 (arXiv:2402.14016).
"""

import re
import unicodedata

from tracemill.text import storable

BAR = "| "

# Compatibility forms become the plain sign in tokenizers that normalise (NFKC), so they count as it.
_BRACKETS = str.maketrans("＜﹤＞﹥［］", "<<>>[]")
_ANGLE = re.compile(r"<(?!\s|=|\Z)")
_TAG = re.compile(r"\[(?=\s{0,3}(?:[^\W\d]|[/|!~#@*]))")
_CLOSING_TAG = re.compile(r"\](?=~)")  # "]~b]" opens a turn for some models


class _Shown(dict[int, str]):
    """What each character becomes; filled as characters are met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        shown = "" if unicodedata.category(char)[0] == "C" and char not in "\n\t" else char.translate(_BRACKETS)
        self[code] = shown
        return shown


_SHOWN = _Shown()


def harmless(text: str) -> str:
    """`text` without what a tokenizer could take for a control token, in lines that end in `\\n`. Takes linear time."""
    plain = "\n".join(storable(text).splitlines()).translate(_SHOWN)
    return _CLOSING_TAG.sub("⟧", _TAG.sub("⟦", _ANGLE.sub("‹", plain)))


def quoted(name: str, text: str, room: int) -> str:
    """A block that holds `text`: a line that opens it, the lines of the text behind bars, a line that closes it.

    Of a text longer than `room` characters the first and the last half of that are shown, and a line without a bar says
    how much is left out. Empty lines are left out.
    """
    parts = [text] if len(text) <= room else [text[: room // 2], text[-(room - room // 2) :]]
    shown = ["".join(f"{BAR}{line}\n" for line in harmless(part).split("\n") if line.strip()) for part in parts]
    left_out = f"[{len(text) - room} characters are left out here]\n"
    return f"[{name} begins]\n{left_out.join(shown)}[{name} ends]"


def one_line(text: str, room: int) -> str:
    """The harmless beginning of `text`, at most `room` characters, on one line."""
    return " ".join(harmless(text[:room]).split())
