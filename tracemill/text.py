"""Small functions that every part must agree on: when two questions are the same, and what a gold answer is.

A question's *content hash* is exact and keys its row in Postgres. Its *fingerprint* is forgiving: it finds a training
question inside an evaluation set although somebody changed its spacing, quotes or capitals on the way.
"""

import re
import unicodedata
from hashlib import blake2b

_HASH_BYTES = 16

_SUPERSCRIPTS = str.maketrans({digit: f"^{value}" for value, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")})
_SAME_SIGN = {"−": "-", "‐": "-", "‑": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "⁄": "/"}
_SIGNS = frozenset("-*/%^")  # + = < > and the like are math symbols by their Unicode category


class _Reduce(dict[int, str]):
    """What each code point becomes; filled as characters are met."""

    def __missing__(self, code: int) -> str:
        char = _SAME_SIGN.get(chr(code), chr(code))
        category = unicodedata.category(char)
        if char in _SIGNS or category == "Sm":
            # ASCII one to one keeps str.translate on its fast path; those signs get their spaces from _SIGN.
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
    """32 hex digits that two questions share when they differ only in spacing, case, quotes or punctuation."""
    normalised = " ".join(words(text))
    return blake2b(normalised.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).hexdigest()


def words(text: str) -> list[str]:
    """The words, numbers and signs of a text, without what spacing, case, quotes and punctuation add to them.

    Text is brought to NFKC and case-folded (Unicode UAX #15, #21). Digits, decimal points and the signs of arithmetic
    keep their meaning: "1.5" is not "15" and "3 - 2" is not "3 2", while "3-2", "3 − 2" and "3 - 2" are one. Brackets
    are punctuation here, so a rare pair that differs in brackets alone counts as an overlap.
    """
    text = unicodedata.normalize("NFKC", text.translate(_SUPERSCRIPTS)).casefold()
    text = _THOUSANDS.sub("", _WORD_HYPHEN.sub(" ", text))
    text = _IDLE_POINT.sub(" ", _SIGN.sub(r" \g<0> ", text.translate(_REDUCE)))
    return text.split()


def content_hash(*parts: str | None) -> str:
    """32 hex digits of the parts in order. Each part is hashed with its length, so ("ab", "c") is not ("a", "bc"),
    and an absent part (None) is not an empty one."""
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
    """The gold answer proper: what follows the last `####`, without thousands commas, as GSM8K writes it (Cobbe 2021,
    arXiv:2110.14168); any other text stripped and otherwise unchanged."""
    _, mark, last = text.rpartition("####")
    return _THOUSANDS.sub("", last).strip() if mark else text.strip()


def storable(text: str) -> str:
    """The text without what Postgres cannot store: NUL, and surrogates that pair with nothing."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
