"""What torch checks of a fleet found, for the operator's screen. Pure."""

from __future__ import annotations

from typing import Any, Mapping

from ansible.module_utils.rollout.controller.screens.tables import table
from ansible.module_utils.rollout.domain.printable import inline
from ansible.module_utils.rollout.domain.torch import reasons
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict

Hosts = Mapping[str, Mapping[str, Any]]
_HEAD = ["HOST", "SERVICE", "TORCH", "CUDA", "DRIVER", "DEVICE", "FREE", "VERDICT"]


def table_of(hosts: Hosts, gpus_only: bool = False) -> str:
    """A row for each device of each checked service; empty where nothing was checked.

    Args:
        hosts: host -> what `status.seen` returned.
        gpus_only: leave out services that need no GPU.
    """
    rows = []
    for host, found in hosts.items():
        for service, verdict in _checked(found):
            if gpus_only and not verdict["on_gpu"]:
                continue
            torch, driver = verdict.get("torch") or {}, verdict.get("driver") or {}
            first = [service, str(torch.get("version") or "-").partition("+")[0], torch.get("cuda") or torch.get("hip") or ""]
            first.append((driver.get("version") or "?") if verdict["on_gpu"] else "")
            for device in verdict.get("devices") or [{}]:
                rows.append([host, *first, _name(device), _free(device), _word(verdict)])
                first = [""] * len(first)
    return table(_HEAD, rows) if rows else ""


def screen(hosts: Hosts) -> dict[str, Any]:
    """The screen of gpu_check.yml, and whether every check passed; a host that was not seen is no pass.

    Args:
        hosts: host -> what `status.seen` returned.

    Returns:
        screen, good.
    """
    notes, checked, passed, hosts = [], 0, 0, inline(hosts)
    for host, found in hosts.items():
        if found["info"] is None:
            notes.append(f"{host}: {found['fault']}")
        for service, verdict in _checked(found):
            checked += 1
            if verdict["verdict"] == reasons.PASS:
                passed += 1
                notes += [f"{host}, {service}: {warning}" for warning in verdict.get("warnings") or []]
            else:
                notes.append(f"{host}, {service}: {torch_verdict.sentence(verdict)}")
    good = bool(checked) and passed == checked and all(found["info"] for found in hosts.values())
    if not checked and not notes:
        notes.append("No service has a torch contract: nothing was rolled out yet, or no x-rollout names torch.")
    if good:
        notes.append(f"{passed} checked, all have the torch that they should have.")
    return {"screen": "\n\n".join(part for part in (table_of(hosts), "\n".join(notes)) if part), "good": good}


def _checked(found: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    services = (found["info"] or {}).get("services", [])
    return [(row["service"], row["verdict"]) for row in services if row.get("verdict")]


def _word(verdict: Mapping[str, Any]) -> str:
    return "FAIL" if verdict["verdict"] == reasons.FAIL else str(verdict["verdict"])


def _name(device: Mapping[str, Any]) -> str:
    return str(device.get("name") or "").replace("NVIDIA ", "").replace("GeForce ", "")


def _free(device: Mapping[str, Any]) -> str:
    free, total = device.get("memory_free_mib"), device.get("memory_total_mib")
    return f"{free / 1024:.0f}/{total / 1024:.0f} GiB" if free is not None and total else ""
