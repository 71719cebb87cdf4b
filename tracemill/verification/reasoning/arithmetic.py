r"""Plain arithmetic in running text: numbers and what stands between them, and the exact value of an expression.

A text is cut once, at its numbers (`parts`): prose costs next to nothing, and the little that stands between two
numbers of a calculation (" + ", "*", " = $") is the same again and again, so its tokens are remembered. Notation of
people, of Markdown and of LaTeX becomes the same few tokens. Nothing is ever evaluated as code; every size is bounded.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from math import comb, factorial, isqrt
from typing import NamedTuple

from tracemill.verification.reasoning.vocabulary import CLINGING

MAX_DIGITS = 30  # of one number
MAX_DEPTH = 20  # of parentheses
MAX_TOKENS = 200  # of one expression
MAX_POWER = 64  # exponent, and factorial
MAX_BITS = 4_096  # of a power
ROOT_DIGITS = 40  # decimals of an irrational square root

Rational = int | Fraction


class Token(NamedTuple):
    """`kind` is one of

    num, op (``+ - * / ^ of``, or a spoken plus, minus, times, over), ``(`` (text "(", "frac", "binom", "√("), ``)``,
    over (between the parts of a fraction), root, post (``%`` and ``!``), ``=``, ``≈``, is (a spoken "="), word, money,
    dash (at the start of a line: a bullet or a minus), break (a sentence, clause or line ends), other (not understood).
    """

    kind: str
    text: str
    value: Rational = 0


# Its first character is a plain set: so the search skips prose fast.
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
    | (?P<said>\b(?:times|multiplied[ ]by|plus|minus|divided[ ]by)(?=[ ]\\?\$?\Z))
    | (?P<of>\bof(?=[ ](?:the[ ])?\\?\$?\Z))
    | (?P<is>\b(?:is|equals|gives|makes)(?=[ ](?:\\?\$|\*\*)?\Z))
    | (?P<word>[^\W\d_]+(?:['’-][^\W\d_]+)*)
    | (?P<other>\\[A-Za-z]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)
# Prose, and what makes it more than prose: words that calculate, and the cross of a product.
_PROSE = re.compile(r"[A-Za-z ,.\n]*\Z")
_SAYS = re.compile(r"per ?cent|(?:\b(?:times|by|plus|minus|of|of the|is|equals|gives|makes|to)|[xX]) ?\Z")
_PROSE_PART = re.compile(r"([A-Za-z]+|[.,](?!\s))|([.,](?=\s)|\n)")
_BREAK_AT = {end: Token("break", end) for end in (".", ",", "\n")}
_TEXTS = {
    "−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", r"\times": "*", r"\cdot": "*", r"\ast": "*",
    r"\div": "/", "multiplied by": "times", "divided by": "over",
}  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_FIXED = {
    "equals": Token("=", "="), "approx": Token("≈", "≈"), "is": Token("is", "is"), "dash": Token("dash", "-"),
    "frac": Token("(", "frac"), "binom": Token("(", "binom"), "sqrt": Token("(", "√("), "root": Token("root", "√"),
    "halves": Token("halves", ""), "over": Token("over", "⁄"), "open": Token("(", "("), "close": Token(")", ")"),
    "percent": Token("post", "%"), "factorial": Token("post", "!"), "power": Token("op", "^"),
    "cross": Token("op", "*"), "of": Token("op", "of"),
}  # fmt: skip
_OPEN, _CLOSE, _TIMES, _PLUS, _OVER = (
    _FIXED["open"],
    _FIXED["close"],
    _FIXED["cross"],
    Token("op", "+"),
    Token("op", "/"),
)
_FRAC, _OVER_BAR, _MINUS = _FIXED["frac"], _FIXED["over"], Token("op", "-")
_MAX_GAP = 30  # characters read between two numbers: its beginning and its end, if no equals sign is in between


def parts(text: str) -> list[str]:
    """`text` cut at its numbers: gap, number, gap, …, number, gap; gaps may be empty. Joined, they are the text."""
    return _NUMBER.split(text)


def tokenize(text: str) -> list[Token]:
    """All tokens of `text`, in order; of long prose between two numbers only both ends. Takes linear time."""
    found = tokens_of(parts(text))[:-1]
    return [_MINUS, *found[1:]] if found[0].kind == "dash" else found[1:]


def tokens_of(pieces: Sequence[str]) -> list[Token]:
    """The tokens of a text that `parts` has cut; a break begins and ends them, as the text begins and ends a line."""
    found: list[Token] = []
    last = len(pieces) - 1
    place = 0
    while place < last:
        gap, token = pieces[place], number(pieces[place + 1])
        found += _gap(gap if place else "\n" + gap)
        place += 2
        kind = found[-1].kind
        if kind == "op":
            if len(found) > 1 and found[-1].text == "^" and found[-2].kind == "word":
                found.pop()  # cm^2
                continue
        elif kind == "word" or kind == "other":
            if not gap[-1:].isspace():
                token = Token("other", token.text)  # x2, H2, a_1
        elif kind == "num":
            if place < last - 1 and gap == " " and pieces[place] == "/" and type(found[-1].value) is int:
                # 3 1/2
                found[-1:] = _OPEN, found[-1], _PLUS, token, _OVER, number(pieces[place + 1]), _CLOSE
                place += 2
                continue
        elif kind == "break":
            if pieces[place][:1] == ")" and (not gap.strip() or gap[-1] == "\n"):
                continue  # 1) the number of a list
            if gap == ", " and len(token.text) == 3:
                token = Token("other", token.text)  # 14, 400
        elif kind == "halves":
            found.pop()
            if len(token.text) == 2 and type(token.value) is int:
                found += _FRAC, number(token.text[0]), _OVER_BAR, number(token.text[1]), _CLOSE
                continue
            token = Token("other", token.text)
        found.append(token)
    found += _gap(pieces[last] + "\n" if last else "\n" + pieces[last] + "\n")
    if found[-1].kind != "break":
        found.append(Token("break", "\n"))
    return found


@lru_cache(maxsize=16_384)
def number(text: str) -> Token:
    """The token of a number as `parts` cuts it, without thousands separators; too long, or 0900: other."""
    if len(text) > MAX_DIGITS or (text[0] == "0" and text[1:2].isdigit()):
        return Token("other", text)
    text = text.replace(",", "")
    whole, dot, decimals = text.partition(".")
    return Token("num", text, Fraction(int(whole + decimals), 10 ** len(decimals)) if dot else int(text))


def _gap(gap: str) -> Sequence[Token]:
    if len(gap) <= _MAX_GAP:
        return _remembered(gap)
    if "=" in gap or "≈" in gap:
        return _read(gap)
    return [*_remembered(gap[: _MAX_GAP // 2].rpartition(" ")[0] + "\n"),
            *_remembered("\n " + gap[-_MAX_GAP // 2 :].partition(" ")[2])]  # fmt: skip


def _read(gap: str) -> list[Token]:
    if _PROSE.match(gap) and not _SAYS.search(gap):
        return _prose(gap)
    found: list[Token] = []
    if "\\" in gap or "^" in gap or "°" in gap or "`" in gap or "__" in gap:
        gap = _NOISE.sub("", gap)
    for match in _GAP.finditer(gap):
        kind = str(match.lastgroup)
        if kind == "skip":
            continue
        if kind in ("op", "said"):
            found.append(Token("op", _TEXTS.get(match[0], match[0])))
        elif kind == "times":
            found += (_CLOSE, _TIMES, _OPEN) if len(match[0]) == 2 else (_TIMES, _OPEN)
        elif kind in ("sqrt", "root") and (not found or found[-1].kind == ")"):
            found += _TIMES, _FIXED[kind]  # 2√3
        elif kind in ("frac", "halves") and not found:
            found.append(Token("other", match[0]))  # 2\frac{1}{3}: a sum or a product?
        elif kind == "of" and found and found[-1].kind == "word":
            found.append(Token("word", "of"))  # 5 parts of 30
        elif kind == "word":
            clings = not match.start() and match[0].lower() not in CLINGING
            found.append(Token("other" if clings else "word", match[0]))  # 2x, 3rd
        elif kind == "text":
            words = match[0][match[0].index("{") + 1 : -1].split()
            found += [Token("word" if word.isalpha() else "other", word) for word in words]
        elif kind == "raised":
            if not found or found[-1].kind != "word":
                found += _FIXED["power"], number(match[0].translate(_RAISED))
        elif kind in _FIXED:
            found.append(_FIXED[kind])
        else:
            found.append(Token("other" if kind == "strange" else kind, match[0]))
    return found


def _prose(gap: str) -> list[Token]:
    """`_read` for words, commas, full stops and line ends alone: most of what stands between two numbers."""
    found = [_BREAK_AT[end] if end else _word(word) for word, end in _PROSE_PART.findall(gap)]
    if found and gap[0].isalpha() and found[0].text.lower() not in CLINGING:
        found[0] = Token("other", found[0].text)  # 2x, 3rd
    return found


@lru_cache(maxsize=16_384)
def _word(text: str) -> Token:
    return Token("word", text) if text != "." and text != "," else Token("other", text)


_remembered = lru_cache(maxsize=16_384)(_read)


def evaluate(tokens: Sequence[Token]) -> Rational | None:
    """The exact value (an irrational root: to `ROOT_DIGITS` decimals); None: no expression, or too big a one."""
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
    reader = _Reader(tokens)
    try:
        value = reader.sum(0)
    except (_NotArithmetic, ZeroDivisionError):
        return None
    return value if reader.place == len(tokens) else None


class _NotArithmetic(Exception):
    """The tokens are no expression, or one with too big a value."""


class _Reader:
    """Recursive descent over at most `MAX_TOKENS` tokens, at most `MAX_DEPTH` deep."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.place = 0

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
            raise _NotArithmetic
        exponent = -self.power(depth + 1) if self.take("-") else self.power(depth + 1)
        size, bits = abs(exponent.numerator), max(base.numerator.bit_length(), base.denominator.bit_length())
        if exponent.denominator != 1 or size > MAX_POWER or bits * size > MAX_BITS:
            raise _NotArithmetic
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
            raise _NotArithmetic
        while (mark := self.take("%", "!")) is not None:
            value = Fraction(value) / 100 if mark == "%" else factorial(_count(value))
        return value

    def group(self, opened: str, depth: int) -> Rational:
        value = self.sum(depth)
        if opened in ("frac", "binom"):
            if self.next().kind != "over":
                raise _NotArithmetic
            second = self.sum(depth)
            value = Fraction(value) / second if opened == "frac" else comb(_count(value), _count(second))
        elif opened == "√(":
            value = _root(value)
        if self.next().kind != ")":
            raise _NotArithmetic
        return value

    def next(self) -> Token:
        if self.place == len(self.tokens):
            raise _NotArithmetic
        self.place += 1
        return self.tokens[self.place - 1]

    def take(self, *texts: str) -> str | None:
        if self.place < len(self.tokens) and self.tokens[self.place].text in texts:
            self.place += 1
            return self.tokens[self.place - 1].text
        return None


def _count(value: Rational) -> int:
    if value.denominator != 1 or not 0 <= value <= MAX_POWER:
        raise _NotArithmetic
    return int(value)


def _root(value: Rational) -> Rational:
    if value < 0:
        raise _NotArithmetic
    above, below = isqrt(value.numerator), isqrt(value.denominator)
    if above * above == value.numerator and below * below == value.denominator:
        return Fraction(above, below)
    scale = 10**ROOT_DIGITS
    return Fraction(isqrt(value.numerator * scale * scale // value.denominator), scale)
