"""The containers that run, and the changes that bring them to the release. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain.compose import CONFIG_LABEL, RELEASE_LABEL, Service, repository


@dataclass(frozen=True)
class Container:
    """What `docker inspect` said of a container of one service. Exit facts serve messages; ``addresses`` are those that
    it has in each network; ``published`` means that it holds ports of the host itself; ``grace`` are the seconds that it gets
    to end; ``release`` is the one that started it; ``joins`` are the containers whose network, ipc or pid it has; ``network`` is
    its network mode: ``host``, ``none``, ``container:ID``, or the name of a network."""

    id: str
    service: str
    image_id: str
    image: str
    config_hash: str
    status: str
    health: str
    restarts: int
    exit_code: int
    oom: bool
    started: str
    error: str = ""
    name: str = ""
    addresses: tuple[tuple[str, str], ...] = ()
    published: bool = False
    grace: float = 10.0
    release: str = ""
    joins: tuple[str, ...] = ()
    network: str = ""


@dataclass(frozen=True)
class Change:
    """What a switch does to one service: ``keep``, ``create``, ``recreate``, ``replace`` (the new container before the old one
    goes) or ``remove``, and why."""

    service: str
    action: str
    why: str


def container(inspected: dict[str, Any]) -> Container:
    """Read one object of `docker inspect`."""
    state, labels = inspected["State"], inspected["Config"].get("Labels") or {}
    return Container(
        id=inspected["Id"],
        service=labels.get("com.docker.compose.service", ""),
        image_id=inspected["Image"],
        image=inspected["Config"]["Image"],
        config_hash=labels.get(CONFIG_LABEL, ""),
        status=state["Status"],
        health=(state.get("Health") or {}).get("Status", "none"),
        restarts=inspected.get("RestartCount", 0),
        exit_code=state.get("ExitCode", 0),
        oom=bool(state.get("OOMKilled")),
        started=state.get("StartedAt", ""),
        error=state.get("Error", ""),
        name=inspected.get("Name", "").lstrip("/"),
        addresses=tuple(
            (network, str(facts[version]))
            for version in ("IPAddress", "GlobalIPv6Address")
            for network, facts in sorted(((inspected.get("NetworkSettings") or {}).get("Networks") or {}).items())
            if facts.get(version)
        ),
        published=bool((inspected.get("HostConfig") or {}).get("PortBindings")),
        # Docker's default is 10 s.
        grace=float(inspected["Config"].get("StopTimeout") or 10),
        release=labels.get(RELEASE_LABEL, ""),
        joins=tuple(
            mode.partition(":")[2]
            for key in ("NetworkMode", "IpcMode", "PidMode")
            if (mode := str((inspected.get("HostConfig") or {}).get(key) or "")).startswith("container:")
        ),
        network=str((inspected.get("HostConfig") or {}).get("NetworkMode") or ""),
    )


_KEPT = Change("", "keep", "")


# Why a service is recreated that is bound to another one.
WITH = "with "


def compare(
    wanted: list[Service], image_ids: Mapping[str, str], running: list[Container], active: Optional[Mapping[str, str]] = None
) -> list[Change]:
    """What brings the stack from what runs to what is wanted.

    Args:
        image_ids: repository -> the image's id on this host.
        running: the stack's containers, stopped ones too.
        active: start-first service -> the name of the container that its proxy sends requests to.
    """
    by_service: dict[str, list[Container]] = {}
    rests = {found.id for found in leftovers(wanted, running)}
    for found in running:
        if found.id not in rests:
            by_service.setdefault(found.service, []).append(found)
    # What is no longer part of the release goes first: it may hold a port that another one now wants.
    gone = [
        Change(name, "remove", "no longer in the compose file") for name in sorted(set(by_service) - {s.name for s in wanted})
    ]
    found_changes = {
        s.name: _change(s, image_ids.get(repository(s.image)), by_service.get(s.name, []), (active or {}).get(s.name))
        for s in wanted
    }
    there = {found.id for found in running if found.status == "running"}
    # In their order: whom one is bound to comes before it.
    for service in wanted:
        lost = [name for name in service.bound if found_changes.get(name, _KEPT).action in ("create", "recreate")]
        # An interrupted run may have replaced that one, and not this one any more.
        lost += [service.bound[0] for c in by_service.get(service.name, []) if service.bound and not there.issuperset(c.joins)]
        if lost and service.released and found_changes[service.name].action == "keep":
            found_changes[service.name] = Change(service.name, "recreate", f"{WITH}{lost[0]}")
    return gone + list(found_changes.values())


def leftovers(wanted: Sequence[Service], running: Sequence[Container]) -> list[Container]:
    """Containers that a Compose left which was killed amid a recreate: never started, beside the service's own."""
    alone = {s.name for s in wanted if not s.start_first}
    own = {c.service for c in running if c.status != "created"}
    return [c for c in running if c.status == "created" and c.service in alone & own]


def _change(service: Service, image_id: Optional[str], found: list[Container], active: Optional[str]) -> Change:
    if not found:
        return Change(service.name, "create", "absent")
    if service.start_first:
        # One that publishes ports is from the days before the proxy, whatever its name.
        one = next((c for c in found if c.name == active and not c.published), None)
        # Without one that the proxy knows there is nothing to be gentle with.
        if one is None:
            return Change(service.name, "recreate", "unknown to its proxy")
        why = differs(service, image_id, one) or (f"{len(found)} containers" if len(found) > 1 else "")
        return Change(service.name, "replace" if why else "keep", why)
    one = found[0]
    if not service.released:
        return Change(service.name, "keep", "") if one.status == "running" else Change(service.name, "create", one.status)
    why = f"{len(found)} containers" if len(found) > 1 else differs(service, image_id, one)
    return Change(service.name, "recreate" if why else "keep", why)


def differs(service: Service, image_id: Optional[str], one: Container) -> str:
    """Why a container is not what is wanted; empty where it is."""
    if one.image_id != image_id:
        return "image"
    if one.config_hash != service.config_hash:
        return "configuration"
    return one.status if one.status != "running" else ""


def tiers(names: list[str], after: Mapping[str, tuple[str, ...]], alone: Callable[[str], bool]) -> list[list[str]]:
    """Services that are switched together: neighbours of which none depends on another, none is to be ``alone``.

    Args:
        after: service -> those that it depends on.
    """
    out: list[list[str]] = []
    for name in names:
        last = out[-1] if out else []
        if not last or alone(name) or alone(last[-1]) or set(after.get(name, ())) & set(last):
            out.append([name])
        else:
            last.append(name)
    return out


def named(services: Sequence[Service], project: str, said: str) -> Optional[Service]:
    """The only service of these that a failed command of Compose names, by its container or by its image; None otherwise."""
    by_container = [s for s in services if re.search(rf"\b{re.escape(f'{project}-{s.name}')}-\d", said)]
    by_image = [s for s in services if re.search(rf"{re.escape(repository(s.image))}[:@]", said)]
    return next((found[0] for found in (by_container, by_image) if len(found) == 1), None)


def active_first(running: list[Container], active: Mapping[str, str]) -> list[Container]:
    """Containers, of a start-first service the one first that its proxy sends requests to."""
    return sorted(running, key=lambda c: c.name != active.get(c.service))


def rows(
    stack: str,
    wanted: Sequence[Service],
    running: Sequence[Container],
    images: Mapping[str, Mapping[str, Any]],
    before: Mapping[str, Mapping[str, Any]],
    took: Mapping[str, Sequence[float]],
    active: Mapping[str, str] = {},
) -> list[dict[str, Any]]:
    """What is going to happen to the services of a stack.

    Args:
        images: repository -> digest and, where the image is on the host, id of the release to come.
        before: the same of the stable release.
        took: service -> the seconds of its last restarts.
        active: start-first service -> the container that its proxy sends requests to.

    Returns:
        stack, service, action, why, old and new (digests, where they are known), gap (seconds that it is expected to be away,
        the median of its last restarts, none where the new container comes first; None where it stays or was never restarted),
        restarts (as often as the engine has restarted a release's container that crashed).
    """
    # It loads much, which an agent that stages and a guard do without.
    from statistics import median

    ids = {repository: str(image.get("id") or "") for repository, image in images.items()}
    known = {str(image["id"]): str(image["digest"]) for image in before.values() if image.get("id")}
    by_name = {service.name: service for service in wanted}
    running = active_first(list(running), active)
    here = {found.service: found for found in reversed(running)}
    result = []
    for change in compare(list(wanted), ids, running, active):
        service, found = by_name.get(change.service), here.get(change.service)
        image = images.get(repository(service.image)) if service else None
        seconds = {"recreate": took.get(change.service), "replace": [0.0]}.get(change.action)
        result.append(
            {
                "stack": stack,
                "service": change.service,
                "action": change.action,
                "why": change.why,
                "old": known.get(found.image_id) if found else None,
                "new": str(image["digest"]) if image else None,
                "gap": round(median(seconds), 1) if seconds else None,
                **({"restarts": found.restarts} if found and found.restarts and found.release else {}),
            }
        )
    return result
