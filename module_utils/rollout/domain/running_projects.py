"""The Compose projects that run on a host, as their containers tell: labels of Compose, and what the engine says. Pure.

Labels are a text like any other. Anyone who may start a container there may write them.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any, Iterable, Mapping, Sequence

from ansible.module_utils.rollout.domain.compose import CONFIG_LABEL
from ansible.module_utils.rollout.domain.foreign import flag, listed, mapped, matching, number, said, table, text

LABEL = "com.docker.compose"
# A Compose project's name (docs.docker.com/compose/how-tos/project-name).
NAME = r"[a-z0-9][a-z0-9_-]{0,99}"
SERVICE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
# The file that Compose reads unasked.
ENV = ".env"
_MOUNT = table({"kind": text(64), "source": text(), "target": text(), "read_only": flag})
_PORT = table({"address": text(64), "published": number, "target": number, "protocol": text(16)})
_SERVICE = table(
    {
        "service": matching(SERVICE, "the name of a service"),
        **dict.fromkeys(("image", "digest", "id"), text(400)),
        **dict.fromkeys(("state", "health", "restart"), text(64)),
        **dict.fromkeys(("check", "image_check"), said()),
        **dict.fromkeys(("code", "replicas"), number),
        "ports": listed(_PORT),
        "mounts": listed(_MOUNT),
    }
)
_PROJECT = table(
    {
        "name": matching(NAME, "the name of a Compose project"),
        "folder": text(),
        **dict.fromkeys(("compose", "env_files"), listed(text(), 64)),
        "notes": listed(text(), 16),
        "ours": flag,
        "services": listed(_SERVICE, 256),
    }
)
_FILE = table({}, {"base64": text(2**19), "mode": matching(r"0[0-7]{3}", "a mode"), "why": text(64), "folder": flag})
# What a host may answer that is asked for its projects.
ANSWER = {"projects": listed(_PROJECT, 256), "files": mapped(_FILE, text(), 2**12)}


def named(inspected: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The containers of each project, in the order in which they were given; without one-off ones and those without a project."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for one in inspected:
        labels = _labels(one)
        good = re.fullmatch(NAME, labels.get(f"{LABEL}.project", "")) and re.fullmatch(
            SERVICE, labels.get(f"{LABEL}.service", "")
        )
        if good and labels.get(f"{LABEL}.oneoff", "False") == "False":
            found.setdefault(labels[f"{LABEL}.project"], []).append(one)
    return dict(sorted(found.items()))


def project(name: str, containers: Sequence[Mapping[str, Any]], images: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is known of a project: name, folder, compose (paths of its files), env_files, services, notes, ours.

    Args:
        containers: at least one, as `docker inspect` has them, the newest first.
        images: id -> the image, as `docker inspect` has it.
    """
    labels = _labels(containers[0])
    said = {_labels(one).get(f"{LABEL}.project.config_files", "") for one in containers}
    services: dict[str, list[Mapping[str, Any]]] = {}
    for one in containers:
        services.setdefault(_labels(one)[f"{LABEL}.service"], []).append(one)
    notes = (
        ["Its containers were started with different Compose files; those of the newest one are shown."] if len(said) > 1 else []
    )
    return {
        "name": name,
        "folder": _path(labels.get(f"{LABEL}.project.working_dir", "")),
        "compose": _paths(labels.get(f"{LABEL}.project.config_files", "")),
        "env_files": _paths(labels.get(f"{LABEL}.project.environment_file", "")),
        "services": [_service(one, all_of, images) for one, all_of in sorted(services.items())],
        "notes": notes,
        # Whether this tool rolls it out already.
        "ours": any(CONFIG_LABEL in _labels(one) for one in containers),
    }


def _service(name: str, containers: Sequence[Mapping[str, Any]], images: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One service; where it has several containers, what one says that runs."""
    running = [one for one in containers if (one.get("State") or {}).get("Running")]
    one = (running or list(containers))[0]
    state, config, host = one.get("State") or {}, one.get("Config") or {}, one.get("HostConfig") or {}
    image = images.get(str(one.get("Image") or "")) or {}
    reference = str(config.get("Image") or "")
    check = _check(config)
    return {
        "service": name,
        "image": reference,
        "digest": _digest(reference, image),
        "id": str(one.get("Image") or ""),
        "state": str(state.get("Status") or ""),
        "code": int(state.get("ExitCode") or 0),
        "health": str((state.get("Health") or {}).get("Status") or ""),
        "check": check,
        # What the image would ask, where the service has it switched off.
        "image_check": "" if check else _check(image.get("Config") or {}),
        "restart": str((host.get("RestartPolicy") or {}).get("Name") or "no"),
        "replicas": len(running),
        "ports": _ports(one.get("NetworkSettings") or {}),
        "mounts": _mounts(one),
    }


def _labels(container: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in ((container.get("Config") or {}).get("Labels") or {}).items()}


def _path(label: str) -> str:
    return posixpath.normpath(label) if label.startswith("/") else ""


def _paths(label: str) -> list[str]:
    """The absolute paths in a label; Compose writes `-` for its standard input."""
    return [path for one in label.split(",") if (path := _path(one.strip()))]


def _check(config: Mapping[str, Any]) -> str:
    """A health check's command, in one text; empty if there is none."""
    test = [str(word) for word in (config.get("Healthcheck") or {}).get("Test") or []]
    return " ".join(test[1:]) if test and test[0] in ("CMD", "CMD-SHELL") else ""


def _digest(reference: str, image: Mapping[str, Any]) -> str:
    """The digest by which a registry knows an image; empty if none does."""
    digests = [str(one).partition("@") for one in image.get("RepoDigests") or []]
    name = reference.partition("@")[0]
    own = [digest for repository, _at, digest in digests if repository in (name, name.rpartition(":")[0])]
    return next(iter([*own, *(digest for _repository, _at, digest in digests)]), "")


def _ports(network: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ports that a container publishes, each once: of an address of IPv4 and one of IPv6 that mean all, the first."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for inner, bound in sorted((network.get("Ports") or {}).items()):
        target, _slash, protocol = str(inner).partition("/")
        for one in bound or []:
            published = str(one.get("HostPort") or "")
            if published.isdigit() and target.isdigit():
                row = {"address": str(one.get("HostIp") or ""), "published": int(published), "target": int(target)}
                found.setdefault((int(published), protocol), {**row, "protocol": protocol or "tcp"})
    return [found[key] for key in sorted(found)]


def _mounts(container: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for one in container.get("Mounts") or []:
        kind = str(one.get("Type") or "")
        source = str((one.get("Name") if kind == "volume" else one.get("Source")) or "")
        rows.append({"kind": kind, "source": source, "target": str(one.get("Destination") or ""), "read_only": not one.get("RW")})
    return sorted(rows, key=lambda row: str(row["target"]))
