"""The waves of an inventory: groups whose stacks are switched one group after the other. Pure."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Mapping, Optional, Sequence

from ansible.module_utils.rollout.errors import Refusal

DEFAULT = ("backend", "cpu_workers", "gpu_workers")
# flow.yml has a play for each.
MOST = 6
# The first two are Ansible's own groups; the others are what a report calls the rest of a run.
_RESERVED = ("all", "ungrouped", "stage", "prepare", "finish", "settle", "revert")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_TITLES = {"backend": "the backend", "cpu_workers": "the CPU workers", "gpu_workers": "the GPU workers"}
_OWN = re.compile(rf"Switch wave ({_NAME.pattern})")
# Matches no host, and Ansible does not warn of it as it does of a group that is not there.
_NOBODY = "all:!all"
WRONG = Refusal(
    "The inventory",
    "rollout_waves is {given}: expected the names of one to six groups, each once and in their order. None of them may be all, "
    "ungrouped, stage, prepare, finish, settle or revert.",
    "correct the list, for example `rollout_waves: [web, workers]`",
)
DIFFERENT = Refusal(
    "The inventory",
    "rollout_waves is {one} on host {first}, and {other} on host {second}: a fleet has one list.",
    "set it once, for all hosts: in `group_vars/all`",
)
MISSPELT_GROUP = Refusal(
    "The inventory",
    "The inventory has a group '{group}': the groups of a rollout are spelt {waves}.",
    "rename the group",
)
NO_BACKEND = Refusal(
    "The inventory",
    "The inventory's group backend has no host: one host must run the backend. Where waves have other names, rollout_waves has "
    "them.",
    "put a host into `backend`, or name your groups: `rollout_waves: [web, workers]`",
)


def names(said: Any) -> list[str]:
    """The waves that ``rollout_waves`` names, in order; the default where it is not set. A text is a list with commas, as Ansible
    has it."""
    if not said:
        return list(DEFAULT)
    if isinstance(said, str):
        said = said.split(",")
    return [str(one).strip() for one in (said if isinstance(said, list) else [said])]


def fleet(groups: Mapping[str, Any], waves: Sequence[str] = DEFAULT) -> list[str]:
    """All hosts of the waves, each once, in the order of the waves."""
    return list(dict.fromkeys(host for wave in waves for host in groups.get(wave) or []))


def of_inventory(groups: Mapping[str, Any], hostvars: Mapping[str, Any]) -> list[str]:
    """The waves, as the first host says that stands in one of them. Plays ask, which see no host's variables by themselves."""
    named: list[str] = []
    for host in dict.fromkeys([*fleet(groups), *(groups.get("all") or [])]):
        # Asked for once: each time Ansible gathers a host's variables anew.
        said: Mapping[str, Any] = {}
        with contextlib.suppress(Exception):  # a file of its variables is broken: Ansible says where, when it comes to the host
            said = hostvars.get(host) or {}
        if "rollout_waves" in said or "rollout_stacks" in said:
            waves = names(said.get("rollout_waves"))
            if host in fleet(groups, waves):
                return waves
            named = named or (waves if "rollout_waves" in said else [])
    return named or list(DEFAULT)


def pattern(groups: Mapping[str, Any], waves: Sequence[str]) -> str:
    """The pattern of the hosts of these waves."""
    return ":".join(one for one in waves if _good(one) and groups.get(one)) or _NOBODY


def play(groups: Mapping[str, Any], place: int, hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """What the play has that switches the wave at a place, from 1: title, hosts, and serial, how many of them at a time."""
    wave = next(iter(of_inventory(groups, hostvars)[place - 1 : place]), "")
    first = next(iter(groups.get(wave) or []), "")
    # Others wait for the first wave, and cards are few.
    alone = place == 1 or wave == "gpu_workers" or not first
    return {
        "title": _TITLES.get(wave) or (f"wave {wave}" if wave else "nothing"),
        "hosts": pattern(groups, [wave]),
        "serial": 1 if alone else (hostvars.get(first) or {}).get("rollout_serial") or 1,
    }


def of_play(name: str) -> str:
    """The wave that a play of this name switches; empty if it is none of those."""
    own = _OWN.fullmatch(name)
    return own[1] if own else next((wave for wave, title in _TITLES.items() if name == f"Switch {title}"), "")


def problems(groups: Mapping[str, Any], waves: Sequence[str] = DEFAULT, said: Optional[Mapping[str, Any]] = None) -> list[str]:
    """All that is wrong with the waves and their groups, a sentence each.

    Args:
        said: host -> its ``rollout_waves``.
    """
    found = wrong(waves)
    named = {host: names(own) for host, own in (said or {}).items()}
    first = next(iter(named), "")
    other = next((host for host in named if named[host] != named[first]), "")
    if other:
        found.append(DIFFERENT.text(one=_list(named[first]), first=first, other=_list(named[other]), second=other))
    ktrdr = tuple(waves) == DEFAULT
    # Where waves have names of one's own, another group may well be named like one of them.
    singular = {wave.rstrip("s") for wave in waves if ktrdr or not groups.get(wave)}
    for group in groups:
        if group not in (*waves, "all", "ungrouped") and group.replace("-", "_").rstrip("s") in singular:
            found.append(MISSPELT_GROUP.text(group=group, waves=_list(waves)))
    return [*found, *([NO_BACKEND.text()] if ktrdr and not groups.get("backend") else [])]


def wrong(waves: Sequence[str]) -> list[str]:
    """The refusal of such a list of waves; empty if it can be meant."""
    good = len(waves) <= MOST and len(set(waves)) == len(waves) and all(map(_good, waves))
    return [] if good else [WRONG.text(given=_list(waves))]


def _good(wave: str) -> bool:
    return bool(_NAME.fullmatch(wave)) and wave not in _RESERVED


def _list(waves: Sequence[str]) -> str:
    return ", ".join(waves)
