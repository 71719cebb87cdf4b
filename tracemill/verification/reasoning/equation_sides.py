"""The two sides of an equation in running text: the longest expressions beside the sign that are read with certainty.

Units and money signs are set aside while reading. A variable, two numbers side by side, a word that changes an amount
or an unknown command beside the expression mean that it cannot be read.
"""

from typing import NamedTuple

from tracemill.verification.reasoning.arithmetic import Token
from tracemill.verification.reasoning.vocabulary import MEASURES, PART, PART_AFTER, PART_BEFORE

MAX_SIDE = 100  # tokens of one side of an equation


class Side(NamedTuple):
    tokens: list[Token]
    units: set[str]
    whole: bool  # nothing else stands between it and the next break
    ends: int  # the place after, or before, it
    bullet: bool  # a dash stands before it that may be a minus

    @property
    def text(self) -> str:
        return " ".join(_SHOWN.get(token.text, token.text) for token in self.tokens)

    @property
    def operations(self) -> int:
        """How many numbers are joined to others; a sign is no operation, and 2(3 + 4) has two."""
        return sum(token.kind in ("op", "over") for token in self.tokens[self.tokens[0].kind == "op" :])

    @property
    def computes(self) -> bool:
        return any(
            token.kind in _WORKS or token.text in ("√(", "binom")
            for token in self.tokens[self.tokens[0].kind == "op" :]
        )


_WORKS = ("op", "post", "over", "root")
_SHOWN = {"frac": "(", "binom": "binom(", "⁄": "/", "over": "/", "times": "*", "plus": "+", "minus": "-"}


def after(tokens: list[Token], start: int) -> Side | None:
    """The expression that begins at `start`; None when its reading is not certain."""
    found: list[Token] = []
    units: set[str] = set()
    needs, depth, whole = True, 0, True  # needs: a number, or what opens one, must come next
    place, last = start, min(len(tokens), start + MAX_SIDE)
    while place < last:
        token = tokens[place]
        kind = token.kind
        if kind == "num":
            if not needs:
                return None  # two numbers side by side: a date, a list
            needs = False
            found.append(token)
        elif kind == "op":
            if token.text == "of" and not depth:
                whole = False
                break
            if needs and not (token.text in "+-" and (not found or found[-1].kind in ("op", "(", "over"))):
                return None
            needs = True
            found.append(token)
        elif kind == "break" or kind == "=" or kind == "≈" or kind == "is" or kind == "dash":
            break
        elif kind == "money":
            if needs:
                units.add("$")
            elif place + 1 < last and tokens[place + 1].kind not in ("op", ")", "post"):
                whole = False
                break  # the end of $36$
        elif kind == "word":
            if needs:
                return None
            run = 1
            while place + run < last and run < 4 and tokens[place + run].kind == "word":
                run += 1
            word = token.text.lower()
            following = tokens[place + run]
            if (word in PART_AFTER and not _loose(word, following, run)) or (
                len(word) == 1 and (word != "a" or run == 1)
            ):
                return None
            if "$" not in units:
                units.add(singular(word))
            if run == 4 or following.kind not in ("op", ")", "post", "over") or (following.kind == ")" and not depth):
                if _goes_on(tokens, place, run):
                    return None
                whole = False
                break
            place += run
            continue
        elif kind == "(" or kind == "root":
            if not needs:
                remark = tokens[min(place + 1, last - 1)]
                if depth or token.text != "(" or remark.kind != "word" or remark.text.lower() in PART_AFTER:
                    return None
                whole = False
                break  # a remark in parentheses
            depth += kind == "("
            found.append(token)
        elif kind == ")":
            if depth == 0:
                break
            if needs:
                return None
            depth -= 1
            found.append(token)
        elif (kind == "over" and depth and not needs) or (kind == "post" and not needs):
            needs = kind == "over"
            found.append(token)
        else:
            return None
        place += 1
    if needs or depth or place == start + MAX_SIDE:
        return None
    return Side(found, units, whole, place, False)


def _loose(word: str, following: Token, run: int) -> bool:
    """Does one of these words after a number begin something new? "8 to", but not "8 to 9"."""
    return word == "and" or (word in ("to", "or", "by", "times") and (run > 1 or following.kind != "num"))


def _goes_on(tokens: list[Token], place: int, count: int) -> bool:
    """Do the words after a number add to it: 5 and a half, 1 hour and 30 minutes, 3 with remainder 1?"""
    words = [token.text.lower() for token in tokens[place : place + count]]
    if "and" in words[:2] and words[words.index("and") + 1 : words.index("and") + 2] in (["a"], ["one"], ["three"]):
        return True
    if words[-1] == "and" and place + count < len(tokens):
        following = tokens[place + count + 1 : place + count + 2]
        return singular(words[0]) in MEASURES or bool(following and following[0].text == "/")
    return not {"remainder", "rem", "mod", "modulo"}.isdisjoint(words)


def before(tokens: list[Token], end: int) -> Side | None:
    """The expression that ends before `end`; None when its reading is not certain."""
    found: list[Token] = []
    units: set[str] = set()
    words: list[str] = []
    needs, depth, bullet = True, 0, False  # needs: walking leftwards, a number or what closes one must come next
    place = end - 1
    first = max(0, end - MAX_SIDE)
    while place >= first:
        token = tokens[place]
        kind = token.kind
        if kind == "num" or kind == ")":
            if not needs:
                if kind == ")" and not depth and place > 1 and tokens[place - 1].kind in ("break", "dash"):
                    break  # 1) a list's number
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
                needs = False
            found.append(token)
        elif kind == "op" or kind == "over":
            if words or (needs and not (found and found[-1].text == "-")) or (kind == "over" and not depth):
                return None
            needs = True
            found.append(token)
        elif kind == "break" or kind == "=" or kind == "≈" or kind == "is":
            break
        elif kind == "dash":
            bullet = True
            break
        elif kind == "word":
            if not needs:
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
            if needs and not (found[-1].text == "-" and found[-1].kind == "op"):
                return None
            depth -= 1
            needs = False
            found.append(token)
        elif (kind == "post" and needs) or (kind == "root" and not needs):
            if words:
                return None
            found.append(token)
        else:
            return None
        place -= 1
    if not found or words or depth or place < first <= end - MAX_SIDE:
        return None
    stop = tokens[place] if place >= 0 else None
    prose = stop is not None and stop.kind == "word"
    if needs and (prose or found[-1].text != "-" or (stop is not None and stop.kind == "(")):
        return None  # the minus of something before
    if stop is not None and stop.kind == "(" and place and tokens[place - 1].kind in ("num", "op", ")"):
        return None  # a parenthesis that is never closed
    if prose and stop is not None and _changes(tokens, place):
        return None
    return Side(found[::-1], units, not prose, place, bullet)


def _changes(tokens: list[Token], place: int) -> bool:
    """Does the prose before an expression change its amount? "Half of" does, "a total of" does not."""
    word = tokens[place].text.lower()
    previous = tokens[place - 1] if place else tokens[place]
    if word in ("of", "by", "to") and previous.kind == "word":
        word = previous.text.lower()
    elif word == "and":
        return previous.kind in ("num", ")", "post") or (
            previous.kind == "word" and singular(previous.text.lower()) in MEASURES
        )
    if word in PART_BEFORE or (len(word) == 1 and word not in "ai"):
        return True
    start = place
    while start > place - 3 and start and tokens[start].kind == "word":
        start -= 1
    return tokens[start].kind == "op"  # 25 guests + her 1 son + 1


def singular(word: str) -> str:
    return {"dollars": "$", "dollar": "$", "bucks": "$"}.get(word, word.rstrip("s") or word)
