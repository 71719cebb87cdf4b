"""Picture of a calibration: for each signal its reliability curve and a histogram of right and wrong traces."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.pictures import picture
from tracemill.verification.calibration import Measured, Rated, why_not

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours that colour-blind people can distinguish (Okabe and Ito 2008).
RIGHT, WRONG, CURVE, FAINT = "#0072B2", "#D55E00", "#333333", "#888888"
#: Bins of the histogram.
HISTOGRAM_BINS = 20
#: The axis is enlarged if all scores lie within this part of their scale.
MAX_ENLARGED = 0.4


def draw(path: Path, title: str, rows: Sequence[Rated], measured: Sequence[Measured], above: float) -> None:
    """Write the picture with one row a signal. The suffix of `path` decides between SVG and PNG."""
    with picture(path, title, height=0.7 + 3.3 * len(measured)) as figure:
        axes = figure.subplots(len(measured), 2, squeeze=False)
        for (left, right), m in zip(axes, measured, strict=True):
            window = _window(m)
            _curve(left, m, above)
            _histogram(right, m, rows, window)
            for panel, label in ((left, "mean score of the bin"), (right, "score")):
                panel.set(xlim=window, xlabel=label if window == (m.lowest, 1) else f"{label} (part of the scale)")
                panel.locator_params(axis="x", nbins=5)


def _window(m: Measured) -> tuple[float, float]:
    """Return the limits of the axis: the whole scale of the signal, or the range of the scores if it is small."""
    low, high = m.bins[0].low, m.bins[-1].high
    if high - low >= MAX_ENLARGED * (1 - m.lowest):
        return m.lowest, 1
    margin = (high - low) / 20 or 0.05
    return low - margin, high + margin


def _curve(axes: "Axes", m: Measured, above: float) -> None:
    value, low, high = m.auc
    verdict = "uninformative" if why_not(m, above) else "informative"
    axes.set_title(f"{m.signal}: AUC {value:.2f} [{low:.2f}, {high:.2f}], {verdict}", loc="left", fontweight="bold")
    if m.calibration_error is None:
        note = None
    else:
        note = f"calibration error {m.calibration_error:.2f}"
        axes.plot((0, 1), (0, 1), linestyle="--", linewidth=1, color=FAINT, label="score = share right")
    shares = [b.share for b in m.bins]
    axes.errorbar(
        [b.mean for b in m.bins],
        [s.value for s in shares],
        yerr=([s.value - s.low for s in shares], [s.high - s.value for s in shares]),
        marker="o",
        markersize=4,
        linewidth=1.2,
        elinewidth=1,
        capsize=2,
        color=CURVE,
        clip_on=False,
        label="share right, 95 % interval",
    )
    axes.set(ylim=(0, 1), ylabel="share right")
    axes.grid(alpha=0.25)
    axes.legend(
        title=note,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=2,
        frameon=False,
    )


def _histogram(axes: "Axes", m: Measured, rows: Sequence[Rated], window: tuple[float, float]) -> None:
    low, high = window
    edges = [low + (high - low) * n / HISTOGRAM_BINS for n in range(HISTOGRAM_BINS + 1)]
    for correct, colour, name, count in ((True, RIGHT, "right", m.n_right), (False, WRONG, "wrong", m.n_wrong)):
        scores = [row.scores[m.signal] for row in rows if row.correct == correct and m.signal in row.scores]
        weights, label = [1 / count] * count, f"{count} {name}"
        axes.hist(scores, edges, weights=weights, histtype="stepfilled", alpha=0.35, color=colour, label=label)
        axes.hist(scores, edges, weights=weights, histtype="step", linewidth=1.2, color=colour)
    axes.set_title("scores of right and wrong traces", loc="left")
    axes.set(ylabel="share of these traces")
    axes.grid(axis="y", alpha=0.25)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
