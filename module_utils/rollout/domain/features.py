"""What an engine or a Compose cannot do yet. Pure.

Some of it they refuse, but only when a container is made; the rest they leave out without a word. The versions are those of
Compose's source and of the engine's API history (docs.docker.com/reference/api/engine/version-history).
"""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping

from ansible.module_utils.rollout.errors import Refusal

_SECTION = "What a stack needs of its host"
TOO_OLD = Refusal(
    _SECTION,
    "{file}: {where} uses {feature}, which needs {program} {needed} or newer; this host has {version}. Upgrade it there, or "
    "remove {feature} from the file.",
    "upgrade Docker on that host from Docker's own packages (docs.docker.com/engine/install), or remove the key: this version "
    "refuses it only when a container is made, or ignores it silently",
)
ENGINE, COMPOSE = "Docker Engine", "Docker Compose"
NO_IPV6_SUBNET = "enable_ipv6 without an IPv6 subnet"

# Feature -> the versions that can do it.
NEEDED: dict[str, dict[str, str]] = {
    "healthcheck.start_interval": {ENGINE: "25.0"},
    # Older engines mount the whole volume.
    "volume.subpath": {ENGINE: "26.0", COMPOSE: "2.26.0"},
    "a volume of type image": {ENGINE: "28.0", COMPOSE: "2.35.0"},
    "bind.recursive": {ENGINE: "25.0"},
    # Debian's Compose 2.26.1 prints these two, and does nothing with them.
    "gpus": {COMPOSE: "2.30.0"},
    "gw_priority": {ENGINE: "28.0", COMPOSE: "2.33.1"},
    "interface_name": {ENGINE: "28.1", COMPOSE: "2.36.0"},
    "post_start": {COMPOSE: "2.30.0"},
    "pre_stop": {COMPOSE: "2.30.0"},
    "pre_start": {COMPOSE: "5.3.0"},
    "use_api_socket": {COMPOSE: "2.37.2"},
    "annotations": {ENGINE: "24.0"},
    "a CDI device": {ENGINE: "25.0", COMPOSE: "2.30.0"},
    "enable_ipv4": {ENGINE: "28.0", COMPOSE: "2.33.1"},
    NO_IPV6_SUBNET: {ENGINE: "27.0"},
}
# Device names of the Container Device Interface: vendor.com/class=name.
CDI = re.compile(r"[A-Za-z][\w.-]*/[\w.-]+=\S+")


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version: 20.10.24+dfsg1 -> (20, 10, 24)."""
    found = re.match(r"\D*(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def older(version: str, needed: str) -> bool:
    """Whether a version is known to be older."""
    return bool(numbers(version)) and numbers(version) < numbers(needed)


def faults(config: Mapping[str, Any], file: str, versions: Mapping[str, str], ipv6: bool = False) -> list[str]:
    """A sentence for each feature of a stack that this host does not have.

    Args:
        config: as Compose prints it.
        versions: of `ENGINE` and `COMPOSE`.
        ipv6: whether the engine's address pools have IPv6.
    """
    used = [(where, feature) for where, feature in _used(config) if not (ipv6 and feature == NO_IPV6_SUBNET)]
    return [sentence for where, feature in used for sentence in _too_old(where, feature, file, versions)]


def dropped(text: str, file: str, versions: Mapping[str, str]) -> list[str]:
    """A sentence for each feature that the text of a compose file names, and this Compose leaves out of what it prints."""
    written = re.sub(r"(^|\s)#.*", "", text)
    return (
        _too_old("a network of a service", "gw_priority", file, versions)
        if re.search(r"\bgw_priority['\"]?\s*:", written)
        else []
    )


def _too_old(where: str, feature: str, file: str, versions: Mapping[str, str]) -> list[str]:
    return [
        TOO_OLD.text(file=file, where=where, feature=feature, program=program, needed=needed, version=versions[program])
        for program, needed in NEEDED[feature].items()
        if older(versions.get(program, ""), needed)
    ][:1]


def _used(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, spec in (config.get("services") or {}).items():
        where = f"service {name}"
        if (spec.get("healthcheck") or {}).get("start_interval"):
            yield where, "healthcheck.start_interval"
        for key in ("gpus", "post_start", "pre_stop", "pre_start", "use_api_socket", "annotations"):
            if spec.get(key):
                yield where, key
        for mount in spec.get("volumes") or []:
            if mount.get("type") == "image":
                yield where, "a volume of type image"
            if (mount.get("volume") or {}).get("subpath"):
                yield where, "volume.subpath"
            if (mount.get("bind") or {}).get("recursive"):
                yield where, "bind.recursive"
        for use in (spec.get("networks") or {}).values():
            for key in ("gw_priority", "interface_name"):
                if (use or {}).get(key):
                    yield where, key
        if any(CDI.fullmatch(device) for device in devices(spec)):
            yield where, "a CDI device"
    for name, network in (config.get("networks") or {}).items():
        if network.get("external"):
            continue
        if network.get("enable_ipv4") is not None:
            yield f"network {name}", "enable_ipv4"
        subnets = [str(one.get("subnet") or "") for one in (network.get("ipam") or {}).get("config") or []]
        if network.get("enable_ipv6") and not any(":" in subnet for subnet in subnets):
            yield f"network {name}", NO_IPV6_SUBNET


def devices(spec: Mapping[str, Any]) -> list[str]:
    """The host's devices that a service gets. Older Compose prints them as texts."""
    return [
        str(one.get("source") if isinstance(one, Mapping) else str(one).partition(":")[0]) for one in spec.get("devices") or []
    ]
