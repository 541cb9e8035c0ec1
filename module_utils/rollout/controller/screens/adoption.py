"""The screen of adopt.yml: the projects that run, the inventory that was written, and the next commands. Pure."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible.module_utils.rollout.controller.adopted_inventory import FILES, Stack
from ansible.module_utils.rollout.controller.adoption import SECTION
from ansible.module_utils.rollout.controller.screens import projects
from ansible.module_utils.rollout.domain.printable import inline, quoted
from ansible.module_utils.rollout.errors import Refusal

NO_PROJECT = Refusal(
    SECTION,
    "No host that could be looked at has a Compose project {name}. Those that there are: {known}.",
    "spell the project as `docker compose ls --all` does on its host; or look at more hosts",
)


def names(answers: Mapping[str, Mapping[str, Any]]) -> str:
    """The names of all projects."""
    return ", ".join(sorted({str(one["name"]) for answer in answers.values() for one in answer["projects"]})) or "none"


def further(answers: Mapping[str, Mapping[str, Any]], inventories: Sequence[str]) -> str:
    """The command that takes one of them over; empty if there is none."""
    first = next((str(one["name"]) for answer in answers.values() for one in answer["projects"] if not one["ours"]), "")
    given = " ".join(f"-i {quoted(str(one))}" for one in inventories)
    return (
        f"To take one over (nothing on a host is touched):\n    {_command('playbooks/adopt.yml', given, f'-e project={first}')}"
        if first
        else ""
    )


def refused(name: str, why: str) -> str:
    """A project of which no inventory was written."""
    return f"{inline(name)}: no inventory was written. {why}"


def incomplete(faults: Mapping[str, str]) -> str:
    """The hosts that could not be looked at, in a sentence."""
    return f"It is not known whether the project also runs on {', '.join(map(inline, faults))}."


def written(
    folder: str, stacks: Sequence[Stack], files: Mapping[str, Any], secret: Sequence[str], closed: bool, before: str
) -> str:
    """What was written, what was guessed, and what to type next.

    Args:
        secret: the files that ought to be encrypted; with ``closed`` they are.
        before: where the folder is now that was there before.
    """
    hosts = [host for stack in stacks for host in stack.hosts]
    lines = [f"{folder} was written. Nothing was touched on {', '.join(map(inline, hosts))}."]
    if before:
        lines.append(f"The folder that was there is now {before}.")
    lines.append("")
    lines += [f"    {inline(path)}" for path in files if not path.startswith(f"{FILES}/") or len(files) < 24]
    if len(files) >= 24:
        lines.append(
            f"    {FILES}/, with the project's own {len(files) - len([p for p in files if not p.startswith(FILES)])} files"
        )
    guesses = [
        f"{stack.name}.{service}.{key}: {_shown(stack.adopted.services[service][key])} ({why})"
        for stack in stacks
        for (service, key), why in stack.adopted.why.items()
    ]
    for stack in stacks:
        for key in ("profiles", "allow_unset", "tag_variable"):
            value = getattr(stack.adopted, key)
            guesses += [f"{stack.name}.{key}: {_shown(value)}"] if value else []
    lines += _listed("Guessed; read them in group_vars/all/main.yml:", guesses)
    notes = [note for stack in stacks for note in stack.adopted.notes]
    versions = {stack.name: stack.adopted.tag for stack in stacks if stack.adopted.tag}
    if len(set(versions.values())) > 1:
        several = ", ".join(f"{name}: {tag}" for name, tag in versions.items())
        notes.append(
            f"Hosts run different versions ({several}), and a rollout brings one to all. Take them over one by one, by --limit."
        )
    lines += _listed("Worth knowing:", list(dict.fromkeys(notes)))
    if secret and not closed:
        lines += ["", "Secrets are in plain in files that only you can read. Encrypt them first:"]
        lines.append(f"    ansible-vault encrypt {' '.join(quoted(f'{folder}/{path}') for path in secret)}")
    elif secret:
        lines += ["", f"Encrypted: {', '.join(map(inline, secret))}. Give the next commands the same vault password."]
    tag = next((f"-e tag={quoted(stack.adopted.tag)}" for stack in stacks if stack.adopted.tag), "")
    given = f"-i {quoted(folder)}"
    lines += ["", "Next, what a rollout would do, and then the rollout, which records what runs:"]
    lines.append(f"    {_command('rollout.yml', given, tag, '--check --diff')}")
    lines.append(f"    {_command('rollout.yml', given, tag)}")
    return "\n".join(lines)


def _listed(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    return ["", title, *(line for item in items for line in projects.wrapped("  - ", inline(item), "    "))]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _command(playbook: str, *words: str) -> str:
    return " ".join(["ansible-playbook", playbook, *filter(None, words)])
