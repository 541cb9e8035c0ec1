"""Figures as SVG, through matplotlib: the same bytes for the same figures, and letters that stay letters."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bench",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.h_pad": 0.15,
    "figure.constrained_layout.w_pad": 0.15,
}


def figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches; whatever is drawn on it has its room."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(SETTINGS)
    return Figure(figsize=(width, height), layout="constrained")


def svg(drawn: Figure, title: str) -> str:
    """The picture, with its title for those who do not see it."""
    out = io.StringIO()
    drawn.savefig(out, format="svg", metadata={"Date": None, "Title": title})
    return out.getvalue()
