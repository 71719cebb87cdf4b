"""Pictures that commands write with matplotlib, which is an optional dependency."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from tracemill.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png")


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def check_picture(path: Path) -> None:
    """Raise UsageError unless a picture can be written to `path`. Creates nothing."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--picture {path}: the name of a picture must end in {' or '.join(FORMATS)}")
    if not can_draw():
        raise UsageError("--picture needs matplotlib: pip install 'tracemill[pictures]'")
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"--picture {path}: {folder} is not a folder that this user may write to")


@contextmanager
def picture(path: Path, title: str, height: float) -> Iterator["Figure"]:
    """Yield a figure 10 inches wide and write it. The suffix of `path` decides between SVG and PNG."""
    import matplotlib
    from matplotlib.figure import Figure

    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "tracemill", "font.size": 9, "axes.titlesize": 10}):
        # A Figure without pyplot opens no window and shares no state with other figures.
        figure = Figure(figsize=(10, height), layout="constrained")
        figure.suptitle(fill(title, 100), fontsize=11, parse_math=False)
        yield figure
        undated = {"Date": None} if path.suffix.lower() == ".svg" else {}
        figure.savefig(path, dpi=150, metadata=undated)
