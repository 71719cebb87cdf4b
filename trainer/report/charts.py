"""Charts of a report as SVG in the page; the style sheet of the page colours them, light and dark."""

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import NamedTuple

from markupsafe import Markup

from tracemill.statistics import Interval
from trainer.report.facts import Bins

#: Narrow enough for a telephone, where the page shows it at three quarters of its size.
WIDTH = 400
#: Height of a row, and of a line of a label; characters that fit into one.
ROW, LINE, LINE_CHARACTERS = 22, 16, 56


class Mark(NamedTuple):
    """One share in a chart of intervals; the series is `before`, `after` or `control`."""

    series: str
    share: Interval


def intervals(groups: Mapping[str, Sequence[Mark]], title: str) -> Markup:
    """Shares with 95 % intervals, one in a row, in labelled groups, on one scale from 0 %."""
    top = _ceiling(100 * max(mark.share.high for marks in groups.values() for mark in marks), 10)
    left, right = 16, WIDTH - 60

    def x(share: float) -> float:
        return left + 100 * share / top * (right - left)

    parts: list[Markup] = []
    y = 14.0
    for label, marks in groups.items():
        for line in wrap(label, LINE_CHARACTERS):
            parts.append(_text(0, y, line, "label"))
            y += LINE
        for mark in marks:
            value, low, high = mark.share
            tip = f"{mark.series}: {100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
            parts.append(
                Markup(
                    '<g class="{series}"><title>{tip}</title>'
                    '<line x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
                    '<circle cx="{value:.1f}" cy="{y:.1f}" r="5"/></g>'
                ).format(series=mark.series, tip=tip, low=x(low), high=x(high), value=x(value), y=y)
            )
            parts.append(_text(x(high) + 8, y + 4, f"{100 * value:.1f} %", "value"))
            y += ROW
        y += 10
    grid = [_upright(x(tick / 100), 4, y - 6, f"{tick:g} %") for tick in _ticks(0, top)]
    return _svg(title, y + 16, [*grid, *parts])


def lines(series: Mapping[str, Sequence[tuple[float, float]]], title: str, across: str) -> Markup:
    """Curves through (x, y) points, by series, from y = 0."""
    points = [point for curve in series.values() for point in curve]
    last, y_ticks = max(x for x, _ in points), _ticks(0, max(y for _, y in points))
    left, right, bottom = 50, WIDTH - 20, 210

    def x(value: float) -> float:
        return left + value / last * (right - left)

    def y(value: float) -> float:
        return bottom - value / y_ticks[-1] * (bottom - 10)

    parts = [_upright(x(tick), 10, bottom, f"{tick:g}") for tick in _ticks(0, last) if tick <= last]
    for tick in y_ticks:
        level = Markup('<line class="grid" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(level.format(left, right, y=y(tick)))
        parts.append(_text(left - 6, y(tick) + 4, f"{tick:g}", "tick", "end"))
    for name, curve in series.items():
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in curve)
        parts.append(Markup('<polyline class="curve {}" points="{}"/>').format(name, path))
    parts.append(_text(right, bottom + 34, across, "tick", "end"))
    return _svg(title, bottom + 40, parts)


def histogram(bins: Bins, title: str) -> Markup:
    """The distributions of two groups of traces, each in shares of its group."""
    width, bottom = 260, 96
    groups = [(name, counts) for name, counts in (("others", bins.others), ("trained", bins.trained)) if sum(counts)]
    highest = max(count / sum(counts) for _, counts in groups for count in counts)
    step = (width - 20) / len(bins.trained)
    parts: list[Markup] = []
    for name, counts in groups:
        for index, count in enumerate(counts):
            tall = count / sum(counts) / highest * (bottom - 10)
            parts.append(
                Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                    name, 10 + index * step + 1, bottom - tall, max(1.0, step - 2), tall
                )
            )
    parts.append(Markup('<line class="axis" x1="10" x2="{}" y1="{y}" y2="{y}"/>').format(width - 10, y=bottom))
    parts.append(_text(10, bottom + 16, f"{bins.low:g}", "tick"))
    parts.append(_text(width - 10, bottom + 16, f"{bins.high:g}", "tick", "end"))
    return _svg(title, bottom + 24, parts, width)


def _svg(title: str, height: float, parts: Sequence[Markup], width: int = WIDTH) -> Markup:
    return Markup('<svg role="img" aria-label="{}" viewBox="0 0 {} {:.0f}">{}</svg>').format(
        title, width, height, Markup().join(parts)
    )


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, words)


def _upright(x: float, top: float, bottom: float, words: str) -> Markup:
    """A vertical line of the grid with its label below."""
    line = Markup('<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(top, bottom, x=x)
    return line + _text(x, bottom + 16, words, "tick", "middle")


def _ceiling(value: float, step: float) -> float:
    return max(step, math.ceil(value / step) * step)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers; the first is at most `low`, the last at least `high`."""
    rough = ((high - low) or 1.0) / 5
    power: float = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough * 0.999)
    first = math.floor(low / step)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    return [round(step * n, 10) for n in range(first, last + 1)]
