"""Units of measure, with exact conversion factors.

"3 hours" equals "180 minutes"; "5 cm" does not equal "5 cm²". The factors are exact by definition (the international
yard and pound, NIST Handbook 44, appendix C). Any other word names the things that are counted: "12 apples".
"""

import re
from fractions import Fraction
from typing import NamedTuple

_TABLE = """
length 1 m м meter metre
length 1/1000 mm millimeter millimetre
length 1/1000000000 nm nanometer nanometre
length 1/1000000 μm µm um micrometer micrometre micron
length 1/100 cm см centimeter centimetre
length 1000 km км kilometer kilometre
length 127/5000 inch inches in
length 381/1250 foot feet ft
length 1143/1250 yard yd
length 201168/125 mile mi
mass 1 g г gram gramme
mass 1/1000 mg milligram
mass 1000 kg кг kilogram kilo
mass 1000000 tonne
mass 45359237/100000 pound lb lbs
mass 45359237/1600000 ounce oz
mass 45359237/50 ton
time 1 s second sec
time 1/1000 ms millisecond
time 60 minute min mins
time 3600 h hour hr hrs
time 86400 day
time 604800 week wk
month 1 month
month 12 year yr
volume 1 l L liter litre
volume 1/1000 ml milliliter millilitre
gallon 1 gallon gal
gallon 1/4 quart qt
gallon 1/8 pint pt
gallon 1/16 cup
angle 1 ° degree deg
radian 1 radian rad
dollar 1 $ dollar usd buck
dollar 1/100 cent ¢ penny pennies
euro 1 € euro eur
pound-sterling 1 £ gbp
yen 1 ¥ yen 円
yuan 1 元 块 yuan rmb cny
won 1 원 krw
ruble 1 ₽ руб рубль рубля рублей ruble rouble
zloty 1 zł zloty pln
hryvnia 1 ₴ грн hryvnia
rupee 1 ₹ rupee rs
energy 1 j J joule
energy 1000 kj kilojoule
force 1 n N newton
power 1 w W watt
power 1000 kw kilowatt
current 1 amp ampere
voltage 1 volt
frequency 1 hz hertz
pressure 1 pa pascal
speed-mph 1 mph
speed-kph 1 kph kmh
byte 1 byte
byte 1000 kb kilobyte
byte 1000000 MB megabyte
byte 1000000000 gb gigabyte
byte 1000000000000 tb terabyte
celsius 1 celsius centigrade
fahrenheit 1 fahrenheit
calorie 1 calorie cal
"""
_UNITS: dict[str, tuple[str, Fraction]] = {}
for _line in _TABLE.strip().splitlines():
    _dimension, _size, *_names = _line.split()
    for _name in _names:
        _UNITS[_name] = (_dimension, Fraction(_size))
        _UNITS.setdefault(_name + "s", (_dimension, Fraction(_size)))
del _UNITS["ins"], _UNITS["ss"], _UNITS["hs"]
_UNITS["mph"] = ("mph", Fraction(1))
_SPEEDS = {"mph": ("mile", "hour"), "kph": ("km", "hour"), "kmh": ("km", "hour")}
_ONE_LETTER_UNITS = frozenset("mgshlLJNW$€£¥¢°₹")
#: A number before one of these words is part of a calculation or of a doubt, not a quantity.
_NOT_UNITS = frozenset((
    "or", "and", "not", "plus", "minus", "times", "than", "squared", "cubed", "factorial", "choose", "mod", "modulo",
    "divided", "multiplied", "over", "root", "sqrt", "pi", "half", "halves", "third", "thirds", "quarter", "quarters",
    "fourth", "fourths", "fifth", "hundred", "thousand", "million", "billion", "trillion", "dozen", "percent", "to",
    "through", "if", "but", "maybe", "perhaps", "about", "between", "power", "raised", "remainder", "point", "base",
    "below", "above", "under", "out", "wrong", "incorrect", "false", "isn't", "wasn't", "except", "less", "fewer",
    "score", "grand", "gross", "mil", "mille", "dx", "dy", "dt", "dz", "xy", "yz", "xz", "ab", "bc", "ac", "pq", "uv",
    "ist", "falsch", "nicht", "oder", "bis", "faux", "ou", "falso", "errado", "incorrecto", "niet", "lub", "atau",
))  # fmt: skip
_FILLERS = frozenset((
    "of", "for", "from", "in", "on", "at", "with", "that", "who", "which", "will", "are", "is", "were", "was", "he",
    "she", "they", "it", "we", "left", "total", "altogether", "remaining", "each", "more", "overall", "again", "now",
    "away", "after", "before", "during", "this", "so", "because", "as", "by", "away", "every", "long", "tall", "wide",
    "high", "old", "deep", "apart", "early", "late",
))  # fmt: skip
_UNIT_TEXT = re.compile(r"(?:[^\W\d_]|[°$€£¥¢₹₽₴'/ ^{}.()-]){0,79}[23]?\}?(?:[^\W\d_]|[/ .°)]){0,40}$")
_POWER = re.compile(r"\s?\^\s?\{?\s?([23])\s?\}?")
_TEMPERATURE = re.compile(r"^(?:°|degrees?)\s?(C|F|Celsius|Fahrenheit)$", re.IGNORECASE)
_MEGA = re.compile(r"M[a-zA-Z]$|[KGT]b$")  # "Mm" and "MW" are no millimetres and milliwatts, "Gb" is a gigabit
_WORD = re.compile(r"(?:[^\W\d_]|')+(?:-[^\W\d_]+)?|[°$€£¥¢₹₽₴]|/")


class Unit(NamedTuple):
    """A unit: `size` base units of `measure`, a sorted list of dimensions and powers.

    The unit of a count has no measure; its `words` name the things that are counted.
    """

    size: Fraction
    measure: tuple[tuple[str, int], ...]
    words: frozenset[str]

    @property
    def is_none(self) -> bool:
        return not self.measure and not self.words


NONE = Unit(Fraction(1), (), frozenset())


def read(text: str) -> Unit | None:
    """Return the unit in `text`, the words after a number.

    `NONE` if there are no words; None if they are no unit.
    """
    if text.endswith(".."):
        return None
    text = text.strip().rstrip(".")
    if not text:
        return NONE
    if len(text) > 120 or not _UNIT_TEXT.match(text):
        return None
    text = re.sub(r"(?<=[A-Za-z])\.(?=\s|$)", "", text)  # sq. ft.
    text = _POWER.sub(lambda match: " squared " if match[1] == "2" else " cubed ", text)
    if re.search(r"(?:^|[\s/(-])\d", text):
        return None  # "ft 2 in", "/(-3)"
    text = re.sub(r"\bsq\b", "square", _TEMPERATURE.sub(_temperature, text)).replace("-", " ")
    words = [word if len(word) == 1 or _MEGA.match(word) else word.lower() for word in _WORD.findall(text)]
    if not words or any(word in _NOT_UNITS for word in words if word not in ("squared", "cubed")):
        return None
    if words[0] in ("squared", "cubed") or any(
        not word.isascii() and word not in _UNITS and word != "°" for word in words
    ):
        return None  # a word of another language may deny the number
    if any(len(word) == 1 and word.isascii() and word not in _ONE_LETTER_UNITS | {"/", "a"} for word in words):
        return None
    if words[0] not in ("in", "/") or len(words) > 1:
        words = _before_filler(words)
    return _parse_words(words)


def _temperature(match: re.Match[str]) -> str:
    return "celsius" if match[1][0] in "cC" else "fahrenheit"


def is_known(word: str) -> bool:
    """Return True for a unit of the table, such as "cm", and for a word that is no product of letters."""
    return (
        word in _UNITS
        or word.lower() in _UNITS
        or word.lower() in _SPEEDS
        or word in ("st", "nd", "rd", "th", "am", "pm", "x")
    )


def _before_filler(words: list[str]) -> list[str]:
    """Return the words before a filler: "pounds of apples in all" are pounds."""
    if words[0] in ("in", "per", "/", "a") and len(words) > 1 and words[1] not in ("total", "all"):
        return words
    for index, word in enumerate(words):
        if word in _FILLERS:
            return words[:index]
    return words


def _parse_words(words: list[str]) -> Unit:
    size, powers = Fraction(1), dict[str, int]()
    names: set[str] = set()
    sign, power = 1, 1
    last_unit: tuple[str, Fraction, int] | None = None
    for word in words:
        if word in ("per", "/", "a", "an"):
            sign = -1 if word in ("per", "/") or powers or names else sign
        elif word in ("square", "cubic"):
            power = 2 if word == "square" else 3
        elif word in ("squared", "cubed"):
            if last_unit is not None:
                added_power = (1 if word == "squared" else 2) * last_unit[2]
                powers[last_unit[0]] = powers.get(last_unit[0], 0) + added_power
                size *= last_unit[1] ** added_power
        elif word in _SPEEDS:
            for name, direction in zip(_SPEEDS[word], (1, -1), strict=True):
                dimension, factor = _UNITS[name]
                powers[dimension] = powers.get(dimension, 0) + direction
                size *= factor**direction
        elif (unit := _UNITS.get(word) or _UNITS.get(word.rstrip("s"))) is not None:
            dimension, factor = unit
            if powers.get(dimension, 0) * sign > 0:
                continue  # "minutes (min)"
            powers[dimension] = powers.get(dimension, 0) + sign * power
            size *= factor ** (sign * power)
            last_unit, power = (dimension, factor, sign), 1
        elif word not in ("unit", "units"):
            names.add(_singular(word))
    measure = tuple(sorted((name, power) for name, power in powers.items() if power))
    return Unit(size if measure else Fraction(1), measure, frozenset(names))


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("xes", "ches", "shes", "sses"):
        if word.endswith(ending):
            return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def sizes(dimension: str) -> dict[Fraction, list[str]]:
    """Return the units of a dimension: their names, by their size."""
    names_by_size: dict[Fraction, list[str]] = {}
    for name, (unit_dimension, size) in _UNITS.items():
        if unit_dimension == dimension:
            names_by_size.setdefault(size, []).append(name)
    return names_by_size
