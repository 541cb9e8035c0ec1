"""The timeline of a run: hosts and services as rows, what was done to them as bars, waves behind. Pure.

What stands where along time is decided here, as a percentage of the width; templates/timeline.html.j2 draws it. What cannot be
drawn (an event without times) is left out: the page has it in its table.
"""

from __future__ import annotations

import math
from typing import Any, Iterable, Mapping, NamedTuple, Optional, Sequence

from ansible.module_utils.rollout.domain.units import clock, length, number

# phase -> what it is called in the legend and in the table, in the order of a run.
PHASES = {
    "stage": "stage",
    "pull": "pull",
    "rehearse": "rehearsal",
    "backup": "backup",
    "restore": "restore",
    "job": "job",
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
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_TICKS = 7
# The narrowest plot, and a wide letter: labels that keep apart there keep apart everywhere.
_NARROW, _LETTER = 480.0, 6.8
# A shorter bar would not be seen, nor a narrower band or line.
_LEAST, _THIN = 0.4, 0.2
# Below this part of the whole run, the switch gets a picture of its own.
_CLOSER = 0.4


def dicts(value: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list; empty for anything else."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else []


def spans(items: Any) -> list[Mapping[str, Any]]:
    """The events or waves that have times, earliest first."""
    whole = [i for i in dicts(items) if number(i.get("from")) is not None and number(i.get("to")) is not None]
    return sorted(whole, key=lambda i: (i["from"], i["to"]))


def ticks(start: float, end: float) -> list[float]:
    """Round times for the axis."""
    step = next((s for s in _STEPS if (end - start) / s <= _TICKS), (end - start) / _TICKS)
    first = math.ceil(start / step - 1e-9)
    return [n * step for n in range(first, int(end / step + 1e-9) + 1)]


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
        if phase in ("stop", "start", "revert") and state == "in" and action not in ("replace", "scale"):
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


class _Window(NamedTuple):
    """The part of a run that a picture shows: seconds since the run's start."""

    start: float
    end: float

    def shows(self, item: Mapping[str, Any]) -> bool:
        """Whether an event or a wave is seen; one that ends where a later picture begins is not."""
        return not self.start or bool(item["to"] > self.start)

    def x(self, at: float) -> float:
        """A time as a percentage of the width."""
        return round(100 * (min(max(at, self.start), self.end) - self.start) / (self.end - self.start), 3)

    def box(self, start: float, end: float, least: float) -> dict[str, float]:
        """Left and width of a bar, never outside the picture; ``least`` is the narrowest that is seen."""
        left, width = self.x(start), max(least, self.x(end) - self.x(start))
        return {"left": min(left, 100 - width), "width": width}


def pictures(document: Document) -> list[dict[str, Any]]:
    """The run as a picture, and the switch once more if it is only a short part of the run. None without events.

    Returns:
        For each its title, description, waves, ticks and rows, as templates/timeline.html.j2 draws them.
    """
    events, waves = spans(document.get("events")), spans(document.get("waves"))
    if not events:
        return []
    end = max([number(document.get("seconds")) or 0.0, *(float(i["to"]) for i in [*events, *waves])]) or 1.0
    found = [("The whole run", _Window(0.0, end))]
    begin = min((w["from"] for w in waves if w.get("name") != "stage"), default=0.0)
    if waves and 0 < end - begin < _CLOSER * end:
        found.append(("The switch, closer", _Window(begin, end)))
    return [_picture(title, document, window) for title, window in found]


def _picture(title: str, document: Document, window: _Window) -> dict[str, Any]:
    events, waves = ([i for i in spans(document.get(key)) if window.shows(i)] for key in ("events", "waves"))
    rows, bands = _rows(document, events), _bands(waves, window)
    hosts, services = len({host for host, *_ in rows}), sum(service is not None for _host, service, *_ in rows)
    named = ", ".join(f"{_wave(w)} from {clock(w['from'])} to {clock(w['to'])}" for w in waves)
    return {
        "title": title,
        "description": (
            f"{hosts} host{'s'[: hosts != 1]} and {services} service{'s'[: services != 1]} from {clock(window.start)} to "
            f"{clock(window.end)} after the start of the run. {f'Waves: {named}. ' if named else ''}The table below has each bar."
        ),
        "waves": bands,
        "lanes": max([1, *(band["lane"] + 1 for band in bands)]),
        "ticks": [{"x": window.x(at), "text": clock(at)} for at in ticks(window.start, window.end)],
        "rows": [_row(document, window, *row) for row in rows],
    }


def _bands(waves: Sequence[Mapping[str, Any]], window: _Window) -> list[dict[str, Any]]:
    """Each wave behind the rows, its label on a line (``lane``) where it covers no other, at the end of its band if need be."""
    taken: list[list[tuple[float, float]]] = []
    found = []
    for wave in waves:
        name = _wave(wave)
        start, end = window.x(wave["from"]), window.x(wave["to"])
        width = 100 * (len(name) * _LETTER + 10) / _NARROW
        at_end = start + width > 100
        left = end - width if at_end else start
        lane = 0
        while lane < len(taken) and any(left < right and left + width > begin for begin, right in taken[lane]):
            lane += 1
        taken += [[]] if lane == len(taken) else []
        taken[lane].append((left, left + width))
        label = {"name": name, "lane": lane, "at_end": at_end, "x": end if at_end else start}
        found.append({**label, **window.box(wave["from"], wave["to"], _THIN)})
    return found


def _rows(
    document: Document, events: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Optional[str], str, list[Mapping[str, Any]]]]:
    """Host, service (None for the host itself), action, events; in the document's order, strangers last."""
    order: dict[tuple[str, Optional[str]], str] = {}
    for host in dicts(document.get("hosts")):
        order[(str(host.get("name")), None)] = ""
        for one in dicts(host.get("services")):
            order[(str(host.get("name")), str(one.get("service")))] = str(one.get("action"))
    hosts = list(dict.fromkeys([*(h for h, _s in order), *(str(e.get("host")) for e in events)]))
    of: dict[tuple[str, Optional[str]], list[Mapping[str, Any]]] = {}
    for event in events:
        service = event.get("service")
        of.setdefault((str(event.get("host")), None if service is None else str(service)), []).append(event)
    keys = list(dict.fromkeys([*order, *of]))
    return [
        (host, service, order.get((host, service), ""), of.get((host, service), []))
        for name in hosts
        for host, service in sorted((k for k in keys if k[0] == name), key=lambda k: k[1] is not None)
    ]


def _row(
    document: Document, window: _Window, host: str, service: Optional[str], action: str, events: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    name = host if service is None else service
    # The state before this picture's window is told by the events before it too.
    states = [] if service is None else in_service(of_service(document, host, service), action, window.end)
    lines = [
        {
            **window.box(start, end, _THIN),
            "state": state,
            "title": f"{name} {'in service' if state == 'in' else 'out of service for ' + length(end - start)}",
        }
        for state, start, end in states
        if end > window.start
    ]
    return {"name": name, "host": service is None, "lines": lines, "bars": [_bar(event, window) for event in events]}


def _bar(event: Mapping[str, Any], window: _Window) -> dict[str, Any]:
    phase, failed = str(event.get("phase")), event.get("good") is False
    words = [PHASES.get(phase, phase), length(event["to"] - event["from"]), "failed" if failed else "", event.get("detail")]
    return {
        **window.box(event["from"], event["to"], _LEAST),
        "phase": phase if phase in PHASES else "other",
        "failed": failed,
        "end": window.x(event["to"]),
        "title": ", ".join(str(word) for word in words if word),
    }


def _wave(wave: Mapping[str, Any]) -> str:
    return str(wave.get("name") or "").replace("cpu_", "CPU ").replace("gpu_", "GPU ").replace("_", " ")


def legend(document: Document) -> list[tuple[str, str]]:
    """Class and name of each kind of bar that the pictures hold."""
    events = spans(document.get("events"))
    used = {str(e.get("phase")) for e in events}
    found = [(phase, name) for phase, name in PHASES.items() if phase in used]
    found += [("other", "other")] if used - set(PHASES) else []
    states = [("in", "in service"), ("out", "out of service")] if any(e.get("service") is not None for e in events) else []
    return found + states
