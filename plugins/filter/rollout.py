"""Filters: what playbooks ask of the decisions in Python. A few look at the controller: command line, clocks, owner."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import ansible.module_utils
from ansible import constants, context
from ansible.parsing.dataloader import DataLoader
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars

# Ansible ships module_utils to hosts, but does not put this project's on the controller's own import path.
_ROOT = Path(__file__).resolve().parents[2]
ansible.module_utils.__path__.append(str(_ROOT / "module_utils"))

from ansible.module_utils.rollout.controller import broken, inventory, playbooks, references, results, target, terminal, waves
from ansible.module_utils.rollout.controller import owner as owners
from ansible.module_utils.rollout.controller.report import document as run_document
from ansible.module_utils.rollout.controller.screens import backups, drill, last, notes, plan, removal, status, steps, torch
from ansible.module_utils.rollout.domain import ledger as ledgers
from ansible.module_utils.rollout.domain import lock as locks
from ansible.module_utils.rollout.domain import printable, reference, verdict
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.io import machine


def rollout_asked(groups: Mapping[str, Any], playbook: str, hostvars: Mapping[str, Any], hosts: Sequence[str]) -> str:
    """The pattern of all waves; what was typed wrong ends Ansible here, with a sentence and exit status 2.

    Ansible asks for the hosts of every play, whatever --tags, --skip-tags and --start-at-task leave out, and before any task.

    Args:
        playbook: its file name.
        hosts: those of the inventory, as --limit has left them.
    """
    display = Display()
    # Also where another list of callbacks leaves ours out.
    terminal.guard(display)
    typed = load_extra_vars(DataLoader())
    settings: Sequence[str] = ()
    if any(str(name).startswith("rollout_") for name in typed):
        specs = DataLoader().load_from_file(str(_ROOT / "roles/fleet/meta/argument_specs.yml"))
        settings = list(specs["argument_specs"]["main"]["options"])
    named = ["all"] if playbook in playbooks.ANYWHERE else waves.of_inventory(groups, hostvars)
    asked = [host for host in waves.fleet(groups, named) if host in hosts]
    why = playbooks.refusal(playbook, context.CLIARGS, typed, settings, asked, named)
    if why and not asked:
        sources = context.CLIARGS.get("inventory") or ()
        why = " ".join([why, *broken.among(sources)])
    if why:
        aside = playbooks.document(typed, constants.DEFAULT_STDOUT_CALLBACK)
        tty = (sys.stderr if aside else sys.stdout).isatty()
        display.display(steps.wrapped(why, shutil.get_terminal_size().columns) if tty else why, stderr=aside)
        raise SystemExit(2)
    return waves.pattern(groups, named)


def rollout_anywhere(playbook: str, groups: Mapping[str, Any], hosts: Sequence[str]) -> str:
    """The pattern of a playbook that takes any inventory; what was typed wrong ends Ansible, as `rollout_asked` does.

    Args:
        hosts: those of the inventory, as --limit has left them.
    """
    rollout_asked(groups, playbook, {}, hosts)
    return "all"


def rollout_everyone(groups: Mapping[str, Any], hostvars: Mapping[str, Any]) -> str:
    """The pattern of all waves."""
    return waves.pattern(groups, waves.of_inventory(groups, hostvars))


def rollout_prepared(groups: Mapping[str, Any], when: str, hostvars: Mapping[str, Any]) -> str:
    """The pattern of all waves where a host has something to do ``before`` the switch or ``after`` it, otherwise of no host."""
    named = waves.of_inventory(groups, hostvars)
    previews = (
        (hostvars[h].get("rollout_preview") or {}).get("preview") or {} for h in waves.fleet(groups, named) if h in hostvars
    )
    return waves.pattern(groups, named if any(results.prepares(one, when) for one in previews) else ())


def rollout_typed(name: str) -> Any:
    """What stands behind ``-e name=``; None if it was not typed. For names that mean something else to Ansible within a task."""
    return load_extra_vars(DataLoader()).get(name)


def rollout_names(typed: Any) -> list[str]:
    """The names in a list, or in a text with commas between them; ``*`` for true."""
    words = [str(one).strip() for one in (typed if isinstance(typed, (list, tuple)) else str(typed or "").split(","))]
    return ["*" if word.lower() in references.ALL else word for word in words if word]


def rollout_placeholder(_of: str) -> str:
    """What stands for the release's tag where Compose reads the files before that is known."""
    return target.PLACEHOLDER


def rollout_asked_of(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """What the registries are to be asked (`references.asked`), of what was read on the hosts."""
    read = {host: said for host in hosts if "stacks" in (said := hostvars[host].get("rollout_read") or {})}
    typed = {key: rollout_names(rollout_typed(key)) for key in ("replace", "rerun", "done")}
    return references.asked(read, str(rollout_typed("refresh") or ""), typed)


def rollout_plan(hosts: Sequence[str], hostvars: Mapping[str, Any], tag: str, diff: bool) -> str:
    """The first screen of a run, once all hosts have previewed it.

    Args:
        tag: what the release was asked for by.
        diff: whether the differences of files are shown.
    """
    found = {host: hostvars[host].get("rollout_preview") or {} for host in hosts}
    return plan.screen({host: said for host, said in found.items() if "preview" in said}, diff, tag)


def rollout_verdict(
    hosts: Sequence[str], lost: Sequence[str], run: Mapping[str, Any], hostvars: Mapping[str, Any]
) -> dict[str, Any]:
    """Verdict, whether it is good, the last screen, the message for people elsewhere, and the document of the run."""
    found = {host: rollout_result(host, hostvars) for host in hosts}
    word = verdict.of_run(list(found.values()), lost)
    previews = {host: hostvars[host].get("rollout_preview") or {} for host in found}
    document = run_document.document(found, lost, {**run, "who": owners.who()}, previews)
    return {
        "verdict": word,
        "good": verdict.good(word),
        "screen": last.screen(found, lost, run),
        "message": last.message(found, lost, run),
        "document": document,
    }


def rollout_since(began: float) -> float:
    """Seconds since a moment on the clock that nobody sets; that moment, now, since 0."""
    return machine.clock().seconds - float(began)


def rollout_aftermath(hosts: Sequence[str], hostvars: Mapping[str, Any], role: str = "report") -> list[str]:
    """What was not told of a run: notifications and metrics that failed, in the role of that name."""
    names = {"notification": f"{role}_notification", "metrics": f"{role}_metrics"}
    return last.aftermath({h: {key: hostvars[h].get(name) or {} for key, name in names.items()} for h in hosts})


def rollout_problem(
    stacks: Any,
    groups: Mapping[str, Any],
    sha: str,
    tag: str,
    settings: Mapping[str, Any],
    hostvars: Mapping[str, Any],
    hosts: Sequence[str] = (),
    named: Sequence[str] = waves.DEFAULT,
) -> str:
    """All that is wrong with what was typed and with the inventory, one fault a line; empty if nothing is.

    Args:
        settings: rollout_application, rollout_dir, rollout_confirm_timeout, rollout_drain, rollout_allow_short_secrets, the
            length of rollout_registry_password, rollout_registries, and those of `inventory.LEAST`.
        hosts: those of the run.
        named: the waves.
    """
    wait = settings["rollout_drain_timeout"] if settings["rollout_drain"] == "wait" else 0
    wrong = Faults()
    if constants.INJECT_FACTS_AS_VARS:
        # Then nothing that was read until here is certainly the inventory's.
        wrong.add(*inventory.injected({h: hostvars[h].get("ansible_facts") or {} for h in waves.fleet(groups, named)}))
    wrong.add(*inventory.misplaced(str(settings["rollout_application"]), str(settings["rollout_dir"])))
    wrong.add(*inventory.too_small(settings))
    password, short = int(settings["rollout_registry_password"]), bool(settings["rollout_allow_short_secrets"])
    wrong.add(*inventory.short_password(password, short))
    wrong.add(*inventory.registries(settings["rollout_registries"], short))
    wrong.add(*inventory.too_late(float(settings["rollout_confirm_timeout"]), float(wait), float(settings["rollout_watch"])))
    with wrong.gather():
        reference.wanted_tag(str(sha), str(tag))
    wrong.add(*inventory.problems(stacks, groups, named, {h: hostvars[h].get("rollout_waves") for h in hosts}))
    return "\n".join(wrong.sentences)


def rollout_result(host: str, hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """What a host has come to; empty where the run has not begun."""
    # Asked for once: each time Ansible gathers a host's variables anew.
    said = hostvars[host]
    return results.of_host(host, said) if "rollout_run" in said else {}


def rollout_at_first(host: str, hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """What a host was when the run took its lock; empty where nobody could look."""
    return dict(results.at_first(host, hostvars[host]))


def rollout_state(hosts: Sequence[str], hostvars: Mapping[str, Any], lost: Sequence[str] = ()) -> dict[str, Any]:
    """What the hosts have come to together (`results.state`); ``lost`` are those that are gone without a word."""
    return results.state([rollout_result(host, hostvars) for host in hosts], lost)


def rollout_found(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """Sums up what the tasks of the locks found on the hosts.

    Returns:
        ledgers: of the hosts that take part. platforms: theirs, as images name them. first: the first of these, or empty.
        refusal: of a machine with two names, of a damaged ledger, or of a fleet in which no host takes part; empty otherwise.
    """
    found = {h: rollout_at_first(h, hostvars) for h in hosts}
    engines = {h: ((host.get("engine") or {}).get("id", ""), host.get("boot", "")) for h, host in found.items()}
    lost = {h: int((host.get("ledger") or {}).get("lost") or 0) for h, host in found.items()}
    present = [h for h in hosts if not rollout_result(h, hostvars).get("out")]
    processors = {(found[h].get("engine") or {}).get("arch") for h in present}
    return {
        "ledgers": {h: found[h]["ledger"] for h in present},
        "platforms": sorted(f"linux/{arch}" for arch in processors - {None}),
        "first": next(iter(present), ""),
        "refusal": inventory.same_machine(engines) or ledgers.incomplete(lost) or inventory.nobody(hosts, present),
    }


def rollout_said(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> list[str]:
    """Names of the facts in which an earlier run of the same playbook left what its steps said on these hosts."""
    known = [set(hostvars[host]) for host in hosts]
    return [name for name in results.RECORDED if any(name in names for names in known)]


def rollout_behind(
    groups: Mapping[str, Any], hosts: Sequence[str], hostvars: Mapping[str, Any], named: Sequence[str] = waves.DEFAULT
) -> list[str]:
    """The hosts of the inventory that take no part: left out by --limit, or optional and down."""
    # Asked on each host: the others of many are not looked at.
    optional = hostvars[hosts[0]].get("rollout_optional") or []
    fleet = waves.fleet(groups, named)
    return [h for h in fleet if h not in hosts or (h in optional and rollout_result(h, hostvars).get("behind"))]


def rollout_notes(
    hosts: Sequence[str],
    hostvars: Mapping[str, Any],
    stacks: Mapping[str, Any],
    groups: Mapping[str, Any],
    timeout: float,
    named: Sequence[str] = waves.DEFAULT,
) -> list[str]:
    """What the run found on these hosts before it began, and what it left behind there."""
    infos = {h: rollout_at_first(h, hostvars) for h in hosts}
    locks = [hostvars[h].get(name) or {} for h in hosts for name in ("lock_fleet", "lock_own")]
    taken = [str(task["taken_over"]) for task in locks if task.get("taken_over")]
    there = {h: i for h, i in infos.items() if "ledger" in i}
    settled = [(h, hostvars[h].get(name) or {}) for h in hosts for name in ("settle_gates", "settle_confirmed")]
    left = [str(note) for h in hosts for note in hostvars[h].get("backup_uncopied") or []]
    left += [f"{h}: {printable.inline(sentence)}" for h, task in settled for sentence in task.get("left") or []]
    for h in hosts:
        preview = (hostvars[h].get("rollout_preview") or {}).get("preview") or {}
        left += notes.left(h, preview.get("left") or {})
        if preview.get("stable") != preview.get("release"):
            left += notes.crashed(h, preview.get("services") or [], str(preview.get("stable") or ""))
    # Where nothing was switched no guard was armed, and there is nothing to say of it.
    began = (hostvars[h].get(name) for h in hosts for name in ("switch_done", "jobs_quiesced"))
    switched = any(task and not task.get("skipped") for task in began)
    empty = inventory.empty_waves(stacks, groups, named)
    return notes.before(there, taken, empty, float(timeout) if switched else 0.0) + left


def rollout_unlocked(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> str:
    """The screen of unlock.yml."""
    return last.unlock_screen({h: hostvars[h].get("unlock_done") or {} for h in hosts})


def rollout_removable(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> bool:
    """Whether remove.yml may remove anything: it is refused on no host that it reached."""
    return not removal.refused({h: hostvars[h].get("remove_seen") or {} for h in hosts})


def rollout_removed(hosts: Sequence[str], hostvars: Mapping[str, Any], application: str, check: bool) -> str:
    """The screen of remove.yml."""
    done = {h: hostvars[h].get("remove_done") or {} for h in hosts}
    looks = {h: hostvars[h].get("remove_seen") or {} for h in hosts}
    return removal.screen(looks, {h: task for h, task in done.items() if not task.get("skipped")}, application, check)


def rollout_ledgers(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """Host -> its ledger, of those whose lock the drill holds, in their order."""
    found = {h: (hostvars[h].get("drill_lock") or {}).get("host") for h in hosts}
    return {host: one["ledger"] for host, one in found.items() if one}


def rollout_drill(names: Sequence[str], hostvars: Mapping[str, Any], check: bool = False) -> dict[str, Any]:
    """What drill.yml found on these hosts: screen, good, message, and hosts (host -> whether it is good there)."""
    return drill.result({name: drill.seen(name, hostvars[name]) for name in names}, check)


def rollout_status(
    names: Sequence[str], hostvars: Mapping[str, Any], view: str = "all", shape: str = "table", strict: bool = False
) -> dict[str, Any]:
    """The screen of status.yml, or with view ``torch`` that of gpu_check.yml, and whether it is good.

    Args:
        shape: ``table``, or ``json`` for the document.
        strict: drift is not good.
    """
    hosts = {name: status.seen(hostvars[name]) for name in names}
    owner, now = owners.owner(), time.time()
    for found in hosts.values():
        lock = (found["info"] or {}).get("lock")
        if lock:
            lock["dead"] = locks.dead(lock, owner, owner["alive"])
    shown = {"screen": status.screen(hosts, now), "good": not strict or status.as_released(hosts)}
    if view == "torch":
        shown = torch.screen(hosts)
    if shape == "json":
        shown["screen"] = json.dumps(status.document(hosts, now), indent=2)
    return shown


def rollout_backed_up(names: Sequence[str], hostvars: Mapping[str, Any], check: bool) -> dict[str, Any]:
    """The screen of backup.yml, and whether it is good."""
    found = {}
    for name in names:
        result = rollout_result(name, hostvars)
        fault = (result.get("fault") or {}).get("msg") or ""
        task = {} if result.get("out") else hostvars[name].get("backup_done") or {}
        found[name] = {"fault": fault, "behind": bool(result.get("behind")), "task": task}
    uncopied = [str(note) for name in names for note in hostvars[name].get("backup_uncopied") or []]
    return backups.taken(found, check, uncopied, rollout_names(rollout_typed("service")))


def rollout_backups(names: Sequence[str], hostvars: Mapping[str, Any]) -> str:
    """The screen of restore.yml without a backup: those that there are."""
    seen = {name: hostvars[name].get("backup_host") or {} for name in names}
    infos = _with_ledger(seen)
    silent = [f"{name}: {printable.inline(results.sentence(seen[name]))}" for name in seen if name not in infos]
    return "\n".join([backups.listed(infos), *silent])


def rollout_uncopied(backup: Mapping[str, Any], host: str, failed: Mapping[str, Any]) -> str:
    """The note of a backup that could not be copied elsewhere."""
    return backups.uncopied(backup, host, failed)


def rollout_no_backup(names: Sequence[str], hostvars: Mapping[str, Any], backup: str) -> str:
    """Why that backup cannot be restored: no host that was seen has it. Empty if one has."""
    return backups.unknown(_with_ledger({name: hostvars[name].get("backup_host") or {} for name in names}), backup)


def _with_ledger(seen: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {name: info for name, info in seen.items() if "ledger" in info}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name -> function."""
        return {
            "rollout_asked": rollout_asked,
            "rollout_anywhere": rollout_anywhere,
            "rollout_typed": rollout_typed,
            "rollout_names": rollout_names,
            "rollout_placeholder": rollout_placeholder,
            "rollout_asked_of": rollout_asked_of,
            "rollout_plan": rollout_plan,
            "rollout_problem": rollout_problem,
            "rollout_stacks_of": inventory.stacks_of,
            "rollout_stacks_of_wave": inventory.stacks_of_wave,
            "rollout_is_idle": inventory.is_idle,
            "rollout_projects": inventory.projects_of,
            "rollout_unlocked": rollout_unlocked,
            "rollout_removable": rollout_removable,
            "rollout_removed": rollout_removed,
            "rollout_result": rollout_result,
            "rollout_at_first": rollout_at_first,
            "rollout_state": rollout_state,
            "rollout_found": rollout_found,
            "rollout_said": rollout_said,
            "rollout_behind": rollout_behind,
            "rollout_notes": rollout_notes,
            "rollout_fleet": waves.fleet,
            "rollout_everyone": rollout_everyone,
            "rollout_prepared": rollout_prepared,
            "rollout_first_of": inventory.first_of,
            "rollout_wave": waves.play,
            "rollout_wave_names": waves.names,
            "rollout_noted": results.noted,
            "rollout_data_back": results.with_data_back,
            "rollout_back_again": results.back_again,
            "rollout_verdict": rollout_verdict,
            "rollout_since": rollout_since,
            "rollout_aftermath": rollout_aftermath,
            "rollout_status": rollout_status,
            "rollout_drill": rollout_drill,
            "rollout_ledgers": rollout_ledgers,
            "rollout_backups": rollout_backups,
            "rollout_uncopied": rollout_uncopied,
            "rollout_no_backup": rollout_no_backup,
            "rollout_backed_up": rollout_backed_up,
        }
