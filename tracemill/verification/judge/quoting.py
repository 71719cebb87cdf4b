"""Quote a trace in a judge's prompt, so that the trace can neither end its block nor open another turn.

Two means work independently. Every line of a trace starts with a bar, and the lines that open and close a block do not,
so no trace can end its block. And no tokenizer reads a control token of a chat template in a trace: such tokens begin
with an angle or a square bracket directly before other characters. These brackets are replaced by similar characters,
except in mathematics (`x < 5`, `<=`, `[0, 1]`). Invisible characters (format, control, private use) are removed first,
so that they cannot separate a bracket from its token.

The attacks: Perez and Ribeiro 2022 (arXiv:2211.09527); on judges: Raina et al. 2024 (arXiv:2402.14016).
"""

import re
import unicodedata

from tracemill.text import storable

BAR = "| "

# Tokenizers that normalise (NFKC) turn these compatibility forms into the plain bracket.
_BRACKETS = str.maketrans("＜﹤＞﹥［］﹇﹈", "<<>>[][]")
_ANGLE = re.compile(r"<(?!\s|=|\Z)")
_TAG = re.compile(r"\[(?=\s{0,3}(?:[^\W\d]|[/|!~#@*]))")
_CLOSING_TAG = re.compile(r"\](?=~)")  # "]~b]" opens a turn for some models


class _Shown(dict[int, str]):
    """The replacement of each character, computed at first use."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        shown = "" if unicodedata.category(char)[0] == "C" and char not in "\n\t" else char.translate(_BRACKETS)
        self[code] = shown
        return shown


_SHOWN = _Shown()


def harmless(text: str) -> str:
    """`text` without control tokens of any chat template, in lines that end in `\\n`. Takes linear time."""
    plain = "\n".join(storable(text).splitlines()).translate(_SHOWN)
    return _CLOSING_TAG.sub("⟧", _TAG.sub("⟦", _ANGLE.sub("‹", plain)))


def quoted(name: str, text: str, max_chars: int) -> str:
    """A block with `text`: an opening line, the lines of the text behind bars, a closing line.

    Of a longer text the first and the last `max_chars / 2` characters are shown, and a line without a bar gives the
    number of characters left out. Empty lines are left out.
    """
    half = max_chars // 2
    parts = [text] if len(text) <= max_chars else [text[:half], text[-(max_chars - half) :]]
    shown = ["".join(f"{BAR}{line}\n" for line in harmless(part).split("\n") if line.strip()) for part in parts]
    left_out = f"[{len(text) - max_chars} characters are left out here]\n"
    return f"[{name} begins]\n{left_out.join(shown)}[{name} ends]"


def one_line(text: str, max_chars: int) -> str:
    """The harmless beginning of `text`, at most `max_chars` characters, on one line."""
    return " ".join(harmless(text[:max_chars]).split())
