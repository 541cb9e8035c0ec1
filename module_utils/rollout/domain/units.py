"""Sizes and times as people read them. Pure."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any, Optional


def human(size: float) -> str:
    """Bytes for people: ``1.2 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def span(seconds: float) -> str:
    """Seconds for people: ``40 s``, ``12 min``."""
    seconds = max(0.0, seconds)
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def times(number: int) -> str:
    """How often: ``once``, ``3 times``."""
    return "once" if number == 1 else f"{number} times"


def number(value: Any) -> Optional[float]:
    """A number that can be drawn, or None."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return float(value) if good else None


def length(seconds: Any) -> str:
    """Seconds for people: ``4.2 s``, ``45 s``, ``3 min 12 s``, ``1 h 5 min``; empty where there is no number."""
    value = number(seconds)
    if value is None:
        return ""
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def clock(seconds: float) -> str:
    """A time since the run's start: ``0:05``, ``12:30``, ``1:02:03``."""
    whole = int(seconds)
    hours = f"{whole // 3600}:{whole % 3600 // 60:02}" if whole >= 3600 else str(whole // 60)
    return f"{hours}:{whole % 60:02}"


def minute(at: object) -> str:
    """A time of the ledger (RFC 3339, UTC) to the minute: ``2026-12-01 14:02 UTC``."""
    text = str(at)
    return f"{text[:10]} {text[11:16]} UTC"


def seconds_since(started: str, now: float) -> Optional[float]:
    """The seconds since a time of Docker's (RFC 3339, UTC); None for that of year 1, never, and for a text that is not a time."""
    try:
        then = datetime.strptime(started[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
    return None if then < 0 else max(0.0, now - then)


def age(started: str, now: float) -> str:
    """How long ago a time of Docker's was: ``3 m``, ``5 h``, ``2 d``; empty for never."""
    since = seconds_since(started, now)
    if since is None:
        return ""
    seconds = int(since)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
