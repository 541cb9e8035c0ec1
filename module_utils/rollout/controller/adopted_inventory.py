"""The inventory of a project that is taken over, as text: its files, and what is said of them on the screen. Pure.

Nothing of a host becomes a template: what could be one is written as ``!unsafe``, which Ansible does not render. The files of the
project lie in a hidden folder: those of any other Ansible would read as a part of the inventory, and run what can be run.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

import yaml
from ansible.module_utils.rollout.controller.adopted import Adopted
from ansible.module_utils.rollout.domain.printable import inline

HOSTS, ALL, VAULT = "hosts.yml", "group_vars/all/main.yml", "group_vars/all/vault.yml"
# Ansible passes over what is hidden, whatever it is configured to read (InventoryManager, IGNORED_ALWAYS).
FILES = ".files"
# The variables that say how a host is reached; without passwords.
CONNECTION = (
    *("ansible_connection", "ansible_host", "ansible_port", "ansible_user", "ansible_ssh_private_key_file"),
    *("ansible_ssh_common_args", "ansible_python_interpreter", "ansible_become", "ansible_become_method"),
)
PASSWORDS = ("ansible_password", "ansible_ssh_pass", "ansible_become_password", "ansible_become_pass")
_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")
# YAML's own words, in any case.
_WORDS = re.compile(r"(?:true|false|yes|no|on|off|null|y|n|~|\.|\.\.|\.inf|\.nan)", re.I)


@dataclass(frozen=True)
class Stack:
    """A stack of the inventory: its name, the group of its hosts, the hosts, and what is said of it."""

    name: str
    group: str
    hosts: tuple[str, ...]
    adopted: Adopted


def stacks(project: str, found: Mapping[str, Adopted]) -> list[Stack]:
    """The stacks of a project, one for all hosts that have it alike.

    Args:
        found: host -> what was found there; at least one.
    """
    alike: list[tuple[Adopted, list[str]]] = []
    for host, one in found.items():
        same = next((hosts for known, hosts in alike if known.same() == one.same()), None)
        if same is None:
            alike.append((one, [host]))
        else:
            same.append(host)
    taken = set(found)
    names = [project] if len(alike) == 1 else [f"{project}-{_word(hosts[0])}" for _one, hosts in alike]
    names = [name if names.count(name) == 1 else f"{name}-{n}" for n, name in enumerate(names, 1)]
    groups = ["apps" if len(alike) == 1 else f"apps_{n}" for n in range(1, len(alike) + 1)]
    # No group may have the name of a host.
    groups = [
        next(one for one in (group, f"{group}_hosts", f"{group}_of_{_word(project)}") if one not in taken) for group in groups
    ]
    return [Stack(name, group, tuple(hosts), one) for name, group, (one, hosts) in zip(names, groups, alike)]


def texts(project: str, found: Sequence[Stack], connections: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[bytes, int]]:
    """The files of the inventory: path below its folder -> content and mode. The secrets are in `VAULT`, in plain.

    Args:
        connections: host -> its variables in the inventory that was given.
    """
    variables = _variables(found)
    files = {
        HOSTS: (_hosts(found, connections).encode(), 0o644),
        ALL: (_all(project, found, variables).encode(), 0o600),
    }
    secrets = {variables[stack.name, name]: value for stack in found for name, value in stack.adopted.secrets.items()}
    if secrets:
        head = f"# Secrets in plain. Encrypt them before anybody else sees them: ansible-vault encrypt {VAULT}\n"
        lines = [f"{name}: {_text(value)}\n" for name, value in sorted(secrets.items())]
        files[VAULT] = ("".join([head, "---\n", *lines]).encode(), 0o600)
    for stack in found:
        for path, (content, mode) in stack.adopted.files.items():
            # Those with variables are for their owner: what looks like none may be a secret.
            own = mode & 0o100 or 0
            private = path in stack.adopted.private or path in (stack.adopted.env_files or [".env"])
            kept = (0o600 if private else 0o644 if mode & 0o044 else 0o600) | own
            files[f"{FILES}/{stack.name}/{path}"] = (content, kept | (0o011 if own and kept & 0o044 else 0))
    return files


def encrypted(found: Sequence[Stack]) -> list[str]:
    """The files of the inventory that `ansible-vault encrypt` should encrypt: a rollout decrypts them."""
    secret = [VAULT] if any(stack.adopted.secrets for stack in found) else []
    return secret + [f"{FILES}/{stack.name}/{path}" for stack in found for path in stack.adopted.private]


def _hosts(found: Sequence[Stack], connections: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["---", "# Written by playbooks/adopt.yml, from the inventory that it was given.", "all:", "  hosts:"]
    for host in dict.fromkeys(host for stack in found for host in stack.hosts):
        given = connections.get(host) or {}
        lines.append(f"    {_text(host)}:")
        lines += [f"      {name}: {_value(given[name])}" for name in CONNECTION if name in given and _is_plain(given[name])]
        hidden = [name for name in PASSWORDS if name in given]
        if hidden:
            lines.append(f"      # Not written: {', '.join(hidden)}. Put it into group_vars/all/vault.yml, or type --ask-pass.")
    lines.append("  children:")
    for stack in found:
        lines += [f"    {stack.group}:", "      hosts:", *(f"        {_text(host)}:" for host in stack.hosts)]
    return "\n".join([*lines, ""])


def _all(project: str, found: Sequence[Stack], variables: Mapping[tuple[str, str], str]) -> str:
    lines = [
        "---",
        "# Written by playbooks/adopt.yml, from what runs. A line with `guessed` is a guess: read it, and correct it.",
        f"rollout_application: {_text(project)}",
        f"rollout_waves: [{', '.join(stack.group for stack in found)}]",
        "rollout_stacks:",
    ]
    for stack in found:
        lines += _stack(project, stack, variables)
    return "\n".join([*lines, ""])


def _stack(project: str, stack: Stack, variables: Mapping[tuple[str, str], str]) -> list[str]:
    one = stack.adopted
    compose = [f"{FILES}/{stack.name}/{path}" for path in one.compose[:1]] + one.compose[1:]
    lines = [
        f"  {_text(stack.name)}:",
        f"    wave: {stack.group}",
        f"    compose: {_text(compose[0]) if len(compose) == 1 else _list(compose)}",
        "    # The name of the Compose project that runs, so that its volumes and networks stay the same ones.",
        f"    project: {_text(project)}",
        "    # The first rollout records what runs, and restarts nothing that is as these files say.",
        "    adopt: true",
        "    # Data that is mounted by a relative path stays in this folder of the host.",
        f"    data: {_text(one.folder)}",
    ]
    if one.env_files is not None:
        lines.append(f"    env_files: {_list(one.env_files)}")
    if one.tag_variable:
        lines.append(f"    tag_variable: {_text(one.tag_variable)}  # guessed: the only variable in the tags of its images")
    if one.profiles:
        lines.append(f"    profiles: {_list(one.profiles)}  # guessed: those of the services that have containers")
    if one.allow_unset:
        lines.append(f"    allow_unset: {_list(one.allow_unset)}  # guessed: used, and without a value in the environment files")
    lines += _services(one)
    if one.secrets:
        lines.append("    secrets:")
        lines += [f'      {_text(name)}: "{{{{ {variables[stack.name, name]} }}}}"' for name in sorted(one.secrets)]
    return [*lines, *(f"    # {inline(note)}" for note in one.notes)]


def _services(one: Adopted) -> list[str]:
    lines = ["    services:"] if one.services else []
    for name, keys in sorted(one.services.items()):
        lines.append(f"      {_text(name)}:")
        for key, value in keys.items():
            shown = _list(value) if isinstance(value, list) else _value(value)
            lines.append(f"        {key}: {shown}  # guessed: {inline(one.why[name, key])}")
    return lines


def _variables(found: Sequence[Stack]) -> dict[tuple[str, str], str]:
    """Stack and name of each secret -> the variable of the vault that holds it."""
    variables: dict[tuple[str, str], str] = {}
    for stack in found:
        for name in sorted(stack.adopted.secrets):
            own = "_".join(["vault", *([] if len(found) == 1 else [_word(stack.name)]), _word(name)])
            # Two names may be one word.
            while own in variables.values():
                own += "_"
            variables[stack.name, name] = own
    return variables


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", text)


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, bool))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, int) else _text(str(value))


def _list(values: Sequence[Any]) -> str:
    return f"[{', '.join(_text(str(one)) for one in values)}]"


def _text(value: str) -> str:
    """A text as YAML, on one line: a plain word as it is, everything else quoted, and what could be a template as ``!unsafe``."""
    value = str(value)
    if _PLAIN.fullmatch(value) and not _WORDS.fullmatch(value):
        return value
    quoted = json.dumps(value) if value.isprintable() and value.isascii() else _quoted(value)
    return f"!unsafe {quoted}" if "{" in value else quoted


def _quoted(value: str) -> str:
    return str(yaml.safe_dump(value, default_style='"', width=float("inf"))).strip()
