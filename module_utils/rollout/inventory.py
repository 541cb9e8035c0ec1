"""What an inventory says of stacks, and whether it can be meant. Pure."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, Iterable, Mapping, Sequence

WAVES = ("backend", "cpu_workers", "gpu_workers")
SHORTEST_CONFIRM_S = 10
# The least that a number among the settings may be: with less it means nothing, or lets everything fail.
LEAST = {
    "rollout_keep": 0,
    "rollout_serial": 1,
    "rollout_lock_wait": 0,
    "rollout_registry_timeout": 1,
    "rollout_torch_timeout": 1,
    "rollout_gpu_release_timeout": 0,
    "rollout_drain_timeout": 0,
    "rollout_notify_timeout": 1,
}
# How a release is named.
RELEASE = ("sha", "tag")
COMMIT = re.compile(r"[0-9a-f]{7,40}")
_COMMITS = ("commit", "revision", "rev")
# Where Ansible puts what is not NAME=VALUE.
_LOOSE = "_raw_params"
_OURS = "rollout_"
_KEYS = {"wave": str, "template": str, "images": list, "environment": dict, "secrets": dict}


def problem(stacks: Any, groups: Mapping[str, Any]) -> str:
    """The first thing wrong with ``rollout_stacks``, as a sentence; empty where nothing is."""
    if not isinstance(stacks, Mapping) or not stacks:
        return "rollout_stacks names no stack: nothing can be rolled out. See docs/your-own-stack.md."
    for name, stack in stacks.items():
        where = f"rollout_stacks.{name}"
        if not isinstance(stack, Mapping):
            return f"{where} is {stack!r}: expected a mapping with wave, template and images."
        for key in stack:
            if key not in _KEYS:
                return f"{where} has '{key}'; known are {', '.join(sorted(_KEYS))}."
        for key in ("wave", "template"):
            if key not in stack:
                return f"{where}.{key} is missing."
        for key in ("wave", "template", "images"):
            if key in stack and not isinstance(stack[key], _KEYS[key]):
                return f"{where}.{key} is {stack[key]!r}: expected a {_KEYS[key].__name__}."
        for key in ("environment", "secrets"):
            if stack.get(key) is not None and not isinstance(stack[key], Mapping):
                # Not its text: it may be a secret.
                return f"{where}.{key} is a {type(stack[key]).__name__}: expected a mapping."
        if stack["wave"] not in WAVES:
            return f"{where}.wave is '{stack['wave']}': expected one of the groups {', '.join(WAVES)}."
    for group in groups:
        if group not in (*WAVES, "all", "ungrouped") and group.replace("-", "_").rstrip("s") in {w.rstrip("s") for w in WAVES}:
            return f"The inventory has a group '{group}': the groups of a rollout are spelt {', '.join(WAVES)}."
    if not groups.get("backend"):
        return "The inventory's group backend has no host: one host must run the backend."
    return ""


def mistyped(typed: Mapping[str, Any], settings: Sequence[str], own: Sequence[str] = RELEASE) -> str:
    """What somebody meant otherwise who typed these extra variables, as a sentence; empty where nothing seems so.

    Args:
        typed: -e, name -> value. Templates may use whatever name they like; ``rollout_`` is this project's.
        settings: the names that may be set.
        own: the names that the playbook itself has.
    """
    loose = str(typed.get(_LOOSE) or "")
    if loose:
        word = re.split(r"[\s:=]+", loose)[-1]
        meant = f": is it -e sha={word} that you mean?" if "sha" in own and COMMIT.fullmatch(word) else "."
        return f"-e {loose} is not NAME=VALUE{meant}"
    for name, value in typed.items():
        if name in own and not str(value if value is not None else "").strip():
            return f"{name} is given and empty: the variable behind it may be unset. Leave it out where you mean none."
        near = [] if name in own else get_close_matches(str(name).lower(), own, 1, 0.8)
        near += [one for one in own if name != one and sorted(str(name)) == sorted(one)]
        if "sha" in own and not set(own) & set(typed) and name in _COMMITS and COMMIT.fullmatch(str(value)):
            # Otherwise it would be the latest release.
            near = ["sha"]
        if str(name).startswith(_OURS) and name not in settings:
            ends = get_close_matches(str(name)[len(_OURS) :], [one.removeprefix(_OURS) for one in settings], 1, 0.7)
            near = [_OURS + end for end in ends]
            if not near:
                return f"{name} is not known. docs/inventory.md has what may be set."
        if near:
            return f"{name} is not known: is it {near[0]} that you mean?"
    return ""


def misplaced(application: str, directory: str) -> str:
    """What is wrong with the name of the application or its state directory; empty where nothing is.

    A Compose project is named after it (docs.docker.com/compose/how-tos/project-name).
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", application):
        return f"rollout_application is '{application}': expected a-z, 0-9, - and _, beginning with a letter or a digit."
    if not directory.startswith(("/", "~/")):
        return f"rollout_dir is '{directory}': expected a path that begins with / or ~/."
    return ""


def too_small(settings: Mapping[str, Any]) -> str:
    """What is wrong with the first of these settings that is less than it may be; empty where none is."""
    found = next((name for name, least in LEAST.items() if float(settings[name]) < least), "")
    return f"{found} is {float(settings[found]):g}: expected {LEAST[found]} or more." if found else ""


def too_late(confirm: float, wait: float) -> str:
    """The refusal of a guard that would act before a run can be confirmed; empty where it would not.

    Args:
        confirm: rollout_confirm_timeout, in seconds.
        wait: the longest time that one service may be waited for, in seconds.
    """
    if confirm < SHORTEST_CONFIRM_S:
        return (
            f"rollout_confirm_timeout is {confirm:g}: a guard needs at least {SHORTEST_CONFIRM_S} seconds, or it would act "
            "before a run can be confirmed."
        )
    if wait >= confirm:
        return (
            f"rollout_drain_timeout is {wait:g} and rollout_confirm_timeout {confirm:g}: the guard would act while a service "
            "is still waited for. Raise rollout_confirm_timeout: above all that the services of a host may take."
        )
    return ""


def stacks_of(stacks: Mapping[str, Mapping[str, Any]], groups: Iterable[str]) -> list[str]:
    """Names of the stacks whose wave is among ``groups``, in the order of the waves."""
    mine = set(groups)
    return [n for wave in WAVES if wave in mine for n, s in stacks.items() if s["wave"] == wave]


def stacks_of_wave(
    stacks: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]], host: str, wave: str, together: bool
) -> list[str]:
    """The stacks that a wave brings to a release on a host, in order.

    With ``together``, the workers of a host that is the only one of both worker waves go at once, in the first of them: no other
    host's turn lies between.
    """
    workers = ("cpu_workers", "gpu_workers")
    if together and wave in workers and all(list(groups.get(w, [])) == [host] for w in workers):
        return stacks_of(stacks, workers) if wave == workers[0] else []
    return stacks_of(stacks, [wave])


def is_idle(stacks: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]], wave: str, together: bool) -> bool:
    """Whether a wave brings nothing to a release on any host: its hosts have no stack, or had their turn in another wave."""
    return not any(stacks_of_wave(stacks, groups, host, wave, together) for host in groups.get(wave, []))


def images_of(stacks: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Any]) -> list[str]:
    """Names of the images that the fleet needs: those of stacks whose wave has hosts."""
    return sorted({i for s in stacks.values() if groups.get(s["wave"]) for i in s.get("images", [])})


def pick_images(
    images: Mapping[str, Any], registry: str, stacks: Mapping[str, Mapping[str, Any]], names: Iterable[str]
) -> dict[str, Any]:
    """Of the resolved images, those that the named stacks use."""
    wanted = {f"{registry}/{image}" for name in names for image in stacks[name].get("images", [])}
    return {repository: found for repository, found in images.items() if repository in wanted}


def merged(stacks: Mapping[str, Mapping[str, Any]], names: Iterable[str], key: str) -> dict[str, Any]:
    """The ``environment`` or ``secrets`` of the named stacks together."""
    out: dict[str, Any] = {}
    for name in names:
        out.update(stacks[name].get(key) or {})
    return out


def templates(stacks: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> list[str]:
    """The compose file of each of the named stacks, as the inventory names it."""
    return [str(stacks[name]["template"]) for name in names]


def same_machine(engines: Mapping[str, tuple[str, str]]) -> str:
    """The refusal of one machine that stands in the inventory under two names; empty where none does.

    Args:
        engines: host -> the id of its Docker engine, which machines that were cloned share, and that of its present boot.
    """
    first: dict[tuple[str, str], str] = {}
    for host, (engine, boot) in engines.items():
        if engine and (engine, boot) in first:
            return (
                f"Hosts {first[engine, boot]} and {host} are one machine (they have the same Docker engine, {engine}): keep one "
                "name in the inventory, and put it into all its groups."
            )
        first.setdefault((engine, boot), host)
    return ""


def empty_waves(stacks: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Any]) -> list[str]:
    """A sentence for each wave that has stacks but no host."""
    return [
        f"Wave {wave} has no host, so it is skipped: {', '.join(names)} is rolled out nowhere."
        for wave in WAVES
        if not groups.get(wave) and (names := [n for n, s in stacks.items() if s["wave"] == wave])
    ]


def fleet(groups: Mapping[str, Any]) -> list[str]:
    """All hosts of the waves, each once, in the order of the waves."""
    return list(dict.fromkeys(host for wave in WAVES for host in groups.get(wave) or []))


def unreachable(host: str, message: str) -> str:
    """The sentence for a host that Ansible could not reach, and what to do about Ansible's own message."""
    said = " ".join(message.split())
    fitting = [advice for sign, advice in _UNREACHABLE if sign.lower() in said.lower()]
    advice = (*fitting, "is it on, and on the network? (ansible HOST -m ping, with the same -i, shows the same)")[0]
    return f"Host {host} cannot be reached: {said[:400].rstrip('.')}. Advice: {advice.replace('HOST', host)}."


_UNREACHABLE = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host shows another key than before; where it was installed anew: ssh-keygen -R its address, then ssh to it once",
    ),
    ("Host key verification failed", "the host's key is not known here: ssh to it once and compare the key"),
    ("Permission denied (", "the key or the user is wrong: check ansible_user and ansible_ssh_private_key_file with ssh"),
    ("Invalid/incorrect password", "the password is wrong: --ask-pass asks for it"),
    ("Could not resolve", "the name is unknown here: check ansible_host"),
    ("Name or service not known", "the name is unknown here: check ansible_host"),
    ("Connection refused", "it is there, but no SSH server answers on that port: check ansible_port and sshd"),
)
