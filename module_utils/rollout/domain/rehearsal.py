"""Rehearsals: a new container of a service beside the one that runs. What keeps a service from being tried so, the configuration
of that container, and where its gate is asked. Pure."""

from __future__ import annotations

from typing import Any, Collection, Mapping, Sequence
from urllib.parse import urlsplit, urlunsplit

from ansible.module_utils.rollout.domain import devices
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.urls import host

# Of every container that is tried; its value is the state directory to which it belongs.
LABEL = "rollout.rehearsal"
# The application finds it set, and writes, registers and sends nothing.
VARIABLE = "REHEARSAL"
# What a switch does to a service that is worth a rehearsal.
TRIED = ("create", "recreate", "replace")
# Networks whose containers are the neighbours of other machines: the host itself does not reach them.
_OF_NEIGHBOURS = ("macvlan", "ipvlan")
_PORTS = {"http": 80, "https": 443}
# What only one container of a service can have, what others would take it for the service by, and what `run` is not asked for.
_LEFT_OUT = (
    *("container_name", "hostname", "domainname", "mac_address", "ports", "labels", "label_file", "annotations"),
    *("depends_on", "profiles", "restart", "scale", "build", "develop", "deploy", "logging", "networks", "volumes"),
)
# What belongs to other containers, or to devices.
_TOGETHER = ("ipc", "pid", "volumes_from", "links", "external_links", "devices", "gpus", "runtime")
_OWN_ADDRESS = ("aliases", "ipv4_address", "ipv6_address", "link_local_ips", "mac_address")


def unfit(jobs: Sequence[str]) -> str:
    """Why no service of a release is rehearsed before jobs that are not compatible; empty if there are none."""
    if not jobs:
        return ""
    runs = "runs" if len(jobs) == 1 else "run"
    return f"job {' and '.join(jobs)} {runs} before the switch, and the new code does not fit the data as it is until then"


def labelled(root: Any) -> str:
    """The label of the containers that the application in that state directory tries."""
    return f"{LABEL}={root}"


def hindrance(service: Service, spec: Mapping[str, Any]) -> str:
    """Why a service cannot be rehearsed, as the end of a sentence; empty if it can.

    Args:
        spec: its configuration as Compose prints it.
    """
    mode = str(spec.get("network_mode") or "")
    others = {"ipc": ("service:", "container:"), "pid": ("service:", "container:", "host")}
    shares = [key for key, modes in others.items() if str(spec.get(key) or "").startswith(modes)]
    if not service.released:
        return "it is kept"
    if service.start_first:
        return "with start_first its gate is held before any request reaches it, which does the same"
    if (service.torch and service.torch.on_gpu) or devices.requests(spec) or spec.get("runtime") == "nvidia":
        return "it needs a GPU, and one card holds one model"
    if spec.get("devices"):
        return "it has devices, which two containers would share"
    if mode == "host" or mode.startswith(("service:", "container:")):
        return f"it has network_mode {mode}, and no address of its own"
    if spec.get("privileged"):
        return "it is privileged, and could act on the host itself"
    if shares:
        return f"it has {shares[0]} {spec[shares[0]]}, and would meet the processes that run"
    if spec.get("volumes_from") or spec.get("links"):
        return f"it has {'volumes_from' if spec.get('volumes_from') else 'links'}, which belongs to the containers that run"
    if service.health and not service.exec and not own(service, spec):
        return "none of its health URLs goes to its own container"
    return ""


def unreachable(service: Service, names: Collection[str], there: Mapping[str, str], rootless: bool) -> str:
    """Why a service cannot be rehearsed on its networks, as the end of a sentence; empty if it can.

    Args:
        names: those of its networks.
        there: the networks of the host, each with its driver.
        rootless: whether the host's engine is.
    """
    for name in names:
        if name not in there:
            return f"its network {name} is not there yet"
        if there[name] in _OF_NEIGHBOURS:
            return f"a further container would take an address in its network {name} ({there[name]}), which is not the host's own"
    return "the host does not reach the addresses of a rootless engine's containers" if rootless and service.health else ""


def own(service: Service, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The health URLs of a service that go to its own container, each with the port on which that listens: those with the
    service's name or the container's, and those with an address of this host and a port that it publishes."""
    names = {service.name.lower(), str(spec.get("container_name") or service.name).lower()}
    found = []
    for url in service.health:
        parts = urlsplit(url)
        if host(url) in names:
            found.append(url)
            continue
        number = parts.port or _PORTS.get(parts.scheme, 0)
        target = next((to for at, to, address in _published(spec) if at == number and _is_here(host(url), address)), 0)
        if target:
            user = parts.netloc.rpartition("@")[0]
            name = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
            found.append(urlunsplit(parts._replace(netloc=f"{user}@{name}:{target}" if user else f"{name}:{target}")))
    return tuple(found)


def _published(spec: Mapping[str, Any]) -> list[tuple[int, int, str]]:
    """Port of the host, port in the container, and address, of each TCP port that a service publishes."""
    ports = [one for one in spec.get("ports") or [] if (one.get("protocol") or "tcp") == "tcp"]
    known = [one for one in ports if str(one.get("published", "")).isdigit()]
    return [(int(one["published"]), int(one["target"]), str(one.get("host_ip") or "")) for one in known]


def _is_here(name: str, address: str) -> bool:
    return name.startswith("127.") or name in ("localhost", "::1") or (bool(address) and name == address)


def sources(spec: Mapping[str, Any]) -> list[str]:
    """The paths of the host that a service mounts."""
    return [str(one["source"]) for one in spec.get("volumes") or [] if one.get("type") == "bind" and one.get("source")]


def volumes(config: Mapping[str, Any], name: str, project: str) -> dict[str, str]:
    """The volumes that a service of a stack mounts by name: key -> name on the host."""
    keys = [str(one["source"]) for one in config["services"][name].get("volumes") or [] if _is_named(one)]
    return _named(config, "volumes", keys, project)


def networks(config: Mapping[str, Any], name: str, project: str) -> dict[str, str]:
    """The networks of a service of a stack: key -> name on the host."""
    return _named(config, "networks", list(_joined(config["services"][name])), project)


def _joined(spec: Mapping[str, Any]) -> dict[str, Any]:
    asked = spec.get("networks") or ({} if spec.get("network_mode") else {"default": None})
    return dict(asked) if isinstance(asked, Mapping) else dict.fromkeys(asked)


def _is_named(entry: Mapping[str, Any]) -> bool:
    return entry.get("type") == "volume" and bool(entry.get("source"))


def _named(config: Mapping[str, Any], kind: str, keys: Sequence[str], project: str) -> dict[str, str]:
    known = config.get(kind) or {}
    return {key: str((known.get(key) or {}).get("name") or f"{project}_{key}") for key in keys}


def document(config: Mapping[str, Any], name: str, project: str, label: str, absent: Collection[str]) -> dict[str, Any]:
    """The Compose file of the container that is tried for a service: its configuration, on its networks and with its mounts, all
    of them read-only, and without all by which others would find it or two could not be.

    Args:
        config: the stack as Compose prints it.
        project: the Compose project of the stack.
        label: the value of `LABEL`.
        absent: volumes and paths of the host that are not there yet: instead of one it gets an empty volume of its own.
    """
    spec = config["services"][name]
    there = volumes(config, name, project)
    joined = {key: _without(facts or {}, _OWN_ADDRESS) for key, facts in _joined(spec).items()}
    limits = ((spec.get("deploy") or {}).get("resources") or {}).get("limits")
    tried = {
        **_without(spec, _LEFT_OUT),
        "environment": {**(spec.get("environment") or {}), VARIABLE: "1"},
        "labels": {LABEL: label},
        "pull_policy": "never",
        "volumes": [_mount(entry, there, absent) for entry in spec.get("volumes") or []],
        **({"networks": joined} if joined else {}),
        **({"deploy": {"resources": {"limits": limits}}} if limits else {}),
    }
    external = {
        "networks": {key: {"name": one, "external": True} for key, one in networks(config, name, project).items()},
        "volumes": {key: {"name": one, "external": True} for key, one in there.items() if one not in absent},
    }
    shared = {kind: _shared(config, spec, kind) for kind in ("configs", "secrets")}
    return {"services": {name: tried}, **{kind: found for kind, found in {**external, **shared}.items() if found}}


def apart(config: Mapping[str, Any], name: str, label: str) -> dict[str, Any]:
    """The Compose file of a container that has nothing of its service but image, configuration and read-only mounts: no network,
    and empty volumes of its own instead of the service's data. Arguments as of `document`."""
    spec = config["services"][name]
    # What it may write: all of that is data.
    data = {str(one.get("source")) for one in spec.get("volumes") or [] if not one.get("read_only")}
    named = {one for key, one in volumes(config, name, "").items() if key in data}
    alone = {**config, "services": {name: {**_without(spec, ("networks", *_TOGETHER)), "network_mode": "none"}}}
    return document(alone, name, "", label, data | named)


def _mount(entry: Mapping[str, Any], there: Mapping[str, str], absent: Collection[str]) -> dict[str, Any]:
    kind, source = entry.get("type"), str(entry.get("source") or "")
    if kind == "tmpfs" or (kind == "volume" and not source):
        return dict(entry)
    if (there.get(source) if kind == "volume" else source) in absent:
        return {"type": "volume", "target": entry["target"]}
    if kind == "volume":
        # Nor does it fill an empty volume with what the image has there.
        return {**entry, "read_only": True, "volume": {**(entry.get("volume") or {}), "nocopy": True}}
    return {**entry, "read_only": True}


def _shared(config: Mapping[str, Any], spec: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The configs or secrets of a stack that a service uses."""
    uses = [str(use["source"] if isinstance(use, Mapping) else use) for use in spec.get(kind) or []]
    return {key: one for key, one in (config.get(kind) or {}).items() if key in uses}


def _without(facts: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key not in keys}
