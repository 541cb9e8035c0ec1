"""What a run is going to do, before it does it. Pure."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any, Mapping, Optional, Sequence

from ansible.module_utils.rollout import compose
from ansible.module_utils.rollout.plan import UNPACKED_PER_COMPRESSED, human
from ansible.module_utils.rollout.tables import table

_WORDS = {"keep": "stays", "create": "start", "recreate": "restart", "replace": "replace", "remove": "remove"}


def rows(
    stack: str,
    wanted: Sequence[compose.Service],
    running: Sequence[compose.Container],
    images: Mapping[str, Mapping[str, Any]],
    before: Mapping[str, Mapping[str, Any]],
    took: Mapping[str, Sequence[float]],
    active: Mapping[str, str] = {},
) -> list[dict[str, Any]]:
    """What is going to happen to the services of a stack.

    Args:
        images: repository -> digest and, where the image is on the host, id of the release to come.
        before: the same of the stable release.
        took: service -> the seconds of its last restarts.
        active: start-first service -> the container that its proxy sends requests to.

    Returns:
        stack, service, action, why, old and new (digests, where they are known), gap (seconds that it is expected to be away,
        the median of its last restarts, none where the new container comes first; None where it stays or was never restarted).
    """
    # It loads much, which an agent that stages and a guard do without.
    from statistics import median

    ids = {repository: str(image.get("id") or "") for repository, image in images.items()}
    known = {str(image["id"]): str(image["digest"]) for image in before.values() if image.get("id")}
    by_name = {service.name: service for service in wanted}
    running = compose.active_first(list(running), active)
    here = {found.service: found for found in reversed(running)}
    result = []
    for change in compose.changes(list(wanted), ids, running, active):
        service, found = by_name.get(change.service), here.get(change.service)
        image = images.get(compose.repository(service.image)) if service else None
        seconds = {"recreate": took.get(change.service), "replace": [0.0]}.get(change.action)
        result.append(
            {
                "stack": stack,
                "service": change.service,
                "action": change.action,
                "why": change.why,
                "old": known.get(found.image_id) if found else None,
                "new": str(image["digest"]) if image else None,
                "gap": round(median(seconds), 1) if seconds else None,
            }
        )
    return result


def screen(hosts: Mapping[str, Mapping[str, Any]], diff: bool, tag: str = "") -> str:
    """The first lines of a run: what is going to happen on each host; with ``diff`` the differences of its files too.

    Args:
        hosts: host -> what the module `release` returned in check mode. At least one; the run is the same on all.
        tag: what the release was asked for by; told where that is not its name.
    """
    run = next(iter(hosts.values()))["preview"]
    release = run["release"]
    lines: list[str] = []
    cells: list[list[str]] = []
    differences: list[str] = []
    for host, found in hosts.items():
        preview = found["preview"]
        old = preview["stable"] or "nothing"
        text = f"{host}: {old} -> {release}" if old != release else f"{host}: {release} again"
        # Where nothing was, everything differs.
        differ = _differences(found.get("diff") or [], diff) if preview["stable"] else ""
        lines.append(f"{text}; {_pull(preview)}{differ}")
        if diff:
            differences += [line for part in found.get("diff") or [] for line in _unified(host, part)]
        for row in preview.get("services") or []:
            why = (
                f" ({row['why']})"
                if row["action"] in ("recreate", "replace", "create") and row["why"] not in ("image", "absent")
                else ""
            )
            gap = f"~{row['gap']:.1f} s" if row["gap"] is not None else ""
            cells.append([host, row["service"], _WORDS[row["action"]] + why, _digests(row), gap])
    asked = f" (tag {tag})" if tag and not tag.startswith("sha-") and tag != release else ""
    head = f"{str(run['action']).upper()} {release}{asked}, run {run['run']}"
    tables = [table(["HOST", "SERVICE", "CHANGE", "DIGEST", "GAP"], cells)] if cells else []
    return "\n".join([head, *lines, "", *tables, "", *differences, *([""] if differences else [])]).rstrip("\n") + "\n"


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
    if row["action"] in ("keep", "remove") or not new or old == new:
        return old or ""
    return f"{old} -> {new}" if old else new


def _short(digest: Optional[str]) -> str:
    return str(digest or "").replace("sha256:", "")[:7]
