"""A calibration as one picture: for each signal its reliability curve, and how right and wrong traces score."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from tracemill.errors import UsageError
from tracemill.verification.calibration import Measured, Rated, why_not

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".svg", ".png")
#: Told apart by everybody (Okabe and Ito 2008).
RIGHT, WRONG, CURVE, FAINT = "#0072B2", "#D55E00", "#333333", "#888888"
COLUMNS = 20  # of the histogram
#: Scores within a narrower part of their scale than this are shown enlarged.
NARROW = 0.4


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def check_picture(path: Path) -> None:
    """Raise UsageError unless a picture can be written there; makes its folder."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--picture {path}: a picture's name ends in {' or '.join(FORMATS)}")
    if not can_draw():
        raise UsageError("--picture needs matplotlib: pip install 'tracemill[pictures]'")
    path.parent.mkdir(parents=True, exist_ok=True)


def draw(path: Path, title: str, rows: Sequence[Rated], measured: Sequence[Measured], above: float) -> None:
    """Write the picture, as SVG or PNG by the name's ending: one row a signal."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "tracemill", "font.size": 9, "axes.titlesize": 10}):
        # A Figure of its own draws into memory: no window, no state shared with other figures.
        figure = Figure(figsize=(10, 0.7 + 3.3 * len(measured)), layout="constrained")
        figure.suptitle(fill(title, 100), fontsize=11, parse_math=False)
        axes = figure.subplots(len(measured), 2, squeeze=False)
        for (left, right), m in zip(axes, measured, strict=True):
            window = _window(m)
            _curve(left, m, above)
            _histogram(right, m, rows, window)
            for panel, label in ((left, "mean score of the bin"), (right, "score")):
                panel.set(xlim=window, xlabel=label if window == (m.lowest, 1) else f"{label} (part of the scale)")
                panel.locator_params(axis="x", nbins=5)
        undated = {"Date": None} if path.suffix.lower() == ".svg" else {}
        figure.savefig(path, dpi=150, metadata=undated)


def _window(m: Measured) -> tuple[float, float]:
    """The part of the signal's scale that is shown: all of it, or where the scores are."""
    low, high = m.bins[0].low, m.bins[-1].high
    if high - low >= NARROW * (1 - m.lowest):
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
    edges = [low + (high - low) * n / COLUMNS for n in range(COLUMNS + 1)]
    for correct, colour, name, count in ((True, RIGHT, "right", m.n_right), (False, WRONG, "wrong", m.n_wrong)):
        scores = [row.scores[m.signal] for row in rows if row.correct == correct and m.signal in row.scores]
        axes.hist(
            scores, edges, weights=[1 / count] * count, histtype="stepfilled", alpha=0.35, color=colour,
            label=f"{count} {name}",
        )  # fmt: skip
        axes.hist(scores, edges, weights=[1 / count] * count, histtype="step", linewidth=1.2, color=colour)
    axes.set_title("scores of right and of wrong traces", loc="left")
    axes.set(ylabel="share of these traces")
    axes.grid(axis="y", alpha=0.25)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
