r"""Normalize the spelling of values: digits, signs, fractions, LaTeX.

`tidy` removes only the marks around a value (Markdown, ``$…$``, a final dot); the rest stays as the trace wrote it.
`plain` rewrites a value for comparison: ``\dfrac12`` becomes ``\frac{1}{2}``, ``½`` becomes ``1/2``, ``1{,}000``
becomes ``1,000``, and ``\text{ cm}`` becomes `` cm``.
"""

import re
import unicodedata

MAX_VALUE_LENGTH = 2_000  # characters of one value; longer values are cut

_PAIRS = (("__", "__"), ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("“", "”"), ('"', '"'), ("`", "`"))
_SYMBOLS = str.maketrans({
    "π": r"\pi ", "∞": r"\infty ", "·": r"\cdot ", "⋅": r"\cdot ", "×": r"\times ", "÷": "/", "∪": r"\cup ",
    "∩": r"\cap ", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "∈": r"\in ",
    "∅": r"\emptyset ",
    "±": r"\pm ", "≈": r"\approx ", "⟨": r"\langle ", "⟩": r"\rangle ", "θ": r"\theta ", "α": r"\alpha ",
    "β": r"\beta ", "λ": r"\lambda ", "φ": r"\phi ", "ω": r"\omega ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}",
    "−": "-", "–": "-", "‑": "-", "‐": "-", "－": "-", "﹣": "-", "⁄": "/", "∕": "/", "，": ",", "％": "%", "：": ":",
    "（": "(", "）": ")", "．": ".", "＝": "=", "＋": "+", "′": "'", "’": "'", "‘": "'", "″": '"', "º": "°", "˚": "°",
    "、": ", ", "٪": "%", "٫": ".", "٬": ",", "￥": "¥", "\u00a0": " ", "\u202f": " ",
    "\u2009": " ", "\u200b": "", "\u2060": "", "\ufeff": "", "\u2061": "",
})  # fmt: skip
_ORNAMENTS = re.compile("[✅✔☑🎉🎯⭐✨\ufe0f]")
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_SUBSCRIPTS = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_ON_THE_LINE = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ₀₁₂₃₄₅₆₇₈₉", "0123456789+-n0123456789")
_DOLLAR_MATH = re.compile(r"(?<!\\)\$")
_BOLD_TEXT = re.compile(r"(?<![\w)\]}])\*\*(?=\S)([^*\n]{1,300})\*\*(?!\w)")
_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mathit|mbox|operatorname|hbox)\s?\{([^{}]{0,300})\}"
)
_LATEX = tuple((re.compile(pattern), new) for pattern, new in (
    (r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|limits|mathop|mathrm|bf|rm)(?![A-Za-z])", ""),
    (r"(?<!\\)\\[()\[\]]", ""),
    (r"\\(?:tiny|small|normalsize|large|Large|LARGE|huge|Huge|boldsymbol|mathcal|bm)(?![A-Za-z])", ""),
    (r"(?<=\d),\\!\s?(?=\d{3})", ","),
    (r"\\!|\{\}(?=\d)", ""),
    (r"\\[,;:> ~]|\\q?quad(?![a-z])|~|\\hspace\s?\{[^{}]{0,20}\}|\\(?:thin|med|thick)?space(?![a-z])", " "),
    (r"\{,\}|(?<=\d)\\,(?=\d{3})", ","),
    (r"\\[dtc]frac(?![a-z])", r"\\frac"),
    (r"\^\s?(?:\{\s?\\prime\s?\}|\\prime(?![a-z]))", "'"),
    (r"\^\s?\{?\s?\\(?:top|intercal)(?![a-z])\s?\}?", "^T"),
    (r"\\(?:long)?rightarrow(?![a-z])", r"\\to "),
    (r"\\frac\s{0,2}(\d)\s{0,2}(\d)", r"\\frac{\1}{\2}"),
    (r"\\frac\s{0,2}(\d|[a-z])\s{0,2}\{", r"\\frac{\1}{"),
    (r"(\\frac\s{0,2}\{[^{}]{1,100}\})\s{0,2}(\d|[a-z])", r"\1{\2}"),
    (r"\\sqrt\s{0,2}(\[\s{0,2}\w{1,3}\s{0,2}\])?\s{0,2}(\d|[a-z])(?![{\[])", r"\\sqrt\1{\2}"),
    (r"\\(?:\^)?(?:degrees?|textdegree)(?![A-Za-z])|\^\s?\{?\s?\\circ\s?\}?", "°"),
    (r"\\leq?(?:slant)?(?![a-z])", r"\\le "),
    (r"\\geq?(?:slant)?(?![a-z])", r"\\ge "),
    (r"\\to\s?(?=[^\s])", r"\\to "),
    (r"(\\(?:sum|prod)(?![a-z])\s?(?:\^\s?(?:\{[^{}]{1,40}\}|\w|\\infty)\s?)?_\s?\{\s?[A-Za-z]\s?)=", r"\1\\gets "),
    (r"\\(?:lt|gt)(?![a-z])", lambda match: "<" if match[0] == r"\lt" else ">"),
    (r"\\(?:varnothing|O)(?![a-zA-Z])", r"\\emptyset "),
    (r"\\(?:colon)(?![a-z])", ":"),
    (r"\\(?:euro|texteuro)(?![a-z])", "€"),
    (r"\\(?:pounds|textsterling)(?![a-z])", "£"),
    (r"\\minus(?![a-z])", "-"),
))  # fmt: skip
#: A command as JSON escapes it: two backslashes before its name.
_TWICE_ESCAPED = re.compile(r"\\\\(?=[A-Za-z])")
_WHOLE_BOX = re.compile(r"\\(?:boxed|fbox)\s?\{(.*)\}$", re.DOTALL)


def clean(value: str) -> str:
    """Remove NUL characters and replace lone surrogates."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode()


def tidy(value: str) -> str:
    """Remove Markdown, math delimiters, quotation marks and final punctuation."""
    value = value[:MAX_VALUE_LENGTH]
    previous = None
    while value != previous:
        previous = value
        value = value.strip().strip("*").strip().rstrip(",;:").strip()
        if value.endswith((".", "。")) and not value.endswith("..."):
            value = value[:-1]
        if not value or value[-1].isalnum():
            continue
        for left, right in _PAIRS:
            if len(value) > len(left + right) and value.startswith(left) and value.endswith(right):
                inner = value[len(left) : -len(right)]
                if left not in inner and right not in inner and not inner.endswith("\\"):
                    value = inner
    return value


def plain(value: str) -> str:
    """Rewrite `value` in the spelling that comparisons read. Takes linear time."""
    value = tidy(value).lstrip("= ")
    if not value.isascii():
        value = _ascii(value)
    if "$" in value and len(_DOLLAR_MATH.findall(value)) % 2 == 0:
        value = _DOLLAR_MATH.sub("", value)
    if "**" in value:
        value = _BOLD_TEXT.sub(r"\1", value).replace("**", "^")
    if "~" in value:
        value = re.sub(r"(?<=\d)~(?=\d{3}(?!\d))", ",", value)
        value = re.sub(r"(?:^|(?<=[\s(&|]))~(?=[A-Za-z(])", r"\\neg ", value)
    if "_" in value:
        value = re.sub(r"(?<=\d)_(?=\d{3}(?!\d))", "", value)
    if "\\" in value:
        value = _latex(value if r"\begin" in value else _TWICE_ESCAPED.sub(r"\\", value))
    if "sqrt" in value:
        value = re.sub(r"(?<![A-Za-z\\])sqrt\s?\(([^()]{1,100})\)", r"\\sqrt{\1}", value)
    value = re.sub(r"(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi ", value) if "pi" in value else value
    value = (
        re.sub(r"(?<![A-Za-z\\])(?:infinity|inf|oo)(?![A-Za-z])", r"\\infty ", value)
        if "inf" in value or "oo" in value
        else value
    )
    return " ".join(tidy(value).split())


def _ascii(value: str) -> str:
    value = _ORNAMENTS.sub("", value)
    value = _SUPERSCRIPTS.sub(lambda run: f"^{{{run[0].translate(_ON_THE_LINE)}}}", value)
    value = _SUBSCRIPTS.sub(lambda run: f"_{{{run[0].translate(_ON_THE_LINE)}}}", value)
    value = "".join(_ascii_char(char, value[index - 1] if index else "") for index, char in enumerate(value))
    value = value.translate(_SYMBOLS)
    for root, degree in (("√", ""), ("∛", "[3]"), ("∜", "[4]")):
        if root in value:
            value = re.sub(rf"{root}\s?\(([^()]{{1,100}})\)", rf"\\sqrt{degree}{{\1}}", value)
            value = re.sub(rf"{root}\s?\{{([^{{}}]{{1,100}})\}}", rf"\\sqrt{degree}{{\1}}", value)
            value = re.sub(rf"{root}\s?(\d{{1,20}}|[a-z])", rf"\\sqrt{degree}{{\1}}", value)
    return value


def _ascii_char(char: str, previous: str) -> str:
    """Rewrite digits of any script, fractions such as ⅔, and wide or styled letters."""
    if char.isascii() or char in "°×÷·":
        return char
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "No" and (fraction := unicodedata.normalize("NFKC", char)).count("⁄") == 1 and fraction[-1] != "⁄":
        return (" " if previous.isdigit() else "") + fraction
    narrow = unicodedata.normalize("NFKC", char)
    return narrow if len(narrow) == 1 and narrow.isascii() and (narrow.isalnum() or narrow in "$()[]{}<>/*") else char


def _latex(value: str) -> str:
    while (box := _WHOLE_BOX.match(value)) is not None:
        value = box[1]
    value = value.replace(r"\text{,}", "{,}")
    for _ in range(3):  # boxes nested up to three deep
        value, n_replaced = _TEXT.subn(r" \1 ", value)
        if not n_replaced:
            break
    value = value.replace(r"\$", "$").replace(r"\%", "%").replace(r"\#", "#").replace(r"\_", "_").replace(r"\&", "&")
    if r"\begin" in value:
        return re.sub(r"\\cr(?![a-z])", r"\\\\", value)  # spaces inside a matrix have a meaning
    for pattern, new in _LATEX:
        value = pattern.sub(new, value)
    return value
