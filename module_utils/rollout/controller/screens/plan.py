"""The first screen of a run: its plan. Pure."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any, Mapping, Optional, Sequence

from ansible.module_utils.rollout.controller.screens import data, jobs, notes
from ansible.module_utils.rollout.controller.screens.tables import table
from ansible.module_utils.rollout.domain.capacity import UNPACKED_PER_COMPRESSED
from ansible.module_utils.rollout.domain.printable import inline
from ansible.module_utils.rollout.domain.units import human
from ansible.module_utils.rollout.domain.variants import label

_WORDS = {"keep": "stays", "create": "start", "recreate": "restart", "replace": "replace", "scale": "scale", "remove": "remove"}


def screen(hosts: Mapping[str, Mapping[str, Any]], diff: bool, tag: str = "") -> str:
    """The first lines of a run: what is going to happen on each host; with ``diff`` the differences of its files too.

    Args:
        hosts: host -> what the module `release` returned in check mode. At least one; the run is the same on all.
        tag: what the release was asked for by; told where that is not its name.
    """
    hosts, tag = inline(hosts), inline(tag)
    run = next(iter(hosts.values()))["preview"]
    release = run["release"]
    lines: list[str] = []
    cells: list[list[str]] = []
    differences: list[str] = []
    leaves: list[str] = []
    for host, found in hosts.items():
        preview = found["preview"]
        old, names = preview["stable"] or "nothing", preview.get("variants")
        before = label(old, preview.get("stable_name"), names)
        after = label(release, preview.get("name"), names)
        text = f"{host}: {before} -> {after}" if before != after else f"{host}: {after} again"
        # Where nothing was, everything differs.
        differ = _differences(found.get("diff") or [], diff) if preview["stable"] else ""
        lines.append(f"{text}; {_pull(preview)}{differ}")
        if diff:
            differences += [line for part in found.get("diff") or [] for line in _unified(host, part)]
        if preview.get("variables") and (run["action"] == "rollback" or old == release):
            leaves.append(f"{host}: other than now: {', '.join(preview['variables'])}")
        leaves += notes.left(host, preview.get("left") or {})
        leaves += [f"{host}: {note}" for note in preview.get("notes") or []]
        for row in preview.get("services") or []:
            why = f" ({row['why']})" if row["why"] and row["why"] not in ("image", "absent") else ""
            gap = f"~{row['gap']:.1f} s" if row["gap"] is not None else ""
            cells.append([host, row["service"], _WORDS[row["action"]] + why, _digests(row), gap])
    leaves += data.ahead({host: found["preview"] for host, found in hosts.items()})
    leaves += jobs.ahead({host: found["preview"] for host, found in hosts.items()})
    asked = f" (tag {tag})" if tag and not tag.startswith("sha-") and tag != release else ""
    head = f"{str(run['action']).upper()} {release}{asked}, run {run['run']}"
    tables = [table(["HOST", "SERVICE", "CHANGE", "DIGEST", "GAP"], cells)] if cells else []
    return "\n".join([head, *lines, *leaves, "", *tables, "", *differences, *([""] if differences else [])]).rstrip("\n") + "\n"


def _pull(preview: Mapping[str, Any]) -> str:
    to_pull, free = int(preview.get("to_pull") or 0), preview.get("free")
    if not to_pull:
        return "nothing to pull"
    after = f", {human(max(0, free - int(to_pull * (1 + UNPACKED_PER_COMPRESSED))))} free afterwards" if free is not None else ""
    return f"{human(to_pull)} to pull{after}"


def _differences(diff: Sequence[Mapping[str, str]], shown: bool) -> str:
    count = sum(_changed(part.get("before", ""), part.get("after", "")) for part in diff)
    hint = "" if shown else " (--check --diff shows)"
    return (
        f"; {count} line{'s' if count != 1 else ''} of its files {'differ' if count != 1 else 'differs'}{hint}" if count else ""
    )


def _unified(host: str, part: Mapping[str, str]) -> list[str]:
    one, other = part.get("before", "").splitlines(), part.get("after", "").splitlines()
    old, new = (f"{host} {part.get(key, '')}" for key in ("before_header", "after_header"))
    return ["  " + line for line in unified_diff(one, other, old, new, n=1, lineterm="")]


def _changed(before: str, after: str) -> int:
    one, other = before.splitlines(), after.splitlines()
    return max(len([line for line in other if line not in one]), len([line for line in one if line not in other]))


def _digests(row: Mapping[str, Any]) -> str:
    old, new = _short(row["old"]), _short(row["new"])
    if row["action"] in ("keep", "scale", "remove") or not new or old == new:
        return old or ""
    return f"{old} -> {new}" if old else new


def _short(digest: Optional[str]) -> str:
    return str(digest or "").replace("sha256:", "")[:7]
