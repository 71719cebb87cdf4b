r"""Tokenize and evaluate plain arithmetic in running text.

A text is cut at its numbers (`parts`), so prose costs almost nothing. The short gaps between the numbers of a
calculation (" + ", "*", " = $") repeat often, so their tokens are cached. Plain, Markdown and LaTeX notation give the
same few tokens. No text is evaluated as code, and every size is bounded.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import comb, factorial, isqrt
from typing import NamedTuple

from tracemill.verification.reasoning.vocabulary import SUFFIXES

MAX_DIGITS = 30  # of one number
MAX_DEPTH = 20  # levels of parentheses
MAX_TOKENS = 200  # of one expression
MAX_POWER = 64  # the largest exponent, and argument of a factorial
MAX_BITS = 4_096  # of a power
ROOT_DIGITS = 40  # decimals of an irrational square root

Rational = int | Fraction


class Token(NamedTuple):
    """A token. Its `kind` is one of these:

    num, op (``+ - * / ^ of``, or plus, minus, times, over in words), ``(`` (text "(", "frac", "binom", "√("), ``)``,
    over (between the parts of a fraction), root, post (``%`` and ``!``), ``=``, ``≈``, is (an equals sign in words),
    word, money, dash (at the start of a line: a bullet or a minus), break (the end of a sentence, clause or line),
    other (not understood).
    """

    kind: str
    text: str
    value: Rational = 0


# It starts with a plain character set, so that the search skips prose fast.
_NUMBER = re.compile(
    r"([0-9.](?:(?<=[0-9])(?:[0-9]{0,2}(?:,[0-9]{3}){1,12}(?![0-9])|[0-9]*)(?:\.[0-9]+)?|(?<=\.)(?<![\w.)]\.)[0-9]+))"
)
_NOISE = re.compile(
    r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|boxed|fbox|limits)(?![A-Za-z])|\\[,;!:> ]|\\(?=%)"
    r"|\^\s?\{?\\circ\}?|[°`]|__"
)
_GAP = re.compile(
    r"""
      (?P<equals>(?<![=<>!:+*/≤≥-])(?:[\s&]|\\\\){0,12}=(?![=>])[\s&]{0,12}|\bis[ ]equal[ ]to(?=[ ]\\?\$?\Z))
    | (?P<strange>\\[&#_{}|]|\]\s?\{|\\sqrt\s?\[|(?<=[)}])[^\W\d_]+)
    | (?P<approx>(?:[\s&]|\\\\){0,12}(?:≈|\\approx(?![a-z])))
    | (?P<dash>\n[ \t]{0,8}[-–−][ ])
    | (?P<break>\n|\\\\|\\[()\[\]]|\\(?:begin|end)\{[a-z*]{1,20}\}
        |\\(?:q?quad|implies|iff|[lL]?(?:eft)?[rR]ightarrow|to|leq?|geq?|neq?|equiv|therefore|hline|item)(?![A-Za-z])
        |[.;?](?=[\s"')*}$])|,(?=[\s"'])|:(?=[\s*$\\])|(?<=[^\W\d_]):(?=\(|\Z)|(?<=.)!|(?<=\s)\|(?=\s)|[&→⇒≠<>≤≥≡∴—•…])
    | (?P<skip>[ \t\r"“”]+|\*\*(?!\Z)|(?<=.)\*\*|(?<=[\w.])-(?=[^\W\d_])|\A-(?=[^\W\d_])|/[ ]?(?=[^\W\d_]))
    | (?P<times>\A\(|[)}]\()
    | (?P<frac>\\[dtc]?frac\s?\{) | (?P<binom>\\[dt]?binom\s?\{)
    | (?P<sqrt>(?:\\sqrt|(?<![^\W\d_])sqrt|√)\s?[({])
    | (?P<halves>\\[dtc]?frac\Z) | (?P<root>(?:\\sqrt[ ]?|√)\Z)
    | (?P<over>\}\s?\{) | (?P<open>[({]) | (?P<close>[)}])
    | (?P<text>\\(?:text|mathrm|mbox|textbf|rm)\s?\{[^{}\n]{0,40}\})
    | (?P<money>\\?\$|[€£¥])
    | (?P<percent>%|per[ ]?cent\b)
    | (?P<factorial>\A!)
    | (?P<power>\^|\A\*\*\Z) | (?P<raised>[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2})
    | (?P<cross>(?<![^\W\d_\\\n])[xX](?=[ ]{0,2}(?:\\?\$)?\(?\Z))
    | (?P<op>\*(?!\*)|[-+−–×·⋅∗/÷]|\\(?:times|cdot|div|ast)(?![a-z]))
    | (?P<spoken>\b(?:times|multiplied[ ]by|plus|minus|divided[ ]by)(?=[ ]\\?\$?\Z))
    | (?P<of>\bof(?=[ ](?:the[ ])?\\?\$?\Z))
    | (?P<is>\b(?:is|equals|gives|makes)(?=[ ](?:\\?\$|\*\*)?\Z))
    | (?P<word>[^\W\d_]+(?:['’-][^\W\d_]+)*)
    | (?P<other>\\[A-Za-z]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)
# Plain prose, and prose that ends in arithmetic: words that calculate, or the cross of a product.
_PROSE = re.compile(r"[A-Za-z ,.\n]*\Z")
_ENDS_IN_ARITHMETIC = re.compile(r"per ?cent|(?:\b(?:times|by|plus|minus|of|of the|is|equals|gives|makes|to)|[xX]) ?\Z")
_PROSE_PART = re.compile(r"([A-Za-z]+|[.,](?!\s))|([.,](?=\s)|\n)")
_BREAKS = {end: Token("break", end) for end in (".", ",", "\n")}
_OPERATORS = {
    "−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", r"\times": "*", r"\cdot": "*", r"\ast": "*",
    r"\div": "/", "multiplied by": "times", "divided by": "over",
}  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_TOKENS = {
    "equals": Token("=", "="), "approx": Token("≈", "≈"), "is": Token("is", "is"), "dash": Token("dash", "-"),
    "frac": Token("(", "frac"), "binom": Token("(", "binom"), "sqrt": Token("(", "√("), "root": Token("root", "√"),
    "halves": Token("halves", ""), "over": Token("over", "⁄"), "open": Token("(", "("), "close": Token(")", ")"),
    "percent": Token("post", "%"), "factorial": Token("post", "!"), "power": Token("op", "^"),
    "cross": Token("op", "*"), "of": Token("op", "of"),
}  # fmt: skip
_OPEN, _CLOSE, _TIMES, _PLUS, _OVER = (
    _TOKENS["open"],
    _TOKENS["close"],
    _TOKENS["cross"],
    Token("op", "+"),
    Token("op", "/"),
)
_FRAC, _OVER_BAR, _MINUS = _TOKENS["frac"], _TOKENS["over"], Token("op", "-")
_MAX_GAP = 30  # a longer gap without an equals sign is read only at both ends; in characters


def parts(text: str) -> list[str]:
    """Cut `text` at its numbers: gap, number, gap, …, number, gap.

    A gap may be empty. The parts, joined, are the text.
    """
    return _NUMBER.split(text)


def tokenize(text: str) -> list[Token]:
    """Return the tokens of `text` in order. Takes linear time.

    Long prose between two numbers is read only at both ends.
    """
    tokens = tokens_of(parts(text))[:-1]
    return [_MINUS, *tokens[1:]] if tokens[0].kind == "dash" else tokens[1:]


def tokens_of(pieces: Sequence[str]) -> list[Token]:
    """Return the tokens of a text that `parts` has cut.

    The first and the last token are breaks, because the text starts and ends a line.
    """
    tokens: list[Token] = []
    last = len(pieces) - 1
    index = 0
    while index < last:
        gap, token = pieces[index], number(pieces[index + 1])
        tokens += _gap_tokens(gap if index else "\n" + gap)
        index += 2
        kind = tokens[-1].kind
        if kind == "op":
            if len(tokens) > 1 and tokens[-1].text == "^" and tokens[-2].kind == "word":
                tokens.pop()  # cm^2
                continue
        elif kind == "word" or kind == "other":
            if not gap[-1:].isspace():
                token = Token("other", token.text)  # x2, H2, a_1
        elif kind == "num":
            if index < last - 1 and gap == " " and pieces[index] == "/" and type(tokens[-1].value) is int:
                # 3 1/2
                tokens[-1:] = _OPEN, tokens[-1], _PLUS, token, _OVER, number(pieces[index + 1]), _CLOSE
                index += 2
                continue
        elif kind == "break":
            if pieces[index][:1] == ")" and (not gap.strip() or gap[-1] == "\n"):
                continue  # 1) the number of a list
            if gap == ", " and len(token.text) == 3:
                token = Token("other", token.text)  # 14, 400
        elif kind == "halves":
            tokens.pop()
            if len(token.text) == 2 and type(token.value) is int:
                tokens += _FRAC, number(token.text[0]), _OVER_BAR, number(token.text[1]), _CLOSE
                continue
            token = Token("other", token.text)
        tokens.append(token)
    tokens += _gap_tokens(pieces[last] + "\n" if last else "\n" + pieces[last] + "\n")
    if tokens[-1].kind != "break":
        tokens.append(Token("break", "\n"))
    return tokens


@lru_cache(maxsize=16_384)
def number(text: str) -> Token:
    """Return the token of a number from `parts`, without thousands separators.

    A number that is too long or has leading zeros (0900) is of kind other.
    """
    if len(text) > MAX_DIGITS or (text[0] == "0" and text[1:2].isdigit()):
        return Token("other", text)
    text = text.replace(",", "")
    integer_part, dot, decimals = text.partition(".")
    return Token("num", text, Fraction(int(integer_part + decimals), 10 ** len(decimals)) if dot else int(text))


def _gap_tokens(gap: str) -> Sequence[Token]:
    if len(gap) <= _MAX_GAP:
        return _cached_gap(gap)
    if "=" in gap or "≈" in gap:
        return _tokenize_gap(gap)
    return [*_cached_gap(gap[: _MAX_GAP // 2].rpartition(" ")[0] + "\n"),
            *_cached_gap("\n " + gap[-_MAX_GAP // 2 :].partition(" ")[2])]  # fmt: skip


def _tokenize_gap(gap: str) -> list[Token]:
    if _PROSE.match(gap) and not _ENDS_IN_ARITHMETIC.search(gap):
        return _prose_tokens(gap)
    tokens: list[Token] = []
    if "\\" in gap or "^" in gap or "°" in gap or "`" in gap or "__" in gap:
        gap = _NOISE.sub("", gap)
    for match in _GAP.finditer(gap):
        kind = str(match.lastgroup)
        if kind == "skip":
            continue
        if kind in ("op", "spoken"):
            tokens.append(Token("op", _OPERATORS.get(match[0], match[0])))
        elif kind == "times":
            tokens += (_CLOSE, _TIMES, _OPEN) if len(match[0]) == 2 else (_TIMES, _OPEN)
        elif kind in ("sqrt", "root") and (not tokens or tokens[-1].kind == ")"):
            tokens += _TIMES, _TOKENS[kind]  # 2√3
        elif kind in ("frac", "halves") and not tokens:
            tokens.append(Token("other", match[0]))  # 2\frac{1}{3}: a sum or a product?
        elif kind == "of" and tokens and tokens[-1].kind == "word":
            tokens.append(Token("word", "of"))  # 5 parts of 30
        elif kind == "word":
            is_suffix = not match.start() and match[0].lower() not in SUFFIXES
            tokens.append(Token("other" if is_suffix else "word", match[0]))  # 2x, 3rd
        elif kind == "text":
            words = match[0][match[0].index("{") + 1 : -1].split()
            tokens += [Token("word" if word.isalpha() else "other", word) for word in words]
        elif kind == "raised":
            if not tokens or tokens[-1].kind != "word":
                tokens += _TOKENS["power"], number(match[0].translate(_SUPERSCRIPTS))
        elif kind in _TOKENS:
            tokens.append(_TOKENS[kind])
        else:
            tokens.append(Token("other" if kind == "strange" else kind, match[0]))
    return tokens


def _prose_tokens(gap: str) -> list[Token]:
    """Tokenize a gap of words, commas, full stops and line ends. Most gaps are such."""
    tokens = [_BREAKS[end] if end else _word_token(word) for word, end in _PROSE_PART.findall(gap)]
    if tokens and gap[0].isalpha() and tokens[0].text.lower() not in SUFFIXES:
        tokens[0] = Token("other", tokens[0].text)  # 2x, 3rd
    return tokens


@lru_cache(maxsize=16_384)
def _word_token(text: str) -> Token:
    return Token("word", text) if text != "." and text != "," else Token("other", text)


_cached_gap = lru_cache(maxsize=16_384)(_tokenize_gap)


def evaluate(tokens: Sequence[Token]) -> Rational | None:
    """Return the exact value of an expression.

    None if the tokens are no expression, or too large a one. An irrational root has `ROOT_DIGITS` decimals.
    """
    if len(tokens) == 1:
        return tokens[0].value if tokens[0].kind == "num" else None
    if len(tokens) == 3:
        left, operator, right = tokens
        if left.kind == "num" == right.kind and operator.text in "+-*":
            if operator.text == "+":
                return left.value + right.value
            return left.value - right.value if operator.text == "-" else left.value * right.value
    tokens = [token for token in tokens if token.kind != "money"]
    if len(tokens) > MAX_TOKENS:
        return None
    parser = _Parser(tokens)
    try:
        value = parser.sum(0)
    except (_NotAnExpression, ZeroDivisionError):
        return None
    return value if parser.position == len(tokens) else None


class _NotAnExpression(Exception):
    """The tokens are no expression, or its value is too large."""


class _Parser:
    """Recursive descent over at most `MAX_TOKENS` tokens, at most `MAX_DEPTH` deep."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.position = 0

    def sum(self, depth: int) -> Rational:
        value = self.product(depth)
        while (operator := self.take("+", "-", "plus", "minus")) is not None:
            term = self.product(depth)
            value = value + term if operator in ("+", "plus") else value - term
        return value

    def product(self, depth: int) -> Rational:
        value = self.signed(depth)
        while (operator := self.take("*", "/", "times", "over", "of")) is not None:
            factor = self.signed(depth)
            value = Fraction(value) / factor if operator in ("/", "over") else value * factor
        return value

    def signed(self, depth: int) -> Rational:
        if (sign := self.take("-", "+")) is not None:
            return -self.power(depth) if sign == "-" else self.power(depth)
        return self.power(depth)

    def power(self, depth: int) -> Rational:
        base = self.operand(depth)
        if self.take("^") is None:
            return base
        if depth >= MAX_DEPTH:
            raise _NotAnExpression
        exponent = -self.power(depth + 1) if self.take("-") else self.power(depth + 1)
        size, bits = abs(exponent.numerator), max(base.numerator.bit_length(), base.denominator.bit_length())
        if exponent.denominator != 1 or size > MAX_POWER or bits * size > MAX_BITS:
            raise _NotAnExpression
        return Fraction(base) ** int(exponent)

    def operand(self, depth: int) -> Rational:
        token = self.next()
        if token.kind == "num":
            value = token.value
        elif token.kind == "root" and depth < MAX_DEPTH:
            value = _root(self.operand(depth + 1))
        elif token.kind == "(" and depth < MAX_DEPTH:
            value = self.group(token.text, depth + 1)
        else:
            raise _NotAnExpression
        while (mark := self.take("%", "!")) is not None:
            value = Fraction(value) / 100 if mark == "%" else factorial(_count(value))
        return value

    def group(self, opened: str, depth: int) -> Rational:
        value = self.sum(depth)
        if opened in ("frac", "binom"):
            if self.next().kind != "over":
                raise _NotAnExpression
            second = self.sum(depth)
            value = Fraction(value) / second if opened == "frac" else comb(_count(value), _count(second))
        elif opened == "√(":
            value = _root(value)
        if self.next().kind != ")":
            raise _NotAnExpression
        return value

    def next(self) -> Token:
        if self.position == len(self.tokens):
            raise _NotAnExpression
        self.position += 1
        return self.tokens[self.position - 1]

    def take(self, *texts: str) -> str | None:
        if self.position < len(self.tokens) and self.tokens[self.position].text in texts:
            self.position += 1
            return self.tokens[self.position - 1].text
        return None


def _count(value: Rational) -> int:
    if value.denominator != 1 or not 0 <= value <= MAX_POWER:
        raise _NotAnExpression
    return int(value)


def _root(value: Rational) -> Rational:
    if value < 0:
        raise _NotAnExpression
    numerator_root, denominator_root = isqrt(value.numerator), isqrt(value.denominator)
    if numerator_root * numerator_root == value.numerator and denominator_root * denominator_root == value.denominator:
        return Fraction(numerator_root, denominator_root)
    scale = 10**ROOT_DIGITS
    return Fraction(isqrt(value.numerator * scale * scale // value.denominator), scale)
