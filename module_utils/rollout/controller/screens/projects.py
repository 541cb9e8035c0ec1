"""The screen of playbooks/adopt.yml: what runs on each host, and what was written about it. Pure."""

from __future__ import annotations

import re
import textwrap
from typing import Any, Iterable, Mapping, Sequence

from ansible.module_utils.rollout.domain.printable import inline

WIDTH = 80
_NAME = 12
_PROGRAM = re.compile(r"[A-Za-z0-9_./-]+")


def screen(found: Mapping[str, Mapping[str, Any]], faults: Mapping[str, str], names: Sequence[str]) -> str:
    """Every project of every host.

    Args:
        found: host -> what `compose_project_info` answered, its projects with ``profiles``, names of those in use.
        faults: host -> why it could not be looked at.
        names: the projects that are shown; empty for all.
    """
    parts = []
    for host in dict.fromkeys([*found, *faults]):
        lines = [inline(host)]
        if host in faults:
            lines += wrapped("  ", f"could not be looked at: {inline(faults[host])}")
            parts.append("\n".join(lines))
            continue
        shown = [one for one in found[host]["projects"] if not names or one["name"] in names]
        for one in shown:
            lines += _project(one)
        if not shown:
            lines.append("  none of these Compose projects" if names else "  no Compose project")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _project(one: Mapping[str, Any]) -> list[str]:
    one = inline(one)
    services = one["services"]
    lines = wrapped("  ", f"{one['name']}: {_count(services)}, in {one['folder'] or 'no known folder'}")
    if one["ours"]:
        # Nobody takes it over.
        return [*lines, "    rolled out by this tool"]
    folder = f"{one['folder']}/"
    lines += _entry("files", (path.removeprefix(folder) for path in [*one["compose"], *one["env_files"]]))
    lines += _entry("profiles", one.get("profiles") or [])
    for service in services:
        lines += _service(service, folder)
    for note in one["notes"]:
        lines += wrapped("    ", note)
    return lines


def _service(service: Mapping[str, Any], folder: str) -> list[str]:
    digest = service["digest"].partition(":")[2][:12] or f"no digest, id {service['id'].partition(':')[2][:12]}"
    copies = f" x{service['replicas']}" if service["replicas"] > 1 else ""
    state = ", ".join(filter(None, [_state(service) + copies, service["health"]]))
    lines = _entry(service["service"], [f"{state}; {service['image'].partition('@')[0]} ({digest})"])
    lines += _more("ports", (_port(row) for row in service["ports"]))
    mounts = sorted(service["mounts"], key=lambda row: row["kind"])
    lines += _more("volumes", (_mount(row, folder) for row in mounts if row["kind"] == "volume"))
    lines += _more("mounts", (_mount(row, folder) for row in mounts if row["kind"] == "bind"))
    return lines + _more("check", _check(service["check"]))


def _check(command: str) -> list[str]:
    """The program of a health check alone: a password may stand behind it, or in front of it as a variable."""
    words = command.split()
    if not words:
        return []
    program = words[0] if _PROGRAM.fullmatch(words[0]) else "a command"
    return [f"{program} ..." if words[1:] and program == words[0] else program]


def _count(services: Sequence[Mapping[str, Any]]) -> str:
    running = sum(service["state"] == "running" for service in services)
    return f"{running} of {len(services)} service{'s' if len(services) != 1 else ''} running"


def _state(service: Mapping[str, Any]) -> str:
    state = service["state"] or "unknown"
    return f"{state} ({service['code']:g})" if state == "exited" else state


def _port(row: Mapping[str, Any]) -> str:
    address = f"{row['address']}:" if row["address"] not in ("", "0.0.0.0", "::") else ""  # nosec B104
    return f"{address}{row['published']:g}->{row['target']:g}/{row['protocol']}"


def _mount(row: Mapping[str, Any], folder: str) -> str:
    source = row["source"]
    if row["kind"] == "volume" and len(source) == 64 and set(source) <= set("0123456789abcdef"):
        source = f"{source[:12]} (no name)"
    elif source.startswith(folder):
        source = f"./{source.removeprefix(folder)}"
    return f"{source} -> {row['target']}{' (read-only)' if row['read_only'] else ''}"


def _entry(name: str, values: Iterable[str]) -> list[str]:
    text = ", ".join(values)
    return wrapped("    ", f"{name:<{_NAME}} {text}", " " * (_NAME + 5)) if text else []


def _more(name: str, values: Iterable[str]) -> list[str]:
    """The lines below a service, one each."""
    lines: list[str] = []
    for value in values:
        lines += wrapped(" " * (_NAME + 5), f"{'' if lines else name:<8} {value}", " " * (_NAME + 14))
    return lines


def wrapped(indent: str, text: str, further: str = "") -> list[str]:
    """A text in lines of the screen: the indent of the first one, and that of the others."""
    # A path is broken where it must be: the line is 80 columns wide.
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=further or f"{indent}  ", break_on_hyphens=False
    ) or [indent.rstrip()]
