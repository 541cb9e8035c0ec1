"""Tables on the operator's screen. Pure."""

from __future__ import annotations

from typing import Any, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in which the first cell of a row is its group: each group has its own heading line.

    Columns are as wide as their widest cell; one that is empty everywhere is left out, and so is the heading of an unnamed
    group.
    """
    cells = [[str(c) for c in row] for row in rows]
    keep = [i for i in range(1, len(head)) if any(row[i] for row in cells)]
    widths = [max(len(row[i]) for row in [list(head), *cells]) for i in keep]

    def line(row: Sequence[str]) -> str:
        return ("  " + "  ".join(row[i].ljust(w) for i, w in zip(keep, widths))).rstrip()

    lines: list[str] = [line(head)]
    for n, row in enumerate(cells):
        if row[0] and (n == 0 or row[0] != cells[n - 1][0]):
            lines.append(row[0])
        lines.append(line(row))
    return "\n".join(lines)
