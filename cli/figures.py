"""Values as people read them: rounded figures, durations, times, lists and nested settings. `--json` stays exact."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

#: Elements of a list longer than this, in characters, get a line each.
MAX_LISTED = 40
#: Smaller figures have an exponent.
SMALLEST = 1e-6


def shown(value: Any) -> str:
    """Return the text of any value of a row."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float() | Decimal():
            return figure(value)
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case timedelta():
            return duration(value.total_seconds())
        case Mapping():
            return ", ".join(f"{name} {shown(leaf)}".strip() for name, leaf in leaves(value))
        case list() | tuple():
            return _listed([shown(element) for element in value])
        case _:
            return str(value)


def figure(value: float | Decimal) -> str:
    """Round to four significant digits, and from 1,000 on to a whole number: 0.2069, 872.7, 74153, never 2.2e+04."""
    number = float(value)
    if not math.isfinite(number):
        return str(number)
    if abs(number) >= 1000:
        return f"{value:.0f}"
    if number == 0:
        return "0"
    return f"{number:.2g}" if abs(number) < SMALLEST else format(Decimal(f"{number:.4g}"), "f")


def duration(seconds: float) -> str:
    """Return seconds in the two largest units: 12 s, 14 min 33 s, 3 h 5 min, 2 d 4 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, smaller, smaller_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller_size} {smaller}"
    return f"{whole} s"


def rough_duration(seconds: float) -> str:
    """Return seconds in one unit, for estimates."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def leaves(nested: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested settings, each with its dotted name."""
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{under}{name}.")
        else:
            yield f"{under}{name}", value


def _listed(elements: Sequence[str]) -> str:
    is_short = all(len(element) <= MAX_LISTED and "," not in element and "\n" not in element for element in elements)
    return (", " if is_short else "\n").join(elements)
