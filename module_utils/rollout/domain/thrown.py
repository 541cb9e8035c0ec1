"""What of a service's configuration a container gets that is thrown away after a probe of torch. Pure."""

from __future__ import annotations

from typing import Any, Mapping

# What decides which torch and which devices a container sees. Not its volumes, network, ports and secrets.
_TRIED = (
    *("image", "environment", "user", "group_add", "working_dir", "platform", "privileged", "cap_add", "cap_drop"),
    *("security_opt", "userns_mode", "shm_size", "mem_limit", "memswap_limit", "ulimits", "tmpfs", "read_only", "init"),
)
_GPU = ("runtime", "gpus", "devices", "device_cgroup_rules")


def throw_away(service: Mapping[str, Any], python: str, gpu: bool) -> dict[str, Any]:
    """A service's configuration, cut to what a probe on standard input needs; without ``gpu`` it gets no device.

    Args:
        service: as Compose prints it.
        python: the interpreter that reads the probe.
    """
    resources = (service.get("deploy") or {}).get("resources") or {}
    tried: dict[str, Any] = {key: service[key] for key in _TRIED if key in service}
    if service.get("ipc") in ("host", "private", "shareable"):
        tried["ipc"] = service["ipc"]
    if gpu:
        tried.update({key: service[key] for key in _GPU if key in service})
        kept = {"limits": resources.get("limits"), "reservations": resources.get("reservations")}
    else:
        environment = tried.get("environment") or {}
        # Where the runtime nvidia is the engine's default, an image asks for its devices by this variable.
        tried["environment"] = {**environment, "NVIDIA_VISIBLE_DEVICES": "void"}
        kept = {"limits": resources.get("limits")}
    deploy = {"resources": {key: value for key, value in kept.items() if value}}
    return {
        **tried,
        **({"deploy": deploy} if deploy["resources"] else {}),
        "entrypoint": [python],
        "command": ["-"],
        "stdin_open": True,
        "pull_policy": "never",
        "network_mode": "none",
        "healthcheck": {"disable": True},
    }
