"""Filters: the pure decisions that playbooks ask for."""

from __future__ import annotations

import json
import secrets
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import ansible.module_utils

# Ansible ships module_utils to hosts, but does not put this project's on the controller's own import path.
_HERE = str(Path(__file__).resolve().parents[2] / "module_utils")
if _HERE not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_HERE)

from ansible.module_utils.rollout import (
    inventory,
    machine,
    reference,
    report,
    results,
    run_document,
    status,
    torch_screen,
)
from ansible.module_utils.rollout import ledger as ledgers
from ansible.module_utils.rollout import lock as locks
from ansible.module_utils.rollout.errors import RolloutError


def rollout_verdict(
    found: Mapping[str, Any], lost: Sequence[str], run: Mapping[str, Any], hostvars: Mapping[str, Any]
) -> dict[str, Any]:
    """Verdict, whether it is good, the last screen, the message for people elsewhere, and the document of the run."""
    word = report.verdict(list(found.values()), lost)
    previews = {host: hostvars[host].get("rollout_preview") or {} for host in found}
    document = run_document.document(found, lost, {**run, "who": machine.who()}, previews)
    return {
        "verdict": word,
        "good": report.good(word),
        "screen": report.screen(found, lost, run),
        "message": report.message(found, lost, run),
        "document": document,
    }


def rollout_run_id(now: datetime) -> str:
    """A name for the run that begins ``now`` (UTC), and no other's."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def rollout_since(began: float) -> float:
    """Seconds since a moment on the clock that nobody sets; that moment, now, since 0."""
    return machine.clock().seconds - float(began)


def rollout_aftermath(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> list[str]:
    """What was not told of a run: notifications and metrics that failed."""
    names = {"notification": "report_notification", "metrics": "report_metrics"}
    return report.aftermath({h: {key: hostvars[h].get(name) or {} for key, name in names.items()} for h in hosts})


def rollout_problem(stacks: Any, groups: Mapping[str, Any], sha: str, tag: str, settings: Mapping[str, Any]) -> str:
    """The first thing wrong with what was typed or with the inventory; empty where nothing is.

    Args:
        settings: rollout_application, rollout_dir, rollout_confirm_timeout, rollout_drain, and those of `inventory.LEAST`.
    """
    wait = settings["rollout_drain_timeout"] if settings["rollout_drain"] == "wait" else 0
    wrong = (
        inventory.misplaced(str(settings["rollout_application"]), str(settings["rollout_dir"]))
        or inventory.too_small(settings)
        or inventory.too_late(float(settings["rollout_confirm_timeout"]), float(wait))
    )
    if wrong:
        return wrong
    try:
        reference.wanted_tag(str(sha), str(tag))
    except RolloutError as error:
        return str(error)
    return inventory.problem(stacks, groups)


def rollout_owner(action: str) -> dict[str, Any]:
    """Who asks for a lock."""
    return {**machine.owner(), "action": action}


def rollout_result(host: str, hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """What a host has come to; empty where the run has not begun."""
    # Asked for once: each time Ansible gathers a host's variables anew.
    said = hostvars[host]
    return results.of_host(host, said) if "rollout_run" in said else {}


def rollout_results(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The same of several hosts."""
    return {host: rollout_result(host, hostvars) for host in hosts}


def rollout_at_first(host: str, hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """What a host was when the run took its lock; empty where nobody could look."""
    return dict(results.at_first(host, hostvars[host]))


def rollout_present_hosts(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> list[str]:
    """The hosts that take part."""
    return [h for h, result in rollout_results(hosts, hostvars).items() if not result.get("out")]


def rollout_state(hosts: Sequence[str], hostvars: Mapping[str, Any], lost: Sequence[str] = ()) -> dict[str, bool]:
    """What the hosts have come to together (`results.state`); ``lost`` are those that are gone without a word."""
    return results.state(list(rollout_results(hosts, hostvars).values()), lost)


def rollout_ledgers(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """What the ledgers of those hosts said that take part."""
    return {h: rollout_at_first(h, hostvars)["ledger"] for h in rollout_present_hosts(hosts, hostvars)}


def rollout_behind(groups: Mapping[str, Any], hosts: Sequence[str], hostvars: Mapping[str, Any]) -> list[str]:
    """The hosts of the inventory that take no part: left out by --limit, or optional and down."""
    # Asked on each host: the others of many are not looked at.
    optional = hostvars[hosts[0]].get("rollout_optional") or []
    return [h for h in inventory.fleet(groups) if h not in hosts or (h in optional and rollout_result(h, hostvars).get("behind"))]


def rollout_notes(
    hosts: Sequence[str], hostvars: Mapping[str, Any], stacks: Mapping[str, Any], groups: Mapping[str, Any], timeout: float
) -> list[str]:
    """What the run found on these hosts before it began, and what it left behind there."""
    infos = {h: rollout_at_first(h, hostvars) for h in hosts}
    locks = [hostvars[h].get(name) or {} for h in hosts for name in ("lock_fleet", "lock_own")]
    taken = [str(task["taken_over"]) for task in locks if task.get("taken_over")]
    there = {h: i for h, i in infos.items() if "ledger" in i}
    settled = [(h, hostvars[h].get(name) or {}) for h in hosts for name in ("settle_gates", "settle_confirmed")]
    left = [f"{h}: {sentence}" for h, task in settled for sentence in task.get("left") or []]
    previews = [(h, (hostvars[h].get("rollout_preview") or {}).get("preview") or {}) for h in hosts]
    left += [
        report.leftover(h, stack, project) for h, preview in previews for stack, project in (preview.get("left") or {}).items()
    ]
    # Where nothing was switched no guard was armed, and there is nothing to say of it.
    switched = any(task and not task.get("skipped") for task in (hostvars[h].get("switch_done") for h in hosts))
    return report.before(there, taken, inventory.empty_waves(stacks, groups), float(timeout) if switched else 0.0) + left


def rollout_refusal(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> str:
    """The refusal of a machine with two names, or of a damaged ledger; empty where there is neither."""
    found = {h: rollout_at_first(h, hostvars) for h in hosts}
    engines = {h: ((host.get("engine") or {}).get("id", ""), host.get("boot", "")) for h, host in found.items()}
    lost = {h: int((host.get("ledger") or {}).get("lost") or 0) for h, host in found.items()}
    return inventory.same_machine(engines) or ledgers.incomplete(lost)


def rollout_unlocked(hosts: Sequence[str], hostvars: Mapping[str, Any]) -> str:
    """The screen of unlock.yml."""
    return report.unlock_screen({h: hostvars[h].get("unlock_done") or {} for h in hosts})


def rollout_status(hosts: Mapping[str, Any], view: str = "all", shape: str = "table", strict: bool = False) -> dict[str, Any]:
    """The screen of status.yml, or with view ``torch`` that of gpu_check.yml, and whether it is good.

    Args:
        shape: ``table``, or ``json`` for the document.
        strict: drift is not good.
    """
    owner, now = machine.owner(), time.time()
    for found in hosts.values():
        lock = (found["info"] or {}).get("lock")
        if lock:
            lock["dead"] = locks.dead(lock, owner, owner["alive"])
    shown = {"screen": status.screen(hosts, now), "good": not strict or status.as_released(hosts)}
    if view == "torch":
        shown = torch_screen.torch_screen(hosts)
    if shape == "json":
        shown["screen"] = json.dumps(status.document(hosts, now), indent=2, ensure_ascii=False)
    return shown


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name -> function."""
        return {
            "rollout_problem": rollout_problem,
            "rollout_stacks_of": inventory.stacks_of,
            "rollout_stacks_of_wave": inventory.stacks_of_wave,
            "rollout_is_idle": inventory.is_idle,
            "rollout_images_of": inventory.images_of,
            "rollout_pick_images": inventory.pick_images,
            "rollout_merge": inventory.merged,
            "rollout_templates": inventory.templates,
            "rollout_unlocked": rollout_unlocked,
            "rollout_owner": rollout_owner,
            "rollout_result": rollout_result,
            "rollout_results": rollout_results,
            "rollout_at_first": rollout_at_first,
            "rollout_present_hosts": rollout_present_hosts,
            "rollout_state": rollout_state,
            "rollout_ledgers": rollout_ledgers,
            "rollout_behind": rollout_behind,
            "rollout_notes": rollout_notes,
            "rollout_refusal": rollout_refusal,
            "rollout_fleet": inventory.fleet,
            "rollout_noted": results.noted,
            "rollout_fault": results.with_fault,
            "rollout_verdict": rollout_verdict,
            "rollout_run_id": rollout_run_id,
            "rollout_since": rollout_since,
            "rollout_aftermath": rollout_aftermath,
            "rollout_seen": status.seen,
            "rollout_status": rollout_status,
        }
