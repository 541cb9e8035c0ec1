"""Faults of a GPU host that do not depend on the container. Pure."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ansible.module_utils.rollout.domain.torch import cuda

# NVIDIA's number for a card that has fallen off the bus.
OFF_BUS = 79


def host_fault(host: Mapping[str, Any]) -> Optional[tuple[str, str]]:
    """What is wrong with a GPU host whatever the image: reason and evidence, or None (also where nothing is known).

    No new container would get its card; one that runs may go on.
    """
    driver = host.get("driver") or {}
    if not host:
        return None
    if not driver.get("loaded"):
        # Under WSL and on Jetson there is no such module.
        return None if host.get("nodes") else ("no_driver", "no NVIDIA driver is loaded on the host")
    loaded, installed = str(driver["loaded"]), driver.get("installed")
    if installed and cuda.numbers(loaded) != cuda.numbers(installed):
        return "driver_mismatch", f"loaded is {loaded}, installed {installed}"
    given = "nvidia" in (host.get("runtimes") or []) or host.get("hook")
    if host.get("runtimes") is not None and not given and not host.get("cdi"):
        return "no_runtime", "Docker has neither the runtime nvidia nor a CDI specification"
    if host.get("cdi_missing") and not given:
        return "cdi_stale", f"{', '.join(host['cdi'])} names {host['cdi_missing'][0]}, which is not there"
    return None


def asks_too_much(image: Mapping[str, str], torch: Mapping[str, Any], host: Mapping[str, Any]) -> Optional[tuple[str, str]]:
    """Whether an image is known to need a newer driver than the host's: reason and evidence."""
    driver = host.get("driver") or {}
    loaded = driver.get("loaded")
    if loaded and cuda.driver_too_old(loaded, torch.get("cuda")):
        return "driver_too_old", f"CUDA {torch['cuda']} needs driver {cuda.driver_for(torch['cuda'])}, the host has {loaded}"
    cards = host.get("cards") or []
    facts = {
        "cuda": driver.get("cuda") or cuda.brought_by(loaded),
        "driver": loaded,
        "arch": cards[0].get("capability") if cards else None,
    }
    unmet = cuda.unmet(image, facts)
    if not unmet:
        return None
    return "requirement_unmet", f"the image asks for {unmet}, the host has CUDA {facts['cuda']}, driver {loaded}"


def worst_xid(host: Mapping[str, Any]) -> dict[str, Any]:
    """The GPU error in the kernel log that tells most: a card off the bus, which only a reboot brings back, or the last."""
    xids = host.get("xids") or []
    return dict(next((xid for xid in xids if xid.get("code") == OFF_BUS), xids[-1] if xids else {}))
