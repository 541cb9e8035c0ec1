"""What an inventory says of stacks, and whether it can be meant. Pure."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, Iterable, Mapping, Optional, Sequence

from ansible.module_utils.rollout.controller import stacks as stack_keys
from ansible.module_utils.rollout.controller import waves as wave_names
from ansible.module_utils.rollout.domain.mask import SHORTEST
from ansible.module_utils.rollout.domain.reference import COMMIT, is_registry
from ansible.module_utils.rollout.domain.shape import Key, faults
from ansible.module_utils.rollout.errors import Refusal

WAVES = wave_names.DEFAULT
# Those that a host may switch at once (`stacks_of_wave`).
_WORKERS = WAVES[1:]
SHORTEST_CONFIRM_S = 10
# The least that a number among the settings may be: with less it means nothing, or lets everything fail.
LEAST = {
    "rollout_keep": 0,
    "rollout_serial": 1,
    "rollout_watch": 0,
    "rollout_lock_wait": 0,
    "rollout_registry_timeout": 1,
    "rollout_step_timeout": 1,
    "rollout_torch_timeout": 1,
    "rollout_gpu_release_timeout": 0,
    "rollout_drain_timeout": 0,
    "rollout_notify_timeout": 1,
}
# How a release is named.
RELEASE = ("sha", "tag")
_COMMITS = ("commit", "revision", "rev")
# The names of settings, of the roles' own variables, and of what is typed.
_FACT = re.compile(
    r"(?:rollout|fleet|lock|plan|stage|switch|settle|revert|report|status|unlock|engine|guard)_\w+|sha|tag|force|format|strict"
)
# Where Ansible puts what is not NAME=VALUE.
_LOOSE = "_raw_params"
_OURS = "rollout_"
# What one of rollout_registries may have.
_LOGIN = {
    "username": Key("a text", (str,)),
    "password": Key("a text", (str,), secret=True),
    "insecure": Key("true or false", (bool,)),
    "ca": Key("the path of a PEM file", (str,)),
}
NO_STACK = Refusal(
    "The inventory",
    "rollout_stacks names no stack: nothing can be rolled out. See docs/your-own-stack.md.",
    "define `rollout_stacks`; [your own stack](your-own-stack.md) shows how",
)
APPLICATION = Refusal(
    "The inventory",
    "rollout_application is '{application}': expected a-z, 0-9, - and _, beginning with a letter or a digit.",
    "choose another name",
)
DIRECTORY = Refusal(
    "The inventory",
    "rollout_dir is '{directory}': expected a path that begins with / or ~/.",
    "choose another directory",
)
NOT_A_PAIR = Refusal(
    "What was typed",
    "-e {typed} is not NAME=VALUE{meant}",
    "write `-e NAME=VALUE`",
)
SHORT_PASSWORD = Refusal(
    "Compose file and environment",
    "{name} has fewer than {least} characters: a password that short cannot be masked without garbling "
    "everything else. Give the user a longer one, or set rollout_allow_short_secrets: then it is printed unmasked.",
    "choose a longer password, or set `rollout_allow_short_secrets`",
)
NOT_A_REGISTRY = Refusal(
    "The inventory",
    "rollout_registries has '{name}', which is not the name of a registry: expected a host, perhaps with a port, for example "
    "ghcr.io or nas:5000.",
    "leave out `https://` and whatever follows the host",
)
EMPTY = Refusal(
    "What was typed",
    "{name} is given and empty: the variable behind it may be unset. Leave it out where you mean none.",
    "leave out `-e sha=…` or `-e tag=…`, or set the variable behind it",
)
UNKNOWN = Refusal(
    "What was typed",
    "{name} is not known. docs/inventory.md has what may be set.",
    "spell the variable as [inventory](inventory.md) has it",
)
MISTYPED = Refusal(
    "What was typed",
    "{name} is not known: is it {near} that you mean?",
    "spell the variable as the sentence says, if you mean that one",
)
INJECTED = Refusal(
    "The inventory",
    "Host {host} says of itself what this run would take for its settings: {names}. Set inject_facts_as_vars = false in "
    "ansible.cfg (or ANSIBLE_INJECT_FACT_VARS=false), and add --flush-cache once.",
    "do both, and find out why that host has such facts: `ansible_facts` come from its own Python",
)
SAME_MACHINE = Refusal(
    "A host is down",
    "Hosts {first} and {second} are one machine (they have the same Docker engine, {engine}): keep one name in the inventory, "
    "and put it into all its groups.",
    "keep one of the two names",
)
EMPTY_WAVE = Refusal(
    "A host is down",
    "Wave {wave} has no host, so it is skipped: {stacks} is rolled out nowhere.",
    "give the group a host, or go on without that stack",
)
UNREACHABLE = Refusal(
    "A host is down",
    "Host {host} cannot be reached: {said}. Advice: {advice}.",
    "do what it advises; the words in the middle are Ansible's",
)
TOO_SMALL = Refusal(
    "What was typed",
    "{name} is {value:g}: expected {least} or more.",
    "raise the number",
)
ALL_DOWN = Refusal(
    "The inventory",
    "No host takes part: {hosts} cannot be reached, and rollout_optional lets a run go on without them. Start one of them, and "
    "run again.",
    "start a host of the fleet; `ansible all -m ping` with the same `-i` says why one cannot be reached",
)
TOO_SHORT = Refusal(
    "What was typed",
    "rollout_confirm_timeout is {confirm:g}: a guard needs at least {least} seconds, or it would act before a run can be "
    "confirmed.",
    "raise `rollout_confirm_timeout`",
)
WATCHED_TOO_LONG = Refusal(
    "What was typed",
    "rollout_watch is {watch:g} and rollout_confirm_timeout {confirm:g}: the guard would act while services are still watched. "
    "Raise rollout_confirm_timeout: above all that the switches and rollout_watch take together.",
    "raise `rollout_confirm_timeout`, or watch for a shorter time",
)
TOO_LATE = Refusal(
    "What was typed",
    "rollout_drain_timeout is {wait:g} and rollout_confirm_timeout {confirm:g}: the guard would act while a service is still "
    "waited for. Raise rollout_confirm_timeout: above all that the services of a host may take.",
    "raise `rollout_confirm_timeout`: above all that the services of a host may be waited for",
)


def problems(
    stacks: Any, groups: Mapping[str, Any], waves: Sequence[str] = WAVES, said: Optional[Mapping[str, Any]] = None
) -> list[str]:
    """All that is wrong with ``rollout_stacks``, the waves and the groups, a sentence each.

    Args:
        said: host -> its ``rollout_waves``.
    """
    if not isinstance(stacks, Mapping) or not stacks:
        found = [NO_STACK.text()]
    else:
        found = stack_keys.problems(stacks, waves)
    return [*found, *wave_names.problems(groups, waves, said)]


def mistyped(typed: Mapping[str, Any], settings: Sequence[str], own: Sequence[str] = RELEASE) -> str:
    """Extra variables that look mistyped, a sentence each with the name that was probably meant; empty if none does.

    Args:
        typed: -e, name -> value. Templates may use whatever name they like; ``rollout_`` is this project's.
        settings: the names that may be set.
        own: the names that the playbook itself has.
    """
    loose = str(typed.get(_LOOSE) or "")
    if loose:
        word = re.split(r"[\s:=]+", loose)[-1]
        meant = f": is it -e sha={word} that you mean?" if "sha" in own and COMMIT.fullmatch(word) else "."
        return NOT_A_PAIR.text(typed=loose, meant=meant)
    found: list[str] = []
    for name, value in typed.items():
        if name in own and not str(value if value is not None else "").strip():
            found.append(EMPTY.text(name=name))
            continue
        near = [] if name in own else get_close_matches(str(name).lower(), own, 1, 0.8)
        near += [one for one in own if name != one and sorted(str(name)) == sorted(one)]
        if "sha" in own and not set(own) & set(typed) and name in _COMMITS and COMMIT.fullmatch(str(value)):
            # Otherwise it would be the latest release.
            near = ["sha"]
        if str(name).startswith(_OURS) and name not in settings:
            ends = get_close_matches(str(name)[len(_OURS) :], [one.removeprefix(_OURS) for one in settings], 1, 0.7)
            near = [_OURS + end for end in ends]
            if not near:
                found.append(UNKNOWN.text(name=name))
        if near:
            found.append(MISTYPED.text(name=name, near=near[0]))
    return " ".join(found)


def misplaced(application: str, directory: str) -> list[str]:
    """Faults of the name of the application and of its state directory, a sentence each.

    A Compose project is named after it (docs.docker.com/compose/how-tos/project-name).
    """
    named = re.fullmatch(r"[a-z0-9][a-z0-9_-]*", application)
    found = [] if named else [APPLICATION.text(application=application)]
    return found if directory.startswith(("/", "~/")) else [*found, DIRECTORY.text(directory=directory)]


def injected(facts: Mapping[str, Iterable[str]]) -> list[str]:
    """A refusal for each host whose facts have names of this project: Ansible would take them for variables, and before those of
    the inventory.

    Args:
        facts: host -> the names of what is known of it.
    """
    return [
        INJECTED.text(host=host, names=", ".join(found))
        for host, names in facts.items()
        if (found := sorted(filter(_FACT.fullmatch, names)))
    ]


def too_small(settings: Mapping[str, Any]) -> list[str]:
    """A sentence for each of these settings that is less than it may be."""
    return [
        TOO_SMALL.text(name=name, value=float(settings[name]), least=least)
        for name, least in LEAST.items()
        if float(settings[name]) < least
    ]


def short_password(length: int, allowed: bool, name: str = "rollout_registry_password") -> list[str]:
    """The refusal of a registry's password of so many characters, if it is too short to be hidden and that is not ``allowed``."""
    return [SHORT_PASSWORD.text(name=name, least=SHORTEST)] if 0 < length < SHORTEST and not allowed else []


def registries(named: Mapping[str, Any], allowed: bool) -> list[str]:
    """All that is wrong with ``rollout_registries``, a sentence each; ``allowed`` as for `short_password`."""

    def inner(login: Mapping[str, Any], where: str) -> list[str]:
        length = len(str(login.get("password") or ""))
        return [*faults(login, where, _LOGIN), *short_password(length, allowed, f"{where}.password")]

    # One indent too few makes a registry of a password.
    one = Key("a mapping with username and password", (Mapping,), inner=inner, secret=True)
    found = [
        NOT_A_REGISTRY.text(name=name) for name, login in named.items() if isinstance(login, Mapping) and not is_registry(name)
    ]
    return [*found, *(fault for name, login in named.items() for fault in one.faults(login, f"rollout_registries.{name}"))]


def too_late(confirm: float, wait: float, watch: float = 0.0) -> list[str]:
    """The refusal of a guard that would act before a run can be confirmed; empty if it would not.

    Args:
        confirm: rollout_confirm_timeout, in seconds.
        wait: the longest time that one service may be waited for, in seconds.
        watch: rollout_watch, in seconds.
    """
    if confirm < SHORTEST_CONFIRM_S:
        return [TOO_SHORT.text(confirm=confirm, least=SHORTEST_CONFIRM_S)]
    found = [TOO_LATE.text(wait=wait, confirm=confirm)] if wait >= confirm else []
    return [*found, *([WATCHED_TOO_LONG.text(watch=watch, confirm=confirm)] if watch >= confirm else [])]


def stacks_of(stacks: Mapping[str, Mapping[str, Any]], groups: Iterable[str], waves: Sequence[str] = WAVES) -> list[str]:
    """Names of the stacks whose wave is among ``groups``, in the order of the waves."""
    mine = set(groups)
    return [n for wave in waves if wave in mine for n, s in stacks.items() if s["wave"] == wave]


def stacks_of_wave(
    stacks: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    host: str,
    wave: str,
    together: bool,
    waves: Sequence[str] = WAVES,
) -> list[str]:
    """The stacks that a wave brings to a release on a host, in order.

    With ``together``, the workers of a host that is the only one of both worker waves go at once, in the first of them: no other
    host's turn lies between. Waves under names of one's own keep their order on one host too: it may be meant.
    """
    joined = together and tuple(waves) == WAVES and wave in _WORKERS
    if joined and all(list(groups.get(w, [])) == [host] for w in _WORKERS):
        return stacks_of(stacks, _WORKERS) if wave == _WORKERS[0] else []
    return stacks_of(stacks, [wave], waves)


def projects_of(stacks: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """These stacks with the Compose project that each names; empty for the usual one."""
    return {name: str(stacks[name].get("project") or "") for name in names}


def first_of(
    stacks: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]], host: str, present: Sequence[str]
) -> list[str]:
    """The stacks whose jobs with ``run_on: first`` a host runs: it is the first one of their wave among those ``present``."""
    return [
        name for name, stack in stacks.items() if next((h for h in groups.get(stack["wave"], []) if h in present), "") == host
    ]


def is_idle(
    stacks: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    wave: str,
    together: bool,
    waves: Sequence[str] = WAVES,
) -> bool:
    """Whether a wave brings nothing to a release on any host: its hosts have no stack, or had their turn in another wave."""
    return not any(stacks_of_wave(stacks, groups, host, wave, together, waves) for host in groups.get(wave, []))


def same_machine(engines: Mapping[str, tuple[str, str]]) -> str:
    """The refusal of one machine that stands in the inventory under two names; empty where none does.

    Args:
        engines: host -> the id of its Docker engine, which machines that were cloned share, and that of its present boot.
    """
    first: dict[tuple[str, str], str] = {}
    for host, (engine, boot) in engines.items():
        if engine and (engine, boot) in first:
            return SAME_MACHINE.text(first=first[engine, boot], second=host, engine=engine)
        first.setdefault((engine, boot), host)
    return ""


def nobody(hosts: Sequence[str], present: Sequence[str]) -> str:
    """The refusal of a run in which none of its ``hosts`` is ``present``; empty if one is."""
    return "" if present else ALL_DOWN.text(hosts=", ".join(hosts))


def empty_waves(stacks: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Any], waves: Sequence[str] = WAVES) -> list[str]:
    """A sentence for each wave that has stacks but no host."""
    return [
        EMPTY_WAVE.text(wave=wave, stacks=", ".join(names))
        for wave in waves
        if not groups.get(wave) and (names := [n for n, s in stacks.items() if s["wave"] == wave])
    ]


def unreachable(host: str, message: str) -> str:
    """The sentence for a host that Ansible could not reach, and what to do about Ansible's own message."""
    said = " ".join(message.split())
    fitting = [advice for sign, advice in _UNREACHABLE if sign.lower() in said.lower()]
    advice = (*fitting, "is it on, and on the network? (ansible HOST -m ping, with the same -i, shows the same)")[0]
    return UNREACHABLE.text(host=host, said=said[:400].rstrip("."), advice=advice.replace("HOST", host))


_UNREACHABLE = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host shows another key than before; where it was installed anew: ssh-keygen -R its address, then ssh to it once",
    ),
    ("rollout_step_timeout", "something hangs there: its disk, its engine, its network; if its pulls take longer, raise that"),
    ("MiB, which no step does", "find out which program answers there instead of this tool"),
    ("Host key verification failed", "the host's key is not known here: ssh to it once and compare the key"),
    ("Permission denied (", "the key or the user is wrong: check ansible_user and ansible_ssh_private_key_file with ssh"),
    ("Invalid/incorrect password", "the password is wrong: --ask-pass asks for it"),
    ("Could not resolve", "the name is unknown here: check ansible_host"),
    ("Name or service not known", "the name is unknown here: check ansible_host"),
    ("Connection refused", "it is there, but no SSH server answers on that port: check ansible_port and sshd"),
)
