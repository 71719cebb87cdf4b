"""Plain arithmetic in running text: tokens in one linear pass, and their exact value. Nothing is evaluated as code."""

import re
from fractions import Fraction
from typing import NamedTuple

MAX_DIGITS = 30  # of one number
MAX_DEPTH = 20  # of parentheses
MAX_TOKENS = 200  # of one expression


class Token(NamedTuple):
    """`kind`: num, op, (, ), =, word, money, break (a sentence or line ends) or other (never understood)."""

    kind: str
    text: str


_OPERATORS = {
    "−": "-",
    "–": "-",
    "×": "*",
    "·": "*",
    "⋅": "*",
    "∗": "*",
    "÷": "/",
    r"\times": "*",
    r"\cdot": "*",
    r"\div": "/",
}
_TOKEN = re.compile(
    r"""
      (?P<bullet>(?:^|(?<=\n))[ \t]{0,8}(?:[-*•–][ ]|\d{1,3}[.)][ ]))
    | (?P<num>(?<![\w.,])(?:\d{1,3}(?:,\d{3}){1,12}(?![,\d])|\d+)(?:\.\d+)?(?!\.\d|,\d|\d)|(?<![\w.,])\.\d+(?!\.?\d))
    | (?P<text>\\(?:text|mathrm)\{[^{}\n]{0,40}\})
    | (?P<skip>[ \t]+|\\\$(?!\d)|\$(?![\d.])|\*\*(?!\d)|(?<![\d)])\*\*|__|`|\\[,;!]|\\left(?![a-z])|\\right(?![a-z]))
    | (?P<money>\\?\$|[€£¥])
    | (?P<cross>(?<=[\d)\s])[xX](?=[ ]{0,2}(?:[\d($.]|\\\$)))
    | (?P<op>\*(?!\*)|[-+−–×·⋅∗/÷]|\\(?:times|cdot|div)(?![a-z]))
    | (?P<open>\() | (?P<close>\))
    | (?P<equals>(?<![=<>!:+*/-])=(?![=>]))
    | (?P<split>(?<=\d),[ ](?=\d{3}(?!\d)))
    | (?P<break>\n|\.\.\.(?=\s|$)|[.;?](?=\s|$)|,(?=\s)|:(?!\d)|\\[\[\]()\\]|[\[\]|&→⇒≈≠<>])
    | (?P<word>[^\W\d_]+(?:['’-][^\W\d_]+)*)
    | (?P<other>\d+[\d.,]*|\\[A-Za-z]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)


def tokenize(text: str) -> list[Token]:
    """All tokens of `text`, in order; numbers lose their thousands separators, operators are one of ``+ - * /``."""
    tokens = []
    for match in _TOKEN.finditer(text):
        kind, found = match.lastgroup, match[0]
        if kind == "skip":
            continue
        if kind == "num":
            tokens.append(
                Token("num" if len(found) <= MAX_DIGITS and found.isascii() else "other", found.replace(",", ""))
            )
        elif kind == "op":
            tokens.append(Token("op", _OPERATORS.get(found, found)))
        elif kind == "cross":
            tokens.append(Token("op", "*"))
        elif kind == "text":
            tokens += [Token("word", word) for word in found[found.index("{") + 1 : -1].split()]
        else:
            name = {"open": "(", "close": ")", "equals": "=", "bullet": "break", "split": "other"}.get(
                str(kind), str(kind)
            )
            tokens.append(Token(name, found))
    return tokens


def evaluate(tokens: list[Token]) -> Fraction | None:
    """The exact value of numbers, ``+ - * /`` and parentheses; None if they are not an expression or divide by zero."""
    tokens = [token for token in tokens if token.kind != "money"]
    if len(tokens) > MAX_TOKENS or any(token.kind not in ("num", "op", "(", ")") for token in tokens):
        return None
    reader = _Reader(tokens)
    try:
        value = reader.sum(0)
    except (_NotArithmetic, ZeroDivisionError):
        return None
    return value if reader.place == len(tokens) else None


class _NotArithmetic(Exception):
    """The tokens are no expression."""


class _Reader:
    """Recursive descent over at most `MAX_TOKENS` tokens, at most `MAX_DEPTH` deep."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.place = 0

    def sum(self, depth: int) -> Fraction:
        value = self.product(depth)
        while (operator := self.take("+", "-")) is not None:
            value = value + self.product(depth) if operator == "+" else value - self.product(depth)
        return value

    def product(self, depth: int) -> Fraction:
        value = self.signed(depth)
        while (operator := self.take("*", "/")) is not None:
            value = value * self.signed(depth) if operator == "*" else value / self.signed(depth)
        return value

    def signed(self, depth: int) -> Fraction:
        return -self.operand(depth) if self.take("-") else self.operand(depth)

    def operand(self, depth: int) -> Fraction:
        if self.take("("):
            if depth >= MAX_DEPTH:
                raise _NotArithmetic
            value = self.sum(depth + 1)
            if not self.take(")"):
                raise _NotArithmetic
            return value
        if self.place < len(self.tokens) and self.tokens[self.place].kind == "num":
            self.place += 1
            return Fraction(self.tokens[self.place - 1].text)
        raise _NotArithmetic

    def take(self, *texts: str) -> str | None:
        if self.place < len(self.tokens) and self.tokens[self.place].text in texts:
            self.place += 1
            return self.tokens[self.place - 1].text
        return None
