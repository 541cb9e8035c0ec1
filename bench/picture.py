"""The contestants as a picture: wall time with its range, and the longest outage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

from bench import drawn, report, stats
from bench.stats import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, OURS, OTHERS, OUT = "#1f2328", "#0a69da", "#8c959f", "#cf222e"


def figure(records: Sequence[Record]) -> Figure:
    """A bar for each contestant with its range, and below it one for its outage; those without figures are left out."""
    walls = {name: stats.spread(records, name, "wall") for name in report.WHO}
    rows = [(name, wall) for name, wall in walls.items() if wall]
    out = drawn.figure(9, 1.6 + 0.5 * len(rows))
    axes = out.subplots()
    for n, (name, wall) in enumerate(rows):
        axes.barh(n, wall.median, 0.4, color=OURS if name in ("rollout", "start-first") else OTHERS)
        axes.errorbar(wall.median, n, xerr=[[wall.median - wall.least], [wall.most - wall.median]], color=INK, capsize=4)
        axes.annotate(f"{wall.median:.1f}", (wall.most, n), (8, 0), textcoords="offset points", va="center", color=INK)
        outage = stats.spread(records, name, "outage")
        if outage:
            axes.barh(n + 0.32, outage.median, 0.16, color=OUT)
            place = (outage.median, n + 0.32)
            axes.annotate(f"{outage.median:.2f}", place, (6, 0), textcoords="offset points", va="center", color=OUT, size=9)
    axes.set_yticks(range(len(rows)), [name for name, _wall in rows])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.4)
    axes.set_axisbelow(True)
    axes.set_title("From one release to the next: four services, one machine", loc="left", weight="bold")
    axes.set_xlabel("seconds: wall time (blue: this project; line: least to most), below it in red the longest outage of the API")
    return out


def svg(records: Sequence[Record]) -> str:
    """The picture as a file."""
    return drawn.svg(figure(records), "Wall time and longest outage of each contestant, in seconds")
