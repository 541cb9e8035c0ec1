"""How a run is told while it goes: one line for what a host is at, one for what it has done. Pure."""

from __future__ import annotations

import re
import textwrap
from typing import Any, Mapping, Optional, Union

from ansible.module_utils.rollout.domain.units import human

# What somebody copies.
_COMMAND = re.compile(r"ansible-playbook \S+\.yml(?: -e \S+)*")
# A sentence in a list; the columns of a table are further apart, logs further in.
_ITEM = re.compile(r"  \S+(?: \S+)*")


class Rate:
    """Bytes per second of a transfer, over its last samples."""

    WINDOW_S = 10.0

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def add(self, now: float, done: int) -> Optional[float]:
        """Take a sample (monotonic seconds, bytes so far); the rate, or None where it is not known yet."""
        if self._samples and done < self._samples[-1][1]:
            self._samples = []
        self._samples = [(at, d) for at, d in self._samples if now - at <= self.WINDOW_S] + [(now, done)]
        since, before = self._samples[0]
        seconds = now - since
        return (done - before) / seconds if seconds > 0 else None


def now_at(facts: Mapping[str, Any], rate: Optional[float] = None) -> str:
    """What a step that is under way is at.

    Args:
        facts: what the host wrote: step (pull, gate, torch, card, stop, drain, rehearse, job), what (image or service), and by
            step: done, total (bytes); waiting_for, elapsed, deadline (seconds).
        rate: bytes per second, where it is known.
    """
    step, what = facts.get("step"), str(facts.get("what") or "")
    if step == "pull":
        return _pull(facts, what.rpartition("/")[2].partition("@")[0], rate)
    if step == "torch":
        return f"{what}: trying torch"
    if step == "card":
        return f"{what}: waiting until the card is free"
    if step == "job":
        said = f": {facts['waiting_for']}" if facts.get("waiting_for") else " runs"
        return f"{what}{said}, {facts.get('elapsed', 0):.0f} s of {facts.get('deadline') or 0:.0f} s"
    if step == "stop":
        return f"{what}: waiting until it has stopped"
    if step == "rehearse":
        what = f"{what} (rehearsal)"
    if not facts.get("waiting_for"):
        return what
    limit = f" of {facts['deadline']:.0f} s" if facts.get("deadline") else ""
    return f"{what}: waiting for {facts['waiting_for']}, {facts.get('elapsed', 0):.0f} s{limit}"


def _pull(facts: Mapping[str, Any], image: str, rate: Optional[float]) -> str:
    done, total = int(facts.get("done") or 0), facts.get("total")
    # Docker rounds the sizes that it shows.
    if total and done >= 0.999 * total:
        return f"unpacking {image} ({human(int(total))})"
    text = f"pulling {image}" + (f" {human(done)}" if done else "") + (f" of {human(int(total))}" if total else "")
    if rate and done:
        text += f", {human(int(rate))}/s"
        if total and total > done:
            text += f", {(total - done) / rate:.0f} s left"
    return text


def done_lines(action: str, result: Mapping[str, Any]) -> list[tuple[str, Union[float, None]]]:
    """What one step on a host came to, of the modules that change hosts: lines, each with its seconds where they are known.

    Args:
        action: the module.
        result: what it returned, without loop.
    """
    if action == "stack" and "services" in result:
        kept = [s["service"] for s in result["services"] if s["action"] == "keep"]
        changed = [(_service(s), s["seconds"]) for s in result["services"] if s["action"] != "keep"]
        return changed or ([(f"{', '.join(kept)}: as it should be", None)] if kept else [])
    if action == "release" and "services" in result:
        stacks: dict[str, list[str]] = {}
        for service in result["services"]:
            stacks.setdefault(service["stack"], []).append(service["service"])
        lines = [f"{', '.join(names)}: as it should be" for names in stacks.values()]
        return [(line, None) for line in (*lines, _release(result)) if line]
    if action in ("job", "backup"):
        return _prepared(result)
    line = _release(result) if action == "release" else ""
    tried = [(f"{one['service']} rehearsed", one["seconds"]) for one in result.get("rehearsed") or []]
    return [*tried, (line, None)] if line else []


def _prepared(result: Mapping[str, Any]) -> list[tuple[str, Union[float, None]]]:
    stopped = ", ".join(one["service"] for one in result.get("quiet") or [])
    backups = result.get("backups") or []
    saved = [(f"{one['service']} backed up ({human(int(one['bytes']))})", one.get("seconds")) for one in backups]
    saved += [(f"{one['service']} restored from {one['backup']}", None) for one in result.get("restored") or []]
    ran = [(f"{one['job']} ran", one["seconds"]) for one in result.get("jobs") or []]
    return [*([(f"{stopped} stopped", None)] if stopped else []), *saved, *ran]


def _release(result: Mapping[str, Any]) -> str:
    if "preview" in result:
        return ""  # the plan says it
    if "to_pull" in result:
        pulled = f", {human(result['pulled'])} pulled" if result.get("pulled") else ""
        return f"{result['name']} staged{pulled}" if result.get("changed") else f"{result['name']} is staged already"
    if "removed" in result:
        return "confirmed as stable" if result.get("changed") else "stable already"
    return ""


def _service(service: Mapping[str, Any]) -> str:
    words = {"create": "started", "recreate": "restarted", "replace": "replaced", "scale": "scaled", "remove": "removed"}
    return f"{service['service']} {words[service['action']]}"


def wrapped(text: str, columns: int) -> str:
    """Sentences broken between words, but not within a command; tables and logs as they are."""
    lines = _COMMAND.sub(lambda found: found[0].replace(" ", "\0"), text).split("\n")
    for n, line in enumerate(lines):
        if len(line) > columns and (not line.startswith(" ") or _ITEM.fullmatch(line)):
            lines[n] = _filled(line, columns, "  " if line.startswith(" ") else "")
    return "\n".join(lines).replace("\0", " ")


def step(host: str, line: str, took: str, columns: int, terminal: bool) -> str:
    """What a host has done, with its time in the last column; what is too long for a line of a terminal goes on below."""
    head = f"  {host}  "
    lines = [head + line]
    if terminal:
        lines = _filled(head + line, max(columns - len(took), len(head) + 20), " " * len(head)).split("\n")
    return "\n".join([*lines[:-1], f"{lines[-1]:<{columns - len(took)}}{took}"])


def _filled(line: str, columns: int, indent: str) -> str:
    return textwrap.fill(line, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def cut(line: str, columns: int) -> str:
    """A line no wider than a terminal; what stands after its last comma (how long, how much is left) is kept."""
    if len(line) <= columns:
        return line
    _head, comma, tail = line.rpartition(", ")
    tail = comma + tail if len(tail) < columns // 2 else ""
    return line[: columns - 1 - len(tail)] + "…" + tail
