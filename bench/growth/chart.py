"""growth.svg: seconds of each phase, and the controller's CPU and memory, against the number of hosts. Pure; log axes."""

from __future__ import annotations

import math
from typing import Any, Mapping, Sequence
from xml.sax.saxutils import escape

from bench.growth import figures

Points = Sequence[tuple[int, float]]
WIDTH, HEIGHT, LEFT, TOP, GAP, LABELS = 420, 300, 60, 60, 110, 120
# Told apart without colour too: by dash and by the name at the end of each line.
LINES = {
    "wall": ("total", "#1f2937", ""),
    "switch": ("switch", "#b45309", ""),
    "stage": ("stage", "#1d4ed8", "6 3"),
    "settle": ("settle", "#047857", "2 3"),
    "cpu": ("CPU, s", "#7c3aed", ""),
    "peak_pss": ("memory, MiB", "#be123c", "6 3"),
}


def ticks(low: float, high: float) -> list[float]:
    """Powers of ten, with their doubles and fives, that span the values."""
    steps = [m * 10.0**e for e in range(-2, 7) for m in (1, 2, 5)]
    first = max((s for s in steps if s <= low), default=steps[0])
    last = min((s for s in steps if s >= high), default=steps[-1])
    return [s for s in steps if first <= s <= last]


def spread(wanted: Sequence[float], least: float) -> list[float]:
    """Heights of labels, in the order given, moved apart where they would cover each other."""
    out = dict(enumerate(wanted))
    above = -math.inf
    for n in sorted(out, key=lambda n: out[n]):
        out[n] = above = max(out[n], above + least)
    return [out[n] for n in range(len(wanted))]


def panel(title: str, lines: Mapping[str, Points], left: float, top: float) -> str:
    """One pair of axes with its lines, each named at its end."""
    values = [value for points in lines.values() for _, value in points if value > 0]
    sizes = sorted({hosts for points in lines.values() for hosts, _ in points})
    if not values:
        return ""
    steps = ticks(min(values), max(values))
    low, high = math.log(steps[0]), math.log(steps[-1])
    span = math.log(sizes[-1] / sizes[0]) or 1.0

    def x(hosts: int) -> float:
        return left + WIDTH * math.log(hosts / sizes[0]) / span

    def y(value: float) -> float:
        return top + HEIGHT * (1 - (math.log(value) - low) / ((high - low) or 1))

    out = [f'<text class="title" x="{left}" y="{top - 16}">{escape(title)}</text>']
    for step in steps:
        out.append(f'<path class="grid" d="M{left} {y(step):.1f}h{WIDTH}"/>')
        out.append(f'<text class="end" x="{left - 8}" y="{y(step) + 4:.1f}">{step:g}</text>')
    for hosts in sizes:
        out.append(f'<path class="grid" d="M{x(hosts):.1f} {top}v{HEIGHT}"/>')
        out.append(f'<text class="middle" x="{x(hosts):.1f}" y="{top + HEIGHT + 18}">{hosts}</text>')
    out.append(f'<text class="middle" x="{left + WIDTH / 2}" y="{top + HEIGHT + 38}">simulated hosts</text>')
    drawn = {name: [(x(hosts), y(value)) for hosts, value in points if value > 0] for name, points in lines.items()}
    drawn = {name: points for name, points in drawn.items() if points}
    heights = spread([points[-1][1] for points in drawn.values()], 15)
    for (name, points), height in zip(drawn.items(), heights, strict=True):
        label, colour, dash = LINES[name]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        out.append(f'<polyline points="{path}" stroke="{colour}" stroke-dasharray="{dash}"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
        out.append(f'<text x="{points[-1][0] + 10:.1f}" y="{height + 4:.1f}" fill="{colour}">{escape(label)}</text>')
    return "\n".join(out)


def svg(runs: Sequence[Mapping[str, Any]]) -> str:
    """A row of two panels for each series: phases, and what the controller needs."""
    kinds = figures.kinds(runs)
    row = HEIGHT + TOP + 70
    width, height = 2 * (LEFT + WIDTH + LABELS) + GAP - LABELS, row * len(kinds) + 10
    parts = []
    for n, (kind, serial) in enumerate(kinds):
        lines = {name: figures.series(runs, (kind, serial), name) for name in LINES}
        top = n * row + TOP
        phases = {name: lines[name] for name in ("wall", "switch", "stage", "settle")}
        costs = {"cpu": lines["cpu"], "peak_pss": [(hosts, size / figures.MIB) for hosts, size in lines["peak_pss"]]}
        name = f"{kind[:1].upper()}{kind[1:]}, rollout_serial {serial}"
        parts.append(panel(f"{name}: seconds", phases, LEFT, top))
        parts.append(panel(f"{name}: the controller's CPU and memory", costs, LEFT + WIDTH + GAP + LEFT, top))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">\n'
        "<title>Rollouts of simulated hosts: seconds of the phases, the controller's CPU and memory, by number of hosts</title>\n"
        "<style>text{font:13px sans-serif}.title{font-weight:bold}.end{text-anchor:end}.middle{text-anchor:middle}"
        ".grid{stroke:#d1d5db;fill:none}polyline{fill:none;stroke-width:2}</style>\n"
        f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
