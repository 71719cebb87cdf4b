"""Picture of a pilot: for each arm its yield and the price of an accepted trace, with intervals."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.pictures import picture
from producer.pilot_forecast import ArmForecast
from tracemill.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours that colour-blind people can distinguish (Okabe and Ito 2008).
YIELD, PRICE, BARE, CUT_OFF, MALFORMED = "#0072B2", "#D55E00", "#E69F00", "#CC79A7", "#888888"


def draw(path: Path, title: str, forecasts: Sequence[ArmForecast]) -> None:
    """Write the picture with one line an arm. The suffix of `path` decides between SVG and PNG."""
    arms = [arm.job.partition(":")[2] for arm in forecasts]
    has_prices = all(arm.cost for arm in forecasts)
    prices = [arm.cost_per_accepted if has_prices else arm.tokens_per_accepted for arm in forecasts]
    with picture(path, title, height=2.2 + 0.45 * len(arms)) as figure:
        shares, costs, faults = figure.subplots(1, 3, sharey=True)
        _points(shares, [_percent(arm.accepted_share) for arm in forecasts], YIELD, "accepted traces, %")
        _points(costs, prices, PRICE, f"{'cost' if has_prices else 'tokens'} per accepted trace")
        for offset, colour, name in ((-0.25, BARE, "bare"), (0, CUT_OFF, "cut off"), (0.25, MALFORMED, "malformed")):
            values = [100 * getattr(arm, name.replace(" ", "_")).value for arm in forecasts]
            faults.barh([row + offset for row in range(len(arms))], values, height=0.22, color=colour, label=name)
        faults.set(xlabel="traces that fail, %", xlim=(0, 100))
        faults.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3, frameon=False)
        shares.set(yticks=range(len(arms)), yticklabels=arms, xlim=(0, 100))
        shares.invert_yaxis()
        costs.set_xlim(left=0)
        for panel in (shares, costs, faults):
            panel.grid(axis="x", alpha=0.25)


def _points(axes: "Axes", intervals: Sequence[Interval | None], colour: str, label: str) -> None:
    for row, interval in enumerate(intervals):
        if interval is not None:
            value, low, high = interval
            axes.errorbar([value], [row], xerr=([value - low], [high - value]), fmt="o", capsize=3, color=colour)
    axes.set_xlabel(label)


def _percent(interval: Interval) -> Interval:
    return Interval(*(100 * value for value in interval))
