"""The timeline of a run as inline SVG: hosts and services as rows, what was done to them as bars, waves behind. Pure.

Positions along time are percentages and everything else is pixels, so that text keeps its size at every width. Colours
are classes of report.css. What cannot be drawn (an event without times) is left out: the page has it in its table.
"""

from __future__ import annotations

import math
from typing import Any, Iterable, Mapping, Optional, Sequence

from markupsafe import Markup

# phase -> what it is called in the legend and in the table, in the order of a run.
PHASES = {
    "stage": "stage",
    "pull": "pull",
    "drain": "drain",
    "stop": "stop",
    "start": "start",
    "health": "until healthy",
    "torch": "torch check",
    "settle": "settle",
    "revert": "revert",
}
Document = Mapping[str, Any]
Segment = tuple[str, float, float]
_ROW, _BAR, _AXIS = 28, 11, 26
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_TICKS = 7
_LABEL = 22
# The narrowest plot, and a wide letter: labels that keep apart there keep apart everywhere.
_NARROW, _LETTER = 480.0, 6.8
# A shorter bar would not be seen.
_LEAST = 0.4
# Below this part of the whole run, the switch gets a picture of its own.
_CLOSER = 0.4


# Three phases differ by more than their colour.
_PATTERN = Markup(
    '<pattern id="p-{0}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate({1})">'
    '<rect class="solid-{0}" width="6" height="6"></rect><rect class="paper" width="1.6" height="6"></rect></pattern>'
)
_PATTERNS = Markup("<defs>{}</defs>").format(
    Markup("").join(_PATTERN.format(phase, turn) for phase, turn in (("drain", 45), ("torch", 0), ("revert", 135)))
)


def dicts(value: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list; empty for anything else."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else []


def number(value: Any) -> Optional[float]:
    """A number that can be drawn, or None."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return float(value) if good else None


def spans(items: Any) -> list[Mapping[str, Any]]:
    """The events or waves that have times, earliest first."""
    whole = [i for i in dicts(items) if number(i.get("from")) is not None and number(i.get("to")) is not None]
    return sorted(whole, key=lambda i: (i["from"], i["to"]))


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


def ticks(start: float, end: float) -> list[float]:
    """Round times for the axis."""
    step = next((s for s in _STEPS if (end - start) / s <= _TICKS), (end - start) / _TICKS)
    first = math.ceil(start / step - 1e-9)
    return [n * step for n in range(first, int(end / step + 1e-9) + 1)]


def shorten(text: Any, limit: int = _LABEL) -> str:
    """A label that fits; the table has the whole name."""
    whole = str(text)
    return whole if len(whole) <= limit else whole[: limit - 1] + "…"


def in_service(events: Iterable[Mapping[str, Any]], action: str, end: float) -> list[Segment]:
    """When a service answered (``in``) and when it did not though it should have (``out``), from its own events.

    Before its first start a new service is neither, nor is one that was removed; one whose gate never held stays out. A
    good revert that no gate follows counts as one.
    """
    state, since, returned = ("" if action == "create" else "in"), 0.0, -1.0
    found: list[Segment] = []

    def turn(to: str, at: float) -> None:
        nonlocal state, since
        if state and at > since:
            found.append((state, since, at))
        state, since = to, at

    for event in events:
        phase, good = event.get("phase"), event.get("good", True)
        # Replaced, the new container comes before the old one goes.
        if phase in ("stop", "start", "revert") and state == "in" and action != "replace":
            turn("" if action == "remove" else "out", event["from"])
        elif phase == "health" and good and state != "in":
            turn("in", event["to"])
        returned = event["to"] if phase == "revert" and good else returned
    if state == "out" and returned >= since:
        turn("in", returned)
    turn("", end)
    return found


def of_service(document: Document, host: str, service: Any) -> list[Mapping[str, Any]]:
    """The events of one service, in their order."""
    return [e for e in spans(document.get("events")) if (str(e.get("host")), e.get("service")) == (host, service)]


def outage(document: Document, host: str, service: Mapping[str, Any]) -> float:
    """Seconds that a service was out of service in the whole run, also on its way back; it may be so still."""
    end = max([number(document.get("seconds")) or 0.0, *(float(e["to"]) for e in spans(document.get("events")))])
    found = in_service(of_service(document, host, service.get("service")), str(service.get("action")), end)
    return sum(until - since for state, since, until in found if state == "out")


def pictures(document: Document) -> list[dict[str, Any]]:
    """The run as a picture, and the switch once more where it is but a short part of the run. None without events.

    Returns:
        For each its title and svg.
    """
    events, waves = spans(document.get("events")), spans(document.get("waves"))
    if not events:
        return []
    end = max([number(document.get("seconds")) or 0.0, *(float(i["to"]) for i in [*events, *waves])]) or 1.0
    found = [("The whole run", _Picture(document, events, waves, 0.0, end, 0))]
    begin = min((w["from"] for w in waves if w.get("name") != "stage"), default=0.0)
    if waves and 0 < end - begin < _CLOSER * end:
        late = [e for e in events if e["to"] > begin]
        closer = _Picture(document, late, [w for w in waves if w["to"] > begin], begin, end, 1)
        found.append(("The switch, closer", closer))
    return [{"title": title, "svg": picture.svg(title)} for title, picture in found]


class _Picture:
    """One picture of the time from ``start`` to ``end``; ``index`` keeps ids apart on one page."""

    def __init__(
        self,
        document: Document,
        events: Sequence[Mapping[str, Any]],
        waves: Sequence[Mapping[str, Any]],
        start: float,
        end: float,
        index: int,
    ) -> None:
        self.document, self.events, self.waves = document, events, waves
        self.start, self.end, self.index = start, end, index
        self.lanes = self._lanes()
        self.top = 16 * max([1, *(lane + 1 for lane, _anchor in self.lanes)]) + 8

    def x(self, at: float) -> float:
        """A time as a percentage of the width."""
        return round(100 * (min(max(at, self.start), self.end) - self.start) / (self.end - self.start), 3)

    def box(self, start: float, end: float, least: float = _LEAST) -> Markup:
        """Position and width of a bar, never outside the picture."""
        left, width = self.x(start), max(least, self.x(end) - self.x(start))
        return Markup('x="{:g}%" width="{:g}%"').format(min(left, 100 - width), round(width, 3))

    def _lanes(self) -> list[tuple[int, bool]]:
        """For each wave the line of its label, so that none covers another, and whether it ends where its band ends."""
        taken: list[list[tuple[float, float]]] = []
        found = []
        for wave in self.waves:
            width = 100 * (len(_wave(wave)) * _LETTER + 10) / _NARROW
            left, at_end = self.x(wave["from"]), self.x(wave["from"]) + width > 100
            if at_end:
                left = self.x(wave["to"]) - width
            lane = 0
            while lane < len(taken) and any(left < right and left + width > begin for begin, right in taken[lane]):
                lane += 1
            taken += [[]] if lane == len(taken) else []
            taken[lane].append((left, left + width))
            found.append((lane, at_end))
        return found

    def rows(self) -> list[tuple[str, Optional[str], str, list[Mapping[str, Any]]]]:
        """Host, service (None for the host itself), action, events; in the document's order, strangers last."""
        order: dict[tuple[str, Optional[str]], str] = {}
        for host in dicts(self.document.get("hosts")):
            order[(str(host.get("name")), None)] = ""
            for one in dicts(host.get("services")):
                order[(str(host.get("name")), str(one.get("service")))] = str(one.get("action"))
        hosts = list(dict.fromkeys([*(h for h, _s in order), *(str(e.get("host")) for e in self.events)]))
        of: dict[tuple[str, Optional[str]], list[Mapping[str, Any]]] = {}
        for event in self.events:
            service = event.get("service")
            of.setdefault((str(event.get("host")), None if service is None else str(service)), []).append(event)
        keys = list(dict.fromkeys([*order, *of]))
        return [
            (host, service, order.get((host, service), ""), of.get((host, service), []))
            for name in hosts
            for host, service in sorted((k for k in keys if k[0] == name), key=lambda k: k[1] is not None)
        ]

    def svg(self, title: str) -> Markup:
        """The picture."""
        rows = self.rows()
        bottom = self.top + _ROW * len(rows)
        parts = [*self._bands(bottom), *self._grid(bottom)]
        for n, row in enumerate(rows):
            parts += self._row(self.top + _ROW * n, *row)
        return Markup(
            '<svg class="timeline" role="img" aria-labelledby="t{n}-title t{n}-desc" width="100%" height="{height}">'
            '<title id="t{n}-title">{title}</title><desc id="t{n}-desc">{desc}</desc>{defs}{parts}</svg>'
        ).format(
            n=self.index,
            height=bottom + _AXIS,
            title=title,
            desc=self._description(rows),
            defs=_PATTERNS if self.index == 0 else "",
            parts=Markup("").join(parts),
        )

    def _description(self, rows: Sequence[tuple[Any, ...]]) -> str:
        hosts, services = len({r[0] for r in rows}), sum(1 for r in rows if r[1] is not None)
        waves = ", ".join(f"{_wave(w)} from {clock(w['from'])} to {clock(w['to'])}" for w in self.waves)
        return (
            f"{hosts} host{'s'[: hosts != 1]} and {services} service{'s'[: services != 1]} from {clock(self.start)} to "
            f"{clock(self.end)} after the start of the run. {f'Waves: {waves}. ' if waves else ''}The table below has each bar."
        )

    def _bands(self, bottom: int) -> list[Markup]:
        """The bands, and above all of them their labels."""
        bands, labels = [], []
        for n, (wave, (lane, at_end)) in enumerate(zip(self.waves, self.lanes)):
            box = self.box(wave["from"], wave["to"], 0.2)
            bands.append(Markup('<rect class="band{}" {} y="0" height="{}"></rect>').format(n % 2, box, bottom))
            x, dx, anchor = (self.x(wave["to"]), -4, "end") if at_end else (self.x(wave["from"]), 4, "start")
            labels.append(
                Markup('<text class="wave" x="{:g}%" y="{}" dx="{}" text-anchor="{}">{}</text>').format(
                    x, 13 + 16 * lane, dx, anchor, shorten(_wave(wave))
                )
            )
        return bands + labels

    def _grid(self, bottom: int) -> list[Markup]:
        parts = []
        for at in ticks(self.start, self.end):
            x = self.x(at)
            anchor = "start" if x < 3 else "end" if x > 97 else "middle"
            parts.append(
                Markup('<line class="grid" x1="{0:g}%" x2="{0:g}%" y1="{1}" y2="{2}"></line>').format(x, self.top, bottom)
            )
            parts.append(
                Markup('<text class="tick" x="{:g}%" y="{}" text-anchor="{}">{}</text>').format(x, bottom + 17, anchor, clock(at))
            )
        return parts

    def _row(self, y: int, host: str, service: Optional[str], action: str, events: Sequence[Mapping[str, Any]]) -> list[Markup]:
        name = host if service is None else service
        kind = "host" if service is None else "service"
        parts = [Markup('<line class="rule" x1="0" x2="100%" y1="{0}" y2="{0}"></line>').format(y)] if service is None else []
        parts.append(
            Markup('<text class="{}" x="-10" y="{}" text-anchor="end">{}<title>{}</title></text>').format(
                kind, y + 16, shorten(name), name
            )
        )
        if service is not None:
            # The state before this picture's window is told by the events before it too.
            mine = of_service(self.document, host, service)
            for state, start, end in in_service(mine, action, self.end):
                if end > self.start:
                    parts.append(
                        Markup('<rect class="{}" {} y="{}" height="{}"><title>{}</title></rect>').format(
                            state,
                            self.box(start, end, 0.2),
                            y + (19 if state == "out" else 11),
                            4 if state == "out" else 2,
                            _told(name, state, start, end),
                        )
                    )
        for event in events:
            parts += self._bar(event, y + 6)
        return parts

    def _bar(self, event: Mapping[str, Any], y: int) -> list[Markup]:
        phase, bad = str(event.get("phase")), event.get("good") is False
        words = [
            PHASES.get(phase, phase),
            length(event["to"] - event["from"]),
            "failed" if bad else "",
            event.get("detail") or "",
        ]
        known = phase if phase in PHASES else "other"
        parts = [
            Markup('<rect class="bar {}{}" {} y="{}" height="{}" rx="1.5"><title>{}</title></rect>').format(
                known, " bad" if bad else "", self.box(event["from"], event["to"]), y, _BAR, ", ".join(str(w) for w in words if w)
            )
        ]
        if bad:
            at = self.x(event["to"])
            end = at > 97
            parts.append(
                Markup('<text class="cross" x="{:g}%" y="{}" dx="{}"{}>✕</text>').format(
                    at, y + 10, -3 if end else 3, Markup(' text-anchor="end"') if end else ""
                )
            )
        return parts


def _wave(wave: Mapping[str, Any]) -> str:
    return str(wave.get("name") or "").replace("cpu_", "CPU ").replace("gpu_", "GPU ").replace("_", " ")


def _told(name: str, state: str, start: float, end: float) -> str:
    return f"{name} {'in service' if state == 'in' else 'out of service for ' + length(end - start)}"


def legend(document: Document) -> list[tuple[str, str]]:
    """Class and name of each kind of bar that the pictures hold."""
    events = spans(document.get("events"))
    used = {str(e.get("phase")) for e in events}
    found = [(phase, name) for phase, name in PHASES.items() if phase in used]
    found += [("other", "other")] if used - set(PHASES) else []
    states = [("in", "in service"), ("out", "out of service")] if any(e.get("service") is not None for e in events) else []
    return found + states
