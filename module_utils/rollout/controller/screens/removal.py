"""The screen of remove.yml: what went, what stays and where, and what to type for the rest. Pure."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible.module_utils.rollout.controller.results import Result, failed
from ansible.module_utils.rollout.domain.printable import inline
from ansible.module_utils.rollout.domain.removal import SECTION
from ansible.module_utils.rollout.errors import Refusal

NOT_REMOVED = Refusal(
    SECTION,
    "{host}: not removed: {why}",
    "fix what follows the colon, and type the command again: it goes on where it ended",
)
NOTHING_REMOVED = Refusal(
    SECTION,
    "Nothing was removed on any host, because of {hosts}.",
    "fix what the lines above say, and type the command again",
)
DATA_STAYS = Refusal(
    SECTION,
    "Its data stays. To delete it too, for good: ansible-playbook playbooks/remove.yml -e delete_data={application}",
    "nothing, if you may need it; a backup that was copied elsewhere stays in any case",
)
PERHAPS = Refusal(
    SECTION,
    "stays: volumes {names}, of which nobody knows whether they are its data (docker volume rm removes them)",
    "look at what is in them: no release of their project was stable here, or another container uses them",
)
OTHERS = Refusal(
    SECTION,
    "stays: containers {names}, which no rollout of the application made",
    "nothing, if they are another application's; otherwise `docker compose --project-name … down`",
)
ELSEWHERE = Refusal(
    SECTION,
    "stays: {names}, to which it wrote. What lies outside the state directory is never removed",
    "nothing, or remove it by hand",
)
# In this order.
_GONE = {
    "containers": "containers",
    "networks": "networks",
    "images": "images",
    "volumes": "volumes",
    "folders": "folders",
    "state": "its state",
    "metrics": "its metrics",
    "units": "its guard's units",
}


def refused(looks: Mapping[str, Result]) -> list[str]:
    """The hosts for whose sake nothing is removed on any: a run is at work there, for one. A lost host is none of them.

    Args:
        looks: host -> the result of the look.
    """
    return [host for host, look in looks.items() if failed(look) and not look.get("unreachable")]


def screen(looks: Mapping[str, Result], removed: Mapping[str, Result], application: str, check: bool) -> str:
    """What remove.yml did.

    Args:
        looks: host -> the result of the look.
        removed: host -> that of the removal, where it came to one.
        check: whether it only looked.
    """
    lines, stopped = list[str](), refused(looks)
    results = {host: removed.get(host) or look for host, look in looks.items()}
    for host, result in results.items():
        if failed(result):
            lines.append(NOT_REMOVED.text(host=host, why=inline(result.get("msg") or "it was not reached")))
        elif not stopped:
            lines += _host(host, inline(result), check)
    if stopped:
        lines.append(NOTHING_REMOVED.text(hosts=", ".join(stopped)))
    elif any({"volumes", "folders"} & {*(result.get("stays") or {})} for result in results.values()):
        lines += ["", DATA_STAYS.text(application=application)]
    return "\n".join(lines)


def _host(host: str, result: Mapping[str, Any], check: bool) -> list[str]:
    gone, stays = result.get("gone") or {}, result.get("stays") or {}
    verb = "would remove" if check else "removed"
    # An image's digest says nothing to people where its tag stands beside it.
    gone = {kind: [name for name in names if kind != "images" or "@" not in name] or names for kind, names in gone.items()}
    said = [f"{verb} {word} {_names(gone[kind])}" for kind, word in _GONE.items() if gone.get(kind)]
    said += [f"stays: {kind} {_names(stays[kind])}" for kind in ("volumes", "folders", "files") if stays.get(kind)]
    if stays.get("elsewhere"):
        said.append(ELSEWHERE.text(names=_names(stays["elsewhere"])))
    if stays.get("perhaps"):
        said.append(PERHAPS.text(names=_names(stays["perhaps"])))
    if stays.get("others"):
        said.append(OTHERS.text(names=_names(stays["others"])))
    said += [f"needs root there: {command}" for command in result.get("by_hand") or []]
    return [f"{host}: {one}" for one in said] or [f"{host}: nothing of it is there"]


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)
