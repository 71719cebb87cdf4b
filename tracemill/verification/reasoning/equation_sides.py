"""Find the two sides of an equation in running text.

A side is the longest expression beside the sign with only one reading. Units and money signs are collected apart. A
side cannot be read if one of these stands beside it: a variable, a second number, a word that changes an amount, an
unknown command.
"""

from typing import NamedTuple

from tracemill.verification.reasoning.arithmetic import Token
from tracemill.verification.reasoning.vocabulary import MEASURES, PART, PART_AFTER, PART_BEFORE

MAX_SIDE = 100  # tokens of one side of an equation


class Side(NamedTuple):
    """One side of an equation."""

    tokens: list[Token]
    units: set[str]
    whole: bool  # whether only this side stands between the sign and the next break
    ends: int  # index of the first token beyond it
    bullet: bool  # whether a dash stands before it that may be a minus

    @property
    def text(self) -> str:
        return " ".join(_TEXTS.get(token.text, token.text) for token in self.tokens)

    @property
    def operations(self) -> int:
        """Count of its operations. A sign is no operation; 2(3 + 4) has two."""
        return sum(token.kind in ("op", "over") for token in self.tokens[self.tokens[0].kind == "op" :])

    @property
    def computes(self) -> bool:
        return any(
            token.kind in _OPERATION_KINDS or token.text in ("√(", "binom")
            for token in self.tokens[self.tokens[0].kind == "op" :]
        )


_OPERATION_KINDS = ("op", "post", "over", "root")
_TEXTS = {"frac": "(", "binom": "binom(", "⁄": "/", "over": "/", "times": "*", "plus": "+", "minus": "-"}


def after(tokens: list[Token], start: int) -> Side | None:
    """Return the expression that starts at `start`; None if its reading is uncertain."""
    side: list[Token] = []
    units: set[str] = set()
    needs_number, depth, is_whole = True, 0, True  # needs_number: a number or an opening bracket must follow
    index, end = start, min(len(tokens), start + MAX_SIDE)
    while index < end:
        token = tokens[index]
        kind = token.kind
        if kind == "num":
            if not needs_number:
                return None  # two numbers side by side: a date, a list
            needs_number = False
            side.append(token)
        elif kind == "op":
            if token.text == "of" and not depth:
                is_whole = False
                break
            if needs_number and not (token.text in "+-" and (not side or side[-1].kind in ("op", "(", "over"))):
                return None
            needs_number = True
            side.append(token)
        elif kind == "break" or kind == "=" or kind == "≈" or kind == "is" or kind == "dash":
            break
        elif kind == "money":
            if needs_number:
                units.add("$")
            elif index + 1 < end and tokens[index + 1].kind not in ("op", ")", "post"):
                is_whole = False
                break  # the end of $36$
        elif kind == "word":
            if needs_number:
                return None
            n_words = 1
            while index + n_words < end and n_words < 4 and tokens[index + n_words].kind == "word":
                n_words += 1
            word = token.text.lower()
            following = tokens[index + n_words]
            if (word in PART_AFTER and not _starts_phrase(word, following, n_words)) or (
                len(word) == 1 and (word != "a" or n_words == 1)
            ):
                return None
            if "$" not in units:
                units.add(singular(word))
            if (
                n_words == 4
                or following.kind not in ("op", ")", "post", "over")
                or (following.kind == ")" and not depth)
            ):
                if _adds_to_number(tokens, index, n_words):
                    return None
                is_whole = False
                break
            index += n_words
            continue
        elif kind == "(" or kind == "root":
            if not needs_number:
                content = tokens[min(index + 1, end - 1)]
                if depth or token.text != "(" or content.kind != "word" or content.text.lower() in PART_AFTER:
                    return None
                is_whole = False
                break  # a remark in parentheses
            depth += kind == "("
            side.append(token)
        elif kind == ")":
            if depth == 0:
                break
            if needs_number:
                return None
            depth -= 1
            side.append(token)
        elif (kind == "over" and depth and not needs_number) or (kind == "post" and not needs_number):
            needs_number = kind == "over"
            side.append(token)
        else:
            return None
        index += 1
    if needs_number or depth or index == start + MAX_SIDE:
        return None
    return Side(side, units, is_whole, index, False)


def _starts_phrase(word: str, following: Token, n_words: int) -> bool:
    """Does `word` after a number start another phrase? Yes in "8 to", no in "8 to 9"."""
    return word == "and" or (word in ("to", "or", "by", "times") and (n_words > 1 or following.kind != "num"))


def _adds_to_number(tokens: list[Token], index: int, n_words: int) -> bool:
    """Do the words after a number add to it?

    Examples: 5 and a half, 1 hour and 30 minutes, 3 with remainder 1.
    """
    words = [token.text.lower() for token in tokens[index : index + n_words]]
    if "and" in words[:2] and words[words.index("and") + 1 : words.index("and") + 2] in (["a"], ["one"], ["three"]):
        return True
    if words[-1] == "and" and index + n_words < len(tokens):
        following = tokens[index + n_words + 1 : index + n_words + 2]
        return singular(words[0]) in MEASURES or bool(following and following[0].text == "/")
    return not {"remainder", "rem", "mod", "modulo"}.isdisjoint(words)


def before(tokens: list[Token], end: int) -> Side | None:
    """Return the expression that ends before `end`; None if its reading is uncertain."""
    side: list[Token] = []
    units: set[str] = set()
    words: list[str] = []
    needs_number, depth, has_bullet = (
        True,
        0,
        False,
    )  # needs_number: to the left, a number or a closing bracket must follow
    index = end - 1
    start = max(0, end - MAX_SIDE)
    while index >= start:
        token = tokens[index]
        kind = token.kind
        if kind == "num" or kind == ")":
            if not needs_number:
                if kind == ")" and not depth and index > 1 and tokens[index - 1].kind in ("break", "dash"):
                    break  # 1) the number of a list item
                return None
            if words:
                if not PART.isdisjoint(words) or any(len(word) == 1 for word in words):
                    return None
                if "per" not in words:
                    units.add(singular(words[-1]))
                words = []
            if kind == ")":
                depth += 1
            else:
                needs_number = False
            side.append(token)
        elif kind == "op" or kind == "over":
            if words or (needs_number and not (side and side[-1].text == "-")) or (kind == "over" and not depth):
                return None
            needs_number = True
            side.append(token)
        elif kind == "break" or kind == "=" or kind == "≈" or kind == "is":
            break
        elif kind == "dash":
            has_bullet = True
            break
        elif kind == "word":
            if not needs_number:
                if depth:
                    return None
                break
            words.append(token.text.lower())
            if len(words) > 3:
                return None
        elif kind == "money" and not words:
            units.add("$")
        elif kind == "(":
            if depth == 0:
                break
            if needs_number and not (side[-1].text == "-" and side[-1].kind == "op"):
                return None
            depth -= 1
            needs_number = False
            side.append(token)
        elif (kind == "post" and needs_number) or (kind == "root" and not needs_number):
            if words:
                return None
            side.append(token)
        else:
            return None
        index -= 1
    if not side or words or depth or index < start <= end - MAX_SIDE:
        return None
    neighbour = tokens[index] if index >= 0 else None
    is_after_prose = neighbour is not None and neighbour.kind == "word"
    if needs_number and (is_after_prose or side[-1].text != "-" or (neighbour is not None and neighbour.kind == "(")):
        return None  # the minus belongs to a term before it
    if neighbour is not None and neighbour.kind == "(" and index and tokens[index - 1].kind in ("num", "op", ")"):
        return None  # an unclosed parenthesis
    if is_after_prose and neighbour is not None and _changes_amount(tokens, index):
        return None
    return Side(side[::-1], units, not is_after_prose, index, has_bullet)


def _changes_amount(tokens: list[Token], index: int) -> bool:
    """Does the prose before an expression change its amount?

    "Half of" does, "a total of" does not.
    """
    word = tokens[index].text.lower()
    previous = tokens[index - 1] if index else tokens[index]
    if word in ("of", "by", "to") and previous.kind == "word":
        word = previous.text.lower()
    elif word == "and":
        return previous.kind in ("num", ")", "post") or (
            previous.kind == "word" and singular(previous.text.lower()) in MEASURES
        )
    if word in PART_BEFORE or (len(word) == 1 and word not in "ai"):
        return True
    start = index
    while start > index - 3 and start and tokens[start].kind == "word":
        start -= 1
    return tokens[start].kind == "op"  # 25 guests + her 1 son + 1


def singular(word: str) -> str:
    return {"dollars": "$", "dollar": "$", "bucks": "$"}.get(word, word.rstrip("s") or word)
