"""The contestants as a picture: wall time with its range, and the longest outage. SVG, by hand. Pure."""

from __future__ import annotations

import math
from html import escape
from typing import Sequence

from bench import report, stats
from bench.stats import Record, Spread

WIDTH, LEFT, RIGHT, TOP, ROW = 860, 150, 90, 66, 54
PAPER, INK, QUIET, GRID = "#ffffff", "#1f2328", "#59636e", "#d8dee4"
OURS, OTHERS, OUT = "#0a69da", "#8c959f", "#cf222e"
TEXT = 'font-family="system-ui, sans-serif" font-size="13"'


def ticks(most: float) -> list[float]:
    """Round numbers from 0 up to the first that is no less than ``most``, eight of them at most."""
    most = max(most, 0.1)
    raw = most / 7
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * base for factor in (1, 2, 5, 10) if factor * base >= raw)
    return [round(n * step, 6) for n in range(math.ceil(most / step - 1e-9) + 1)]


def svg(records: Sequence[Record]) -> str:
    """The picture; contestants that have no figures are left out."""
    walls = {name: stats.spread(records, name, "wall") for name in report.WHO}
    rows = [(name, wall) for name, wall in walls.items() if wall]
    marks = ticks(max((wall.most for _name, wall in rows), default=1.0))
    scale = (WIDTH - LEFT - RIGHT) / marks[-1]
    height = TOP + ROW * len(rows) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        "<title>Wall time and longest outage of each contestant, in seconds</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>',
        _text(16, 26, "From one release to the next: four services, one machine", INK, "start", 'font-weight="600"'),
        f'<rect x="16" y="40" width="12" height="12" fill="{OURS}"/>',
        _text(34, 51, "wall time, seconds (blue: this project; line: least to most)", QUIET),
        f'<rect x="420" y="40" width="12" height="12" fill="{OUT}"/>',
        _text(438, 51, "longest outage of the API, seconds", QUIET),
    ]
    bottom = TOP + ROW * len(rows)
    for mark in marks:
        x = LEFT + mark * scale
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"/>')
        parts.append(_text(x, bottom + 20, f"{mark:g}", QUIET, "middle"))
    for n, (name, wall) in enumerate(rows):
        parts += _row(name, wall, stats.spread(records, name, "outage"), TOP + ROW * n, scale)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _row(name: str, wall: Spread, outage: Spread | None, y: int, scale: float) -> list[str]:
    colour = OURS if name in ("rollout", "start-first") else OTHERS
    least, most, middle = (LEFT + value * scale for value in (wall.least, wall.most, wall.median))
    centre = y + 20
    parts = [
        _text(LEFT - 10, y + 25, name, INK, "end"),
        f'<rect x="{LEFT}" y="{y + 10}" width="{middle - LEFT:.1f}" height="20" fill="{colour}"/>',
        f'<path d="M{least:.1f} {centre}H{most:.1f}M{least:.1f} {centre - 5}v10M{most:.1f} {centre - 5}v10" '
        f'stroke="{INK}" stroke-width="1.5" fill="none"/>',
        _text(most + 8, y + 25, f"{wall.median:.1f}", INK),
    ]
    if outage:
        width = outage.median * scale
        parts.append(f'<rect x="{LEFT}" y="{y + 33}" width="{width:.1f}" height="8" fill="{OUT}"/>')
        parts.append(_text(LEFT + width + 6, y + 42, f"{outage.median:.2f}", OUT))
    return parts


def _text(x: float, y: float, said: str, colour: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" {TEXT} {more}>{escape(said)}</text>'
