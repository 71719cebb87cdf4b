"""Are two texts the same words?

The words of prose may differ in case, accents, articles and punctuation. Nothing else may: "NaCl" is not "NACL", "-5"
is not "5", and "2.5" is not "25". In a text with signs of mathematics every character but spaces must be the same.
"""

import re
import unicodedata

_ARTICLES = frozenset(("a", "an", "the"))
#: Short words of prose. Other words of two letters may be symbols, such as Co and CO.
_SHORT_WORDS = frozenset((
    "am", "an", "as", "at", "be", "by", "do", "go", "he", "if", "in", "is", "it", "me", "my", "no", "of", "oh", "on",
    "or", "so", "to", "up", "us", "we",
))  # fmt: skip
_TOKEN = re.compile(
    r"(?:(?<![^\s(\[{,;:=<>/$])[-+])?(?:(?<![\d.])\d+(?:[.,:/]\d+)*|(?<![\w.])\.\d+)|\\?[^\W_]+(?:['’][^\W_]+)*",
)
_NUMBER = re.compile(r"[-+]?\d")
_MATHEMATICS = re.compile(r"[=<>+*^\\{}|_~≤≥≠≈±√]|\s-\s|\w\(|[^\W\d]\s?/\s?[^\W\d]\b")
#: Signs of formulas, in which the case of each letter matters.
_SYMBOLS = re.compile(r"[=<>^\\_]")
_MARKS = re.compile(r"[%°#@/€£¥₹∞′]|\$(?=\d)|(?<=\w)[-+](?=[\s,;.)]|$)|(?<![\w'])[A-Z\d]'(?!\w)")
_SPACE = re.compile(r"(?<![\d,])\s+|\s+(?![-+\d.])|\$")
#: One sign after ^ or _ needs no braces.
_BRACED = re.compile(r"([_^])\{(\w)\}")
#: A chemical formula without marks: H2O, Ca(OH)2, Fe3+
_CHEMICAL = re.compile(r"\d{0,2}(?:\(?[A-Z][a-z]?\d{0,2}\)?\d{0,2}){1,12}(?:(?<!^[A-Z])\d?[-+])?$")
_ELEMENT = re.compile(r"[A-Z]")
_TILDE = "\u0303"


def same_spelling(first: str, second: str) -> bool:
    """Are both texts the same characters, but for spaces, a final point, and the case of words of prose?"""
    left, right = (_BRACED.sub(r"\1\2", _SPACE.sub("", value).removesuffix(".")) for value in (first, second))
    if left == right or _is_typed_formula(left, right):
        return True
    if _SYMBOLS.search(first) or _SYMBOLS.search(second):
        return False
    return left.casefold() == right.casefold() and words(first) == words(second)


def _is_typed_formula(left: str, right: str) -> bool:
    """Is one a chemical formula and the other the same typed without marks (H_2O and H2O)?"""
    typed = [re.sub(r"[_^{}]", "", value) for value in (left, right)]
    if typed[0] != typed[1] or all(value != text for value, text in zip((left, right), typed, strict=True)):
        return False
    is_compound = len(_ELEMENT.findall(typed[0])) > 1 or typed[0][-1:] in ("+", "-")
    return is_compound and _CHEMICAL.match(typed[0]) is not None


def same_words(first: str, second: str) -> bool:
    """Have both texts the same words and numbers, in order?"""
    if _MATHEMATICS.search(first) or _MATHEMATICS.search(second):
        return same_spelling(first, second)
    if _MARKS.findall(first) != _MARKS.findall(second):
        return False
    left, right = words(first), words(second)
    if left == right:
        return True
    return "".join(left) == "".join(right) and not any(map(_NUMBER.match, left + right))


def words(value: str) -> list[str]:
    """Return the words and numbers of `value`, without articles, accents and the case of words of prose."""
    folded = unicodedata.normalize("NFKD", value).replace("’", "'")
    folded = "".join(
        char
        for index, char in enumerate(folded)
        if not unicodedata.combining(char) or (char == _TILDE and folded[index - 1 : index] in ("n", "N"))
    )
    folded = unicodedata.normalize("NFC", folded)
    return [
        _without_case(word).removesuffix("'s") for word in _TOKEN.findall(folded) if word.casefold() not in _ARTICLES
    ]


def _without_case(word: str) -> str:
    lower = word.casefold()
    if lower in _SHORT_WORDS:
        return lower
    if len(word) < 3 or not word.isalpha():
        return lower if "'" in word else word
    is_prose = word.islower() or word[1:].islower() or (word.isupper() and len(set(word)) > 2)
    return lower if is_prose else word
