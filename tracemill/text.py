"""Identity of questions, the final part of gold answers, and text that Postgres can store or a terminal can show.

A question's *content hash* is exact and identifies its row in Postgres. Its *fingerprint* ignores spacing, quotes and
capitals. It finds a training question in an evaluation set even if somebody changed these.
"""

import logging
import re
import unicodedata
from hashlib import blake2b

_HASH_BYTES = 16

#: Characters that a terminal obeys or does not show: controls (besides tab and line feed), marks of direction, zero
#: widths, tags and lone surrogates. The two joiners stay, because scripts and emojis need them.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)

_SUPERSCRIPTS = str.maketrans({digit: f"^{value}" for value, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")})
_SAME_SIGN = {"−": "-", "‐": "-", "‑": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "⁄": "/"}
_SIGNS = frozenset("-*/%^")  # + = < > and the like are math symbols by their Unicode category


class _Reduce(dict[int, str]):
    """A cache from code points to their reduced text, filled on first use."""

    def __missing__(self, code: int) -> str:
        char = _SAME_SIGN.get(chr(code), chr(code))
        category = unicodedata.category(char)
        if char in _SIGNS or category == "Sm":
            # One ASCII character for another keeps str.translate fast; `_SIGN` adds the spaces around these signs.
            reduced = char if chr(code).isascii() else f" {char} "
        elif char in ".," or category[0] in "LNM":
            reduced = char
        else:
            reduced = " "
        self[code] = reduced
        return reduced


_REDUCE = _Reduce()
_SIGN = re.compile(r"[-*/%^+<=>|~]")
_THOUSANDS = re.compile(r",(?<=\d,)(?=\d{3}(?!\d))")
_WORD_HYPHEN = re.compile(r"[-‐‑](?<=[^\W\d_]{2}[-‐‑])(?=[^\W\d_]{2})")
_IDLE_POINT = re.compile(r",|\.(?!\d)")


def fingerprint(text: str) -> str:
    """32 hex digits, the same for questions that differ only in spacing, case, quotes or punctuation."""
    normalised = " ".join(words(text))
    return blake2b(normalised.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).hexdigest()


def words(text: str) -> list[str]:
    """The words, numbers and signs of a text, without spacing, case, quotes and punctuation.

    Text is converted to NFKC and case-folded (Unicode UAX #15, #21). Digits, decimal points and signs of arithmetic
    stay: "1.5" is not "15" and "3 - 2" is not "3 2", while "3-2", "3 − 2" and "3 - 2" are the same. Brackets are
    punctuation here, so two questions that differ only in brackets count as an overlap. This is rare.
    """
    text = unicodedata.normalize("NFKC", text.translate(_SUPERSCRIPTS)).casefold()
    text = _THOUSANDS.sub("", _WORD_HYPHEN.sub(" ", text))
    text = _IDLE_POINT.sub(" ", _SIGN.sub(r" \g<0> ", text.translate(_REDUCE)))
    return text.split()


def content_hash(*parts: str | None) -> str:
    """32 hex digits of the parts in order.

    Each part is hashed with its length, so ("ab", "c") and ("a", "bc") differ. A missing part (None) and an empty part
    differ too.
    """
    digest = blake2b(digest_size=_HASH_BYTES)
    for part in parts:
        if part is None:
            digest.update(b"-;")
        else:
            data = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d;" % len(data))
            digest.update(data)
    return digest.hexdigest()


def final_gold(text: str) -> str:
    """The final part of a gold answer: the text after the last `####`, without thousands commas.

    GSM8K marks its answers so (Cobbe 2021, arXiv:2110.14168). Any other text is only stripped.
    """
    _, mark, last = text.rpartition("####")
    return _THOUSANDS.sub("", last).strip() if mark else text.strip()


def storable(text: str) -> str:
    """The text without the characters that Postgres cannot store: NUL and lone surrogates (as "?")."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def printable(text: str) -> str:
    r"""The text as a terminal may show it: a character that it would obey or hide becomes its escape, `\x1b`."""
    return _UNSHOWN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def printable_json(encoded: str) -> str:
    r"""A JSON document with the same meaning. Characters that a terminal would obey or hide are escaped: `\u009b`."""
    return _UNSHOWN.sub(lambda match: _json_escape(match[0]), encoded)


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True))


class PrintableRecord(logging.LogRecord):
    """A line of a log that a terminal may show, with its traceback. It may quote a trace or the answer of a server."""

    def getMessage(self) -> str:
        return printable(super().getMessage())

    @property
    def exc_text(self) -> str | None:
        return self._traceback

    @exc_text.setter
    def exc_text(self, text: str | None) -> None:
        self._traceback = text and printable(text)
