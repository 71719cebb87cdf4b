r"""Tokenize a mathematical answer.

LaTeX, plain and Unicode spellings give the same few kinds of tokens. Only the notation of *answers* is known, not all
of LaTeX. An unknown command, word or sign raises `ParseError`. A run of letters is a function, a unit or a short
product (``xy``), never a word of prose.
"""

import re
import unicodedata
from typing import Final, NamedTuple


class ParseError(Exception):
    """The text cannot be parsed, or has more than one meaning."""


class Token(NamedTuple):
    kind: str
    text: str = ""
    gap: bool = False  # whether a space stands before it


END: Final = Token("")


class Cursor:
    """A position in a list of tokens."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.token = tokens[0] if tokens else END

    def take(self, kind: str = "") -> Token:
        """Return the current token and advance.

        Raises `ParseError` if it is not of `kind`.
        """
        token = self.token
        if kind and token.kind != kind:
            raise ParseError
        self.position += 1
        self.token = self.tokens[self.position] if self.position < len(self.tokens) else END
        return token

    def kind_after(self, ahead: int = 1) -> str:
        """Return the kind of the token `ahead` positions later; "" after the last token."""
        position = self.position + ahead
        return self.tokens[position].kind if position < len(self.tokens) else ""


FUNCTIONS: Final = frozenset(
    {"sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "asin", "acos", "atan", "ln", "log", "lg"}
    | {"sinh", "cosh", "tanh", "exp"}
)
# Commands, each with its kind of token.
_KINDS = {
    "cdot": "*", "times": "*", "ast": "*", "div": "/", "in": "in", "cup": "cup", "pm": "pm", "mp": "mp", "colon": ":",
    "le": "<=", "leq": "<=", "leqslant": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "lt": "<", "gt": ">",
    "ne": "!=", "neq": "!=", "mid": "mid", "lvert": "lvert", "rvert": "rvert", "vert": "|", "|": "lvert",
    "langle": "langle", "rangle": "rangle", "lbrace": r"\{", "rbrace": r"\}", "{": r"\{", "}": r"\}", "\\": r"\\",
    "circ": "circ", "degree": "degree", "emptyset": "empty", "varnothing": "empty", "infty": "infinity",
    "frac": "frac", "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "sqrt": "sqrt", "surd": "surd", "lor": "or",
    "binom": "binom", "dbinom": "binom", "tbinom": "binom", "%": "%", "$": "money",
    "to": "to", "gets": "gets", "differential": "differential", "side": "side",
}  # fmt: skip
GREEK = frozenset(
    ["alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa",
     "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi", "chi", "psi", "omega", "ell", "Gamma", "Delta",
     "Theta", "Lambda", "Xi", "Sigma", "Phi", "Psi", "Omega"]
)  # fmt: skip
_COMMANDS = (
    {name: (kind, "") for name, kind in _KINDS.items()}
    | {name: ("function", name) for name in FUNCTIONS}
    | {name: ("name", name) for name in GREEK}
    | {name: ("big", name) for name in ("sum", "prod", "int", "lim")}
    | {"pi": ("constant", "pi")}
)
_WORDS = {name: ("function", name) for name in FUNCTIONS} | {
    "pi": ("constant", "pi"), "e": ("constant", "e"), "i": ("constant", "i"), "sqrt": ("surd", ""), "per": ("/", ""),
    "and": ("and", ""), "or": ("or", ""), "infinity": ("infinity", ""), "inf": ("infinity", ""), "percent": ("%", ""),
    "degrees": ("degree", ""), "degree": ("degree", ""), "deg": ("degree", ""),
}  # fmt: skip
#: One unit a line. Its first name stands for all its spellings.
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
_SHORT_UNITS = {"m": "meter", "s": "second", "g": "gram", "h": "hour", "L": "liter", "mi": "mile"}
# Two letters that are a word, not a product. A longer run is a product only if its letters are in alphabetical order.
_NOT_PRODUCTS = frozenset(
    ["no", "on", "is", "it", "if", "of", "to", "in", "at", "an", "as", "am", "by", "be", "do", "go", "he", "me", "my",
     "so", "up", "us", "we", "hi", "ok", "oh", "ie", "eg", "vs", "pm"]
)  # fmt: skip
# "lnx" is no product of three letters.
_FUNCTION_NAME = re.compile("sin|cos|tan|cot|sec|csc|ln|log|exp|pi")
_FUNCTION_OF_LETTER = re.compile("(sin|cos|tan|cot|sec|csc|ln|log)([a-z])$")

_UNICODE = str.maketrans(
    {
        "π": r"\pi ", "∞": r"\infty ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "×": r"\times ", "÷": r"\div ",
        "∪": r"\cup ", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "∈": r"\in ",
        "∅": r"\emptyset ", "√": r"\surd ", "±": r"\pm ", "∓": r"\mp ", "°": r"\degree ",
        "⟨": r"\langle ", "⟩": r"\rangle ", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "→": r"\to ",
        "−": "-", "–": "-", "‑": "-", "‐": "-", "﹣": "-", "＋": "+", "＝": "=", "（": "(", "）": ")",
        "，": ",", "∣": "|",
        "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
        "⅕": r"\frac{1}{5}", "⅛": r"\frac{1}{8}", "⁄": "/", "∕": "/", "€": r"\text{euro}",
        "θ": r"\theta ", "α": r"\alpha ",
        "β": r"\beta ", "γ": r"\gamma ", "λ": r"\lambda ", "φ": r"\phi ", "ω": r"\omega ",
        "\u00a0": r"\,", "\u202f": r"\,", "\u2009": r"\,", "\u200b": "", "\u2061": "", "\u2062": "",
    }
)  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
# These are certainly thousands separators; "1,234" could also be a list.
_SEPARATOR = re.compile(r"(?<=\d)(?:\{,\}|,?\\[,!]|,\\ )\s?(?=\d{3}(?!\d))")
#: A number that could also be a list.
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
    |(?P<symbol><=|>=|!=|\*\*|[-+*/^_!()\[\]{},;:|&=<>%$'])""",
    re.VERBOSE,
)


def _ascii(text: str) -> str:
    text = re.sub("[⁰¹²³⁴-⁹⁺⁻ⁿ]+", lambda run: f"^{{{run[0].translate(_SUPERSCRIPTS)}}}", text)
    text = re.sub("[₀-₉]+", lambda run: f"_{{{run[0].translate(_SUBSCRIPTS)}}}", text).translate(_UNICODE)
    return "".join(str(unicodedata.decimal(char, char)) for char in text)


def tokens(text: str, grouped: bool) -> list[Token]:
    """Return the tokens of `text`. Raises `ParseError`.

    With `grouped`, "1,234" outside brackets is one number, otherwise a list.
    """
    if not text.isascii():
        text = _ascii(text)
    text = _SEPARATOR.sub("", text)
    result: list[Token] = []
    position, depth, gap = 0, 0, False
    while position < len(text):
        match = _PATTERN.match(text, position)
        if match is None or match.lastgroup is None:
            raise ParseError
        kind, content = match.lastgroup, match[match.lastgroup]
        if kind == "number" and grouped and depth == 0 and (grouped_number := GROUPED.match(text, position)):
            match, content = grouped_number, grouped_number[0].replace(",", "")
        position = match.end()
        if kind == "space":
            gap = True
            continue
        if (
            kind == "number"
            and not gap
            and len(content) > 1
            and content[0] == "0"
            and result
            and result[-1].kind == ","
        ):
            raise ParseError  # 1,00,000
        if kind == "symbol":
            content = {"**": "^", "$": "money"}.get(content, content)
            result.append(Token(content, "", gap))
        elif kind == "command":
            result.append(_command_token(content, gap))
        elif kind == "letters":
            result += _letter_tokens(content, gap)
        elif kind == "text":
            result += _text_tokens(content)
        else:
            result.append(Token(kind, content, gap))
        depth += (content in _OPENING) - (content in _CLOSING)
        gap = False
    return result


def _command_token(name: str, gap: bool) -> Token:
    if name not in _COMMANDS:
        raise ParseError
    return Token(*_COMMANDS[name], gap)


def _letter_tokens(run: str, gap: bool) -> list[Token]:
    word = run.lower() if len(run) > 1 else run
    if run in _WORDS or word in ("or", "and", "degrees", "infinity", "percent"):
        return [Token(*_WORDS[word], gap)]
    if len(run) == 1:
        return [Token("name", run, gap)]
    if word in _UNITS:
        return [Token("unit", _UNITS[word], gap)]
    function = _FUNCTION_OF_LETTER.match(run)
    if function:
        return [Token("function", function[1], gap), Token(*_WORDS.get(function[2], ("name", function[2])))]
    if (
        word in _NOT_PRODUCTS
        or _FUNCTION_NAME.search(run)
        or (len(run) > 2 and (len(run) > 4 or list(run) != sorted(set(run))))
    ):
        raise ParseError
    return [Token(*_WORDS.get(letter, ("name", letter))) for letter in run]


def _text_tokens(content: str) -> list[Token]:
    """Return the tokens in ``\\text{…}``: units, "and", "or", the constants e and i."""
    tokens: list[Token] = []
    for word in re.findall(r"[A-Za-z]+|[^A-Za-z\s]", content):
        if word in "/^23.,%":
            tokens += [] if word == "." else [Token("number" if word in "23" else word, word)]
        elif word in _SHORT_UNITS:
            tokens.append(Token("unit", _SHORT_UNITS[word]))
        elif len(word) > 1 or word in "ei":
            token = _letter_tokens(word, False)
            if len(token) > 1:
                raise ParseError
            tokens += token
        else:
            raise ParseError
    return tokens
