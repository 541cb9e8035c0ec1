"""What the raw runs mean: phases, growth from one size of fleet to the next, the page. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import median
from typing import Any, Iterable, Mapping, Optional, Sequence

Run = Mapping[str, Any]
# What is told of each size of fleet: key of a run, title, unit.
PHASES = {"plan": "plan", "stage": "stage", "switch": "switch", "settle": "settle", "after": "revert plays and report"}
FIGURES = {**PHASES, "wall": "total", "cpu": "controller CPU", "peak_pss": "controller memory"}
MIB = 2**20
# Where the play of that name begins, so does the phase.
_BEGINS = {
    "Plan the rollout": "plan",
    "Stage on every host": "stage",
    "Switch the backend": "switch",
    "Switch the CPU workers": "switch",
    "Settle": "settle",
    "Revert": "after",
}


def phases(tasks: Iterable[Mapping[str, Any]], wall: float) -> dict[str, float]:
    """Seconds of each phase; together they are the wall.

    Args:
        tasks: as the callback writes them.
        wall: seconds of the whole command; Python's start and end, which belong to no task, go to the plan.
    """
    out = dict.fromkeys(PHASES, 0.0)
    phase = "plan"
    for task in tasks:
        phase = _BEGINS.get(task["play"], phase)
        out[phase] += task["wall"]
    out["plan"] += wall - sum(out.values())
    return {name: round(value, 2) for name, value in out.items()}


def by_task(tasks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tasks of one name together, the longest first."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for task in tasks:
        row = rows.setdefault(
            (task["task"], task["action"]),
            {"task": task["task"], "action": task["action"], "times": 0, "done": 0, "skipped": 0, "wall": 0.0},
        )
        row["times"] += 1
        for key in ("done", "skipped", "wall"):
            row[key] += task[key]
    return sorted(rows.values(), key=lambda row: -row["wall"])


def kinds(runs: Iterable[Run]) -> list[tuple[str, int]]:
    """The series that were measured: action (rollout, no-op) and serial, in the order of the runs."""
    return list(dict.fromkeys((run["kind"], run["serial"]) for run in runs))


def series(runs: Iterable[Run], kind: tuple[str, int], figure: str) -> list[tuple[int, float]]:
    """Size of fleet -> median of a figure, of one series."""
    found: dict[int, list[float]] = defaultdict(list)
    for run in runs:
        if (run["kind"], run["serial"]) == kind and run.get(figure) is not None:
            found[run["hosts"]].append(float(run[figure]))
    return [(hosts, median(values)) for hosts, values in sorted(found.items())]


def exponent(points: Sequence[tuple[int, float]]) -> Optional[float]:
    """How a figure grows between two sizes, as the exponent of the number of hosts: 0 not at all, 1 linearly, 2 squared."""
    if len(points) < 2 or points[-2][1] <= 0 or points[-1][1] <= 0:
        return None
    (small, low), (large, high) = points[-2:]
    return math.log(high / low) / math.log(large / small)


def per_host(points: Sequence[tuple[int, float]]) -> Optional[float]:
    """What each further host adds between the two largest sizes."""
    if len(points) < 2:
        return None
    (small, low), (large, high) = points[-2:]
    return (high - low) / (large - small)


def growth_word(power: float) -> str:
    """An exponent in words."""
    if power < 0.25:
        return "hardly grow"
    if power < 0.8:
        return "grow less than linearly"
    return "grow linearly" if power <= 1.2 else "grow faster than linearly"


def sentence(runs: Sequence[Run], kind: tuple[str, int]) -> str:
    """Which parts grow how between the two largest sizes; empty where there is one size only."""
    said: dict[str, list[str]] = defaultdict(list)
    sizes: list[int] = []
    for figure, title in FIGURES.items():
        points = series(runs, kind, figure)
        power = exponent(points)
        if power is None:
            continue
        sizes = [hosts for hosts, _ in points[-2:]]
        ratio = points[-1][1] / points[-2][1]
        said[growth_word(power)].append(f"{title} (x{ratio:.1f})")
    if not sizes:
        return ""
    parts = [f"{', '.join(titles)} {word}" for word, titles in said.items()]
    return f"From {sizes[0]} to {sizes[1]} hosts (x{sizes[1] / sizes[0]:g}): {'; '.join(parts)}."


def shown(value: Optional[float], figure: str) -> str:
    """A cell of a table."""
    if value is None:
        return ""
    return f"{value / MIB:.0f}" if figure.startswith("peak") else f"{value:.1f}"


def page(result: Mapping[str, Any]) -> str:
    """growth.md."""
    runs, machine, settings = result["runs"], result["machine"], result["settings"]
    lines = [
        "# How a rollout grows with its fleet",
        "",
        "The hosts are **simulated**: containers with sshd that share one machine, its cores and its one Docker engine, with "
        "each other and with the controller. What real hosts do at the same time, these do one after another on "
        f"{machine['cores']} cores: the walls are upper bounds, the controller's CPU and memory are what carries over.",
        "",
        f"Machine: {machine['cores']} cores, {machine['memory'] / 2**30:.0f} GiB, {machine['system']}, Docker "
        f"{machine['engine']}, Python {machine['python']}, ansible-core {machine['ansible']}. Forks: {settings['forks']}. "
        f"Measured {machine['when']}.",
        "",
        "Seconds; memory in MiB: the peak of the sum over the controller's processes, PSS (shared pages counted once) and RSS "
        "(shared pages counted in each process). Cores busy: with everything on the machine, simulated hosts, engine and others "
        "included; by others: in the seconds before the run. Several runs: the median.",
    ]
    for kind in kinds(runs):
        name, serial = kind
        lines += ["", f"## {name[:1].upper()}{name[1:]}, rollout_serial {serial}", ""]
        columns = [*FIGURES, "peak_rss", "busy", "others"]
        titles = [*PHASES.values(), "total", "CPU", "PSS", "RSS", "cores busy, %", "by others, %"]
        lines += [f"| simulated hosts | runs | {' | '.join(titles)} |", "| --- |" + " --- |" * (len(titles) + 1)]
        tables = {figure: dict(series(runs, kind, figure)) for figure in columns}
        for hosts in sorted(tables["wall"]):
            count = sum((run["kind"], run["serial"], run["hosts"]) == (*kind, hosts) for run in runs)
            cells = [shown(tables[figure].get(hosts), figure) for figure in columns]
            lines.append(f"| {hosts} | {count} | {' | '.join(cells)} |")
        added = [per_host(series(runs, kind, figure)) if figure not in ("busy", "others") else None for figure in columns]
        if any(value is not None for value in added):
            cells = [
                "" if a is None else f"{a / MIB:.1f}" if f.startswith("peak") else f"{a:.2f}"
                for a, f in zip(added, columns, strict=True)
            ]
            lines.append(f"| each further one | | {' | '.join(cells)} |")
            lines += ["", sentence(runs, kind)]
    lines += _failed(result["failed"]) + _tasks(runs)
    return "\n".join(lines) + "\n"


def _failed(runs: Sequence[Run]) -> list[str]:
    if not runs:
        return []
    lines = [
        "",
        "## Runs that did not end as they should",
        "",
        "| simulated hosts | run | verdict | s | said |",
        "| --- | --- | --- | --- | --- |",
    ]
    for run in runs:
        said = " ".join(str(run["said"]).split()).replace("|", "\\|")
        lines.append(
            f"| {run['hosts']} | {run['kind']}, rollout_serial {run['serial']} | {run['verdict']} | {run['wall']:.0f} | {said} |"
        )
    return lines


def _tasks(runs: Sequence[Run], most: int = 12) -> list[str]:
    largest = max((run["hosts"] for run in runs), default=0)
    lines: list[str] = []
    for kind in kinds(runs):
        run = next((r for r in runs if r["hosts"] == largest and (r["kind"], r["serial"]) == kind), None)
        if not run:
            continue
        whole = sum(row["wall"] for row in run["tasks"])
        lines += [
            "",
            f"## Where the time goes with {largest} hosts: {kind[0]}, rollout_serial {kind[1]}",
            "",
            "A task lasts until the next one begins; tasks of one name together.",
            "",
            "| task | action | begun | hosts that did it | that skipped it | s | share |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {row['task']} | {row['action'].removeprefix('ansible.builtin.')} | {row['times']} | {row['done']} | "
            f"{row['skipped']} | {row['wall']:.1f} | {row['wall'] / whole:.0%} |"
            for row in run["tasks"][:most]
        ]
    return lines
