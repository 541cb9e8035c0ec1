"""growth.svg: seconds of each phase, and the controller's CPU and memory, against the number of hosts; log axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Sequence

from bench import drawn
from bench.growth import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Told apart without colour too.
LINES = {
    "wall": ("total", "#1f2937", "-"),
    "switch": ("switch", "#b45309", "-."),
    "stage": ("stage", "#1d4ed8", "--"),
    "settle": ("settle", "#047857", ":"),
    "cpu": ("CPU, s", "#7c3aed", "-"),
    "peak_pss": ("memory, MiB", "#be123c", "--"),
}
PANELS = {"seconds": ("wall", "switch", "stage", "settle"), "the controller's CPU and memory": ("cpu", "peak_pss")}


def figure(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """A row of two panels for each series: phases, and what the controller needs."""
    from matplotlib.ticker import LogLocator

    kinds = figures.kinds(runs)
    out = drawn.figure(11, 4 * len(kinds))
    grid = out.subplots(len(kinds), len(PANELS), squeeze=False)
    for row, (kind, serial) in zip(grid, kinds, strict=True):
        for axes, (what, names) in zip(row, PANELS.items(), strict=True):
            for name in names:
                points = [(hosts, value) for hosts, value in figures.series(runs, (kind, serial), name) if value > 0]
                label, colour, dash = LINES[name]
                unit = figures.MIB if name == "peak_pss" else 1
                axes.plot([h for h, _ in points], [v / unit for _, v in points], dash, color=colour, label=label, marker="o")
            sizes = sorted({run["hosts"] for run in runs})
            axes.set(xscale="log", yscale="log", xlabel="simulated hosts")
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
            axes.set_title(f"{kind[:1].upper()}{kind[1:]}, rollout_serial {serial}: {what}", loc="left", weight="bold", size=10)
            axes.grid(alpha=0.4)
            axes.legend(frameon=False)
    return out


def svg(runs: Sequence[Mapping[str, Any]]) -> str:
    """The picture as a file."""
    words = "Rollouts of simulated hosts: seconds of the phases, the controller's CPU and memory, by number of hosts"
    return drawn.svg(figure(runs), words)
