"""Figures out of records: medians, ranges, ratios, and whether a target is met. Pure."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any, Optional, Sequence

Record = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """What several runs gave."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Target:
    """A figure that must be at most ``factor`` times another one; without another one, at most ``factor`` itself."""

    text: str
    what: str
    figure: str
    factor: float
    beside: str = ""
    other: str = ""


@dataclass(frozen=True)
class Judged:
    """A target with what was measured: the figure and its ratio to the other one, and whether that is met.

    ``met`` is None where a run failed or none was measured.
    """

    target: Target
    value: Optional[float]
    met: Optional[bool]


AGAIN = "rollout-again"
TARGETS = (
    Target("rollout, to the floor", "rollout", "wall", 1.8, "floor", "wall"),
    Target("rollout, to compose-wait", "rollout", "wall", 0.8, "compose-wait", "wall"),
    Target("rollout, to shell", "rollout", "wall", 0.3, "shell", "wall"),
    Target("rollout, to plain-ansible", "rollout", "wall", 0.5, "plain-ansible", "wall"),
    Target("with nothing to do, to plain-ansible with nothing to do", AGAIN, "wall", 0.4, "plain-ansible-again", "wall"),
    Target("rollback, to rollout", "rollback", "wall", 1.0, "rollout", "wall"),
    Target("revert after the fault is seen, to rollout", "revert", "after_fault", 1.5, "rollout", "wall"),
    Target("controller CPU of rollout, to plain-ansible", "rollout", "cpu", 0.6, "plain-ansible", "cpu"),
    Target("outage of rollout, to the floor", "rollout", "outage", 1.15, "floor", "outage"),
    Target("failed requests of start-first", "start-first", "failed", 0),
    Target("outage of a broken release that is rehearsed", "rehearsal", "outage", 0),
)


def failures(records: Sequence[Record], what: str) -> int:
    """How many runs went wrong."""
    return sum("error" in r for r in records if r["what"] == what)


def values(records: Sequence[Record], what: str, figure: str) -> list[float]:
    """A figure of every run that went well and has it."""
    return [float(r[figure]) for r in records if r["what"] == what and r.get(figure) is not None]


def spread(records: Sequence[Record], what: str, figure: str) -> Optional[Spread]:
    """Median and range of a figure; None where there is none."""
    found = values(records, what, figure)
    return Spread(statistics.median(found), min(found), max(found)) if found else None


def ratio(records: Sequence[Record], what: str, figure: str, beside: str, other: str) -> Optional[float]:
    """The median of one to the median of the other; None where one is not there, or the other is 0."""
    mine, theirs = spread(records, what, figure), spread(records, beside, other)
    return mine.median / theirs.median if mine and theirs and theirs.median else None


def judge(records: Sequence[Record], target: Target) -> Judged:
    """Whether a target is met. One without another figure must hold in every run."""
    if target.beside:
        value = ratio(records, target.what, target.figure, target.beside, target.other)
    else:
        value = max(values(records, target.what, target.figure), default=None)
    whole = not failures(records, target.what) and not failures(records, target.beside)
    return Judged(target, value, value <= target.factor if whole and value is not None else None)
