"""The playbooks that an operator runs: what each one takes, and what keeps it from beginning. Pure."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Mapping, Sequence

from ansible.module_utils.rollout.controller import inventory, waves
from ansible.module_utils.rollout.domain.data import WAYS
from ansible.module_utils.rollout.errors import Refusal

# A rollout runs whole or not at all.
WHOLE = ("rollout.yml", "rollback.yml", "restore.yml")
# These print a document for programs on request.
WATCH = ("status.yml", "gpu_check.yml")
# Playbook -> the names that it takes with -e, beside the settings.
TAKEN = {
    "rollout.yml": (*inventory.RELEASE, "refresh", "replace", "rerun", "done", "adopt"),
    **dict.fromkeys(WATCH, ("format", "strict")),
    "rollback.yml": (*inventory.RELEASE, "environment", "replace", "data"),
    "unlock.yml": ("force",),
    "remove.yml": ("delete_data",),
    "drill.yml": ("restore",),
    "backup.yml": ("service",),
    "restore.yml": ("backup",),
    "adopt.yml": ("project", "into", "overwrite"),
}
# The name of the play that does nothing, before the first of each.
KNOW = "Know the inventory"
# Any host will do for these: there is no application yet.
ANYWHERE = ("adopt.yml",)
# The actions that hand a screen over.
SHOWN = ("show", "run_report", "adoption")
# Options of ansible-playbook that only look at a playbook.
_LOOKS = ("syntax", "listhosts", "listtasks", "listtags")
PARTIAL = Refusal(
    "What was typed",
    "{option} would run a part of {playbook}, and leave out what the rest relies on: run it whole. For a part of the fleet there "
    "is --limit.",
    "leave out `--tags`, `--skip-tags`, `--start-at-task`; for a part of the fleet there is `--limit`",
)
ENVIRONMENT = Refusal(
    "What was typed",
    "environment is '{given}': expected present, for the earlier code with the environment of today. Without it a release comes "
    "back with its own.",
    "type `-e environment=present`, or leave it out",
)
DATA = Refusal(
    "What was typed",
    "data is '{given}': expected keep, for the data as it is, or restore, for the data as it was backed up before the jobs that "
    "the rollback crosses. Without it a rollback across such a job is refused, and says what each of them loses.",
    "type `-e data=keep` or `-e data=restore`, or leave it out",
)
NO_HOST = Refusal(
    "The inventory",
    "The inventory {inventory} has no host in the groups {groups}: ansible-inventory --graph, with the same -i, shows what it "
    "has. Other groups are named with rollout_waves.",
    "correct the path behind `-i`, or the groups' names; or name your groups: `rollout_waves: [web, workers]`",
)


def own(playbook: str) -> str:
    """The file name of a playbook of ours; empty if it is another one."""
    name = PurePath(playbook).name
    return name if name in TAKEN else ""


def verb(playbook: str) -> str:
    """The action of a run, rollout or rollback; empty for every other playbook."""
    name = own(playbook)
    # A restore is a rollback to the release that runs, with older data.
    return {"restore.yml": "rollback"}.get(name, name.removesuffix(".yml")) if name in WHOLE else ""


def document(typed: Mapping[str, Any], stdout_callback: str) -> bool:
    """Whether stdout is for a document alone: what people read goes to stderr then.

    Args:
        typed: the variables of -e.
        stdout_callback: the stdout callback's name, as Ansible is configured.
    """
    return "json" in (typed.get("format"), stdout_callback.rpartition(".")[2])


def partial(arguments: Mapping[str, Any]) -> str:
    """The option that would run a part of the playbook; empty if it runs whole.

    Args:
        arguments: the command line, as Ansible has read it.
    """
    if arguments.get("start_at_task"):
        return "--start-at-task"
    if [tag for tag in arguments.get("tags") or [] if tag != "all"]:
        return "--tags"
    return "--skip-tags" if arguments.get("skip_tags") else ""


def refusal(
    playbook: str,
    arguments: Mapping[str, Any],
    typed: Mapping[str, Any],
    settings: Sequence[str],
    hosts: Sequence[str],
    named: Sequence[str] = waves.DEFAULT,
) -> str:
    """The sentence that keeps a playbook from beginning; empty if nothing does, or if the operator typed another playbook.

    Args:
        playbook: file name of a playbook of ours.
        arguments: the command line, as Ansible has read it.
        typed: the variables of -e.
        settings: the names that an inventory, or -e, may set.
        hosts: the hosts of the waves that the run would have.
        named: the waves.
    """
    # A playbook that imports ours has tags and variables of its own.
    if playbook not in map(own, arguments.get("args") or ()) or any(arguments.get(look) for look in _LOOKS):
        return ""
    option = partial(arguments)
    wrong = PARTIAL.text(option=option, playbook=playbook) if option else inventory.mistyped(typed, settings, TAKEN[playbook])
    if not wrong and playbook == "rollback.yml" and typed.get("environment") not in (None, "present"):
        wrong = ENVIRONMENT.text(given=typed["environment"])
    if not wrong and playbook == "rollback.yml" and (typed.get("data") or "") not in WAYS:
        wrong = DATA.text(given=typed["data"])
    wrong = wrong or " ".join([] if playbook in ANYWHERE else waves.wrong(named))
    if not wrong and not hosts:
        given = ", ".join(str(one) for one in arguments.get("inventory") or []) or "that ansible.cfg names"
        wrong = NO_HOST.text(inventory=given, groups=", ".join(named))
    head = f"{verb(playbook).upper()} REFUSED: nothing was touched. " if verb(playbook) and wrong else ""
    return head + wrong
