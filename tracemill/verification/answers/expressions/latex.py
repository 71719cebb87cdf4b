r"""The tokens of a mathematical answer: LaTeX, plain and Unicode spellings become the same few kinds.

It knows the notation of *answers*, not of LaTeX. What it does not know, a command, a word, a sign, is `Unread`: a run
of letters is a function, a unit or a short product (``xy``), never a word of prose.
"""

import re
import unicodedata
from typing import Final, NamedTuple


class Unread(Exception):
    """Not understood, or understood in more than one way."""


class Token(NamedTuple):
    kind: str
    text: str = ""
    gap: bool = False  # was there a space before it


END: Final = Token("")


class Cursor:
    """A place in the tokens."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.place = 0
        self.token = tokens[0] if tokens else END

    def take(self, kind: str = "") -> Token:
        """The token, which must be of `kind` if one is given; goes on to the next."""
        token = self.token
        if kind and token.kind != kind:
            raise Unread
        self.place += 1
        self.token = self.tokens[self.place] if self.place < len(self.tokens) else END
        return token

    def kind_after(self, ahead: int = 1) -> str:
        """The kind of a token further on; "" behind the last."""
        place = self.place + ahead
        return self.tokens[place].kind if place < len(self.tokens) else ""


FUNCTIONS: Final = frozenset(
    {"sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "asin", "acos", "atan", "ln", "log", "lg"}
    | {"sinh", "cosh", "tanh", "exp"}
)
# Commands that are one kind of token; the rest of the table names (kind, text).
_KINDS = {
    "cdot": "*", "times": "*", "ast": "*", "div": "/", "in": "in", "cup": "cup", "pm": "pm", "mp": "mp", "colon": ":",
    "le": "<=", "leq": "<=", "leqslant": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "lt": "<", "gt": ">",
    "ne": "!=", "neq": "!=", "mid": "mid", "lvert": "lvert", "rvert": "rvert", "vert": "|", "|": "lvert",
    "langle": "langle", "rangle": "rangle", "lbrace": r"\{", "rbrace": r"\}", "{": r"\{", "}": r"\}", "\\": r"\\",
    "circ": "degree", "degree": "degree", "emptyset": "empty", "varnothing": "empty", "infty": "infinity",
    "frac": "frac", "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "sqrt": "sqrt", "surd": "surd", "lor": "or",
    "binom": "binom", "dbinom": "binom", "tbinom": "binom", "%": "%", "$": "money",
}  # fmt: skip
_GREEK = frozenset(
    ["alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa",
     "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi", "chi", "psi", "omega", "ell", "Gamma", "Delta",
     "Theta", "Lambda", "Xi", "Sigma", "Phi", "Psi", "Omega"]
)  # fmt: skip
_COMMANDS = (
    {name: (kind, "") for name, kind in _KINDS.items()}
    | {name: ("function", name) for name in FUNCTIONS}
    | {name: ("name", name) for name in _GREEK}
    | {"pi": ("constant", "pi")}
)
_WORDS = {name: ("function", name) for name in FUNCTIONS} | {
    "pi": ("constant", "pi"), "e": ("constant", "e"), "i": ("constant", "i"), "sqrt": ("surd", ""), "per": ("/", ""),
    "and": ("and", ""), "or": ("or", ""), "infinity": ("infinity", ""), "inf": ("infinity", ""), "percent": ("%", ""),
    "degrees": ("degree", ""), "degree": ("degree", ""), "deg": ("degree", ""),
}  # fmt: skip
#: One unit a line; its first name is the one that two spellings are compared by.
_UNITS: Final = {
    name: names.split()[0]
    for names in """mm millimeter millimeters millimetre millimetres
        cm centimeter centimeters centimetre centimetres
        meter meters metre metres
        km kilometer kilometers kilometre kilometres
        inch inches
        ft foot feet
        yd yard yards
        mile miles
        mg milligram milligrams
        gram grams
        kg kilogram kilograms
        lb lbs pound pounds
        oz ounce ounces
        ton tons
        second seconds sec secs
        minute minutes min mins
        hour hours hr hrs
        day days
        week weeks
        month months
        year years
        liter liters litre litres
        ml milliliter milliliters
        gallon gallons
        dollar dollars usd
        cent cents
        euro euros
        unit units
        mph
        kph
        square sq
        cubic
        radian radians rad""".splitlines()
    for name in names.split()
}
_BOXED_UNITS = {"m": "meter", "s": "second", "g": "gram", "h": "hour", "L": "liter", "mi": "mile"}
# Two letters that are a word, not a product; longer runs of letters are products only if sorted, as no anagram is.
_NOT_PRODUCTS = frozenset(
    ["no", "on", "is", "it", "if", "of", "to", "in", "at", "an", "as", "am", "by", "be", "do", "go", "he", "me", "my",
     "so", "up", "us", "we", "hi", "ok", "oh", "ie", "eg", "vs", "pm"]
)  # fmt: skip
# "lnx" is no product of three.
_NAMED = re.compile("sin|cos|tan|cot|sec|csc|ln|log|exp|pi")
_GLUED = re.compile("(sin|cos|tan|cot|sec|csc|ln|log)([a-z])$")

_UNICODE = str.maketrans(
    {
        "π": r"\pi ", "∞": r"\infty ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "×": r"\times ", "÷": r"\div ",
        "∪": r"\cup ", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "∈": r"\in ",
        "∅": r"\emptyset ", "√": r"\surd ", "±": r"\pm ", "∓": r"\mp ", "°": r"\degree ",
        "⟨": r"\langle ", "⟩": r"\rangle ",
        "−": "-", "–": "-", "‑": "-", "‐": "-", "﹣": "-", "＋": "+", "＝": "=", "（": "(", "）": ")",
        "，": ",", "∣": "|",
        "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
        "⅕": r"\frac{1}{5}", "⅛": r"\frac{1}{8}", "⁄": "/", "∕": "/", "€": r"\text{euro}",
        "θ": r"\theta ", "α": r"\alpha ",
        "β": r"\beta ", "γ": r"\gamma ", "λ": r"\lambda ", "φ": r"\phi ", "ω": r"\omega ",
        "\u00a0": r"\,", "\u202f": r"\,", "\u2009": r"\,", "\u200b": "", "\u2061": "", "\u2062": "",
    }
)  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
# A thousands separator for certain; "1,234" alone could be a list.
_SEPARATOR = re.compile(r"(?<=\d)(?:\{,\}|,?\\[,!]|,\\ )\s?(?=\d{3}(?!\d))")
#: A number that could as well be a list.
GROUPED: Final = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!\d|,\d)(?:\.\d+)?")
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_PATTERN = re.compile(
    r"""(?P<space>[\s~]+|\\[,;:!>\ ]
        |\\(?:quad|qquad|displaystyle|textstyle|left|right|[bB]igg?[lr]?|limits)(?![A-Za-z]))
    |(?P<repeating>\d{0,30}\.\d{0,30}\\overline\s?\{\d{1,30}\})
    |(?P<number>\d+(?:\.\d+)?|\.\d+)
    |\\(?:text|mbox|mathrm|textrm|textbf|textit|operatorname|rm)\s?\{(?P<text>[^{}\\]*)\}
    |\\begin\s?\{(?P<begin>[A-Za-z]+)\}(?:\{[lcr|\s]*\})?
    |\\end\s?\{(?P<end>[A-Za-z]+)\}
    |\\(?P<command>[A-Za-z]+|[{}%$|\\])
    |(?P<letters>[A-Za-z]+)
    |(?P<symbol><=|>=|!=|\*\*|[-+*/^_!()\[\]{},;:|&=<>%$])""",
    re.VERBOSE,
)


def _ascii(text: str) -> str:
    text = re.sub("[⁰¹²³⁴-⁹⁺⁻ⁿ]+", lambda run: f"^{{{run[0].translate(_RAISED)}}}", text)
    text = re.sub("[₀-₉]+", lambda run: f"_{{{run[0].translate(_LOWERED)}}}", text).translate(_UNICODE)
    return "".join(str(unicodedata.decimal(char, char)) for char in text)


def tokens(text: str, grouped: bool) -> list[Token]:
    """The tokens of `text`; `grouped`: "1,234" outside brackets is one number, else a list. Raises `Unread`."""
    if not text.isascii():
        text = _ascii(text)
    text = _SEPARATOR.sub("", text)
    result: list[Token] = []
    place, brackets, gap = 0, 0, False
    while place < len(text):
        match = _PATTERN.match(text, place)
        if match is None or match.lastgroup is None:
            raise Unread
        kind, found = match.lastgroup, match[match.lastgroup]
        if kind == "number" and grouped and brackets == 0 and (whole := GROUPED.match(text, place)):
            match, found = whole, whole[0].replace(",", "")
        place = match.end()
        if kind == "space":
            gap = True
            continue
        if kind == "number" and not gap and len(found) > 1 and found[0] == "0" and result and result[-1].kind == ",":
            raise Unread  # 1,00,000
        if kind == "symbol":
            found = {"**": "^", "$": "money"}.get(found, found)
            result.append(Token(found, "", gap))
        elif kind == "command":
            result.append(_command(found, gap))
        elif kind == "letters":
            result += _letters(found, gap)
        elif kind == "text":
            result += _text(found)
        else:
            result.append(Token(kind, found, gap))
        brackets += (found in _OPENING) - (found in _CLOSING)
        gap = False
    return result


def _command(name: str, gap: bool) -> Token:
    if name not in _COMMANDS:
        raise Unread
    return Token(*_COMMANDS[name], gap)


def _letters(run: str, gap: bool) -> list[Token]:
    word = run.lower() if len(run) > 1 else run
    if run in _WORDS or word in ("or", "and", "degrees", "infinity", "percent"):
        return [Token(*_WORDS[word], gap)]
    if len(run) == 1:
        return [Token("name", run, gap)]
    if word in _UNITS:
        return [Token("unit", _UNITS[word], gap)]
    glued = _GLUED.match(run)
    if glued:
        return [Token("function", glued[1], gap), Token(*_WORDS.get(glued[2], ("name", glued[2])))]
    if (
        word in _NOT_PRODUCTS
        or _NAMED.search(run)
        or (len(run) > 2 and (len(run) > 4 or list(run) != sorted(set(run))))
    ):
        raise Unread
    return [Token(*_WORDS.get(letter, ("name", letter))) for letter in run]


def _text(content: str) -> list[Token]:
    """Text in a box is units, "and" and "or"; of single letters only the upright constants e and i."""
    tokens: list[Token] = []
    for word in re.findall(r"[A-Za-z]+|[^A-Za-z\s]", content):
        if word in "/^23.,%":
            tokens += [] if word == "." else [Token("number" if word in "23" else word, word)]
        elif word in _BOXED_UNITS:
            tokens.append(Token("unit", _BOXED_UNITS[word]))
        elif len(word) > 1 or word in "ei":
            token = _letters(word, False)
            if len(token) > 1:
                raise Unread
            tokens += token
        else:
            raise Unread
    return tokens
