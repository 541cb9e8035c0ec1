"""The containers that run, and the changes that bring them to the release. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Collection, Mapping, Optional, Sequence

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
    """What a switch does to one service, and why.

    ``action`` is ``keep``, ``create``, ``recreate``, ``replace`` (the new container comes before the old one goes; or one of
    several goes after the other), ``scale`` (only the number of its containers changes) or ``remove``. ``wrong`` are the ids of
    the containers that go, of a service that has or is to have several.
    """

    service: str
    action: str
    why: str
    wrong: tuple[str, ...] = ()


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


# Why a service is recreated that is bound to another one.
WITH = "with "


# The reason begins so if a kept service is not as the release has it.
KEPT = "kept: "
# And so if its container, which was there before the first release, may be as the release has it, or not.
NOT_PROVEN = f"{KEPT}not proven: "


def compare(
    wanted: list[Service],
    image_ids: Mapping[str, str],
    running: list[Container],
    active: Optional[Mapping[str, tuple[str, ...]]] = None,
    replace: Collection[str] = (),
    renewed: Mapping[str, str] = {},
) -> list[Change]:
    """What brings the stack from what runs to what is wanted.

    Args:
        image_ids: reference -> the image's id on this host.
        running: the stack's containers, stopped ones too.
        active: start-first service -> the names of the containers that its proxy sends requests to.
        replace: kept services that are restarted where they differ, and those that are not proven to be as they are wanted; ``*``
            for all.
        renewed: service -> why it is made anew whatever its container is: a network changes.
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
        s.name: _change(
            s,
            image_ids.get(s.image),
            by_service.get(s.name, []),
            (active or {}).get(s.name, ()),
            not {s.name, "*"}.isdisjoint(replace),
        )
        for s in wanted
    }
    for service in wanted:
        why, change, here = renewed.get(service.name), found_changes[service.name], by_service.get(service.name, [])
        if why and change.action in ("keep", "replace", "scale") and here:
            moves = service.released or not {service.name, "*"}.isdisjoint(replace)
            all_of_it = Change(service.name, "recreate", why, _ids(service, here))
            found_changes[service.name] = all_of_it if moves else Change(service.name, "keep", f"{KEPT}{why}")
    for service in wanted:
        here = [c for c in by_service.get(service.name, []) if service.unproven and not c.config_hash]
        if here and found_changes[service.name].action == "keep":
            found_changes[service.name] = _unproven(service, here, not {service.name, "*"}.isdisjoint(replace))
    there = {found.id for found in running if found.status == "running"}
    starting_first = {service.name for service in wanted if service.start_first}
    # In their order: whom one is bound to comes before it.
    for service in wanted:
        lost = [name for name in service.bound if name in found_changes and _is_lost(found_changes[name], starting_first)]
        here = by_service.get(service.name, [])
        # An interrupted run may have replaced that one, and not this one any more.
        apart = [c for c in here if service.bound and not there.issuperset(c.joins)]
        wrong = _ids(service, here if lost else apart)
        lost += [service.bound[0] for _one in apart]
        if lost and service.released and found_changes[service.name].action in ("keep", "scale"):
            found_changes[service.name] = Change(service.name, "recreate", f"{WITH}{lost[0]}", wrong)
    return gone + list(found_changes.values())


def _unproven(service: Service, here: Sequence[Container], replace: bool) -> Change:
    action = "replace" if service.replicas > 1 else "recreate"
    return (
        Change(service.name, action, "not proven", _ids(service, here))
        if replace
        else Change(service.name, "keep", f"{NOT_PROVEN}{service.unproven}")
    )


def _is_lost(change: Change, starting_first: Collection[str]) -> bool:
    """Whether what is bound to a service loses it."""
    return change.action in ("create", "recreate") or (change.action == "replace" and change.service not in starting_first)


def leftovers(wanted: Sequence[Service], running: Sequence[Container]) -> list[Container]:
    """Containers that a Compose left which was killed amid a recreate: never started, beside the service's own."""
    alone = {s.name for s in wanted if not s.start_first}
    own = {c.service for c in running if c.status != "created"}
    return [c for c in running if c.status == "created" and c.service in alone & own]


def is_several(service: Service, number: int) -> bool:
    """Whether a service is switched container by container: it is to have several (or none), or has that ``number`` of them."""
    return not service.start_first and (service.replicas != 1 or (service.released and number > 1))


def instead(service: Service, number: int) -> str:
    """That a service has another number of containers than it should; empty if it has not."""
    plural = "s" if number != 1 else ""
    wanted = f" instead of {service.replicas}" if service.replicas != 1 else ""
    return f"{number} container{plural}{wanted}" if number != service.replicas else ""


def _ids(service: Service, found: Sequence[Container]) -> tuple[str, ...]:
    return tuple(c.id for c in found) if is_several(service, len(found)) else ()


def _several(service: Service, image_id: Optional[str], found: list[Container], replace: bool) -> Change:
    count = instead(service, len(found))
    apart = [(c, why) for c in found if (why := _apart(service, image_id, c))]
    if not service.released and not (replace and apart):
        runs = sum(c.status == "running" for c in found)
        if runs < service.replicas:
            return Change(service.name, "create", instead(service, runs) if runs else found[0].status if found else "absent")
        why = _told(apart[0][1], service, apart[0][0]) if apart else count
        return Change(service.name, "keep", f"{KEPT}{why}" if why else "")
    if not found and service.replicas:
        return Change(service.name, "create", "absent")
    wrong = {c.id: why for c in found if (why := differs(service, image_id, c))}
    if len(found) - len(wrong) >= service.replicas:
        # Those that are right are enough.
        return Change(service.name, "scale" if count else "keep", count, tuple(wrong))
    if not wrong:
        return Change(service.name, "scale", count)
    why = count if service.replicas == 1 else apart[0][1] if apart else next(iter(wrong.values()))
    stays = service.replicas > 1 and any(c.status == "running" for c in found)
    return Change(service.name, "replace" if stays else "recreate", why, tuple(wrong))


def _change(service: Service, image_id: Optional[str], found: list[Container], active: Collection[str], replace: bool) -> Change:
    if is_several(service, len(found)):
        return _several(service, image_id, found, replace)
    if not found:
        return Change(service.name, "create", "absent")
    if service.start_first:
        # One that publishes ports is from the days before the proxy, whatever its name.
        serving = [c for c in found if c.name in active and not c.published]
        # Without one that the proxy knows there is nothing to be gentle with.
        if not serving:
            return Change(service.name, "recreate", "unknown to its proxy")
        why = next(filter(None, (differs(service, image_id, c) for c in serving)), "")
        count = instead(service, len(found))
        if count and not why and service.replicas > 1:
            return Change(service.name, "scale", count)
        why = why or count or ("unknown to its proxy" if len(serving) < len(found) else "")
        return Change(service.name, "replace" if why else "keep", why)
    one = found[0]
    if not service.released and not (replace and _apart(service, image_id, one)):
        why = _apart(service, image_id, one)
        stays = Change(service.name, "keep", f"{KEPT}{_told(why, service, one)}" if why else "")
        return stays if one.status == "running" else Change(service.name, "create", one.status)
    why = differs(service, image_id, one)
    return Change(service.name, "recreate" if why else "keep", why)


def differs(service: Service, image_id: Optional[str], one: Container) -> str:
    """Why a container is not what is wanted; empty where it is."""
    return _apart(service, image_id, one) or (one.status if one.status != "running" else "")


def _apart(service: Service, image_id: Optional[str], one: Container) -> str:
    """What of a container, whether it runs or not, is not what is wanted; empty where it is."""
    # An earlier version of this tool recorded no image of a kept service: its reference is all that is known.
    unknown = image_id is None and not service.released and one.image.partition("@")[0] == service.image
    if one.image_id != image_id and not unknown:
        return "image"
    return "" if service.is_labelled(one.config_hash) else "configuration"


def _told(why: str, service: Service, one: Container) -> str:
    """What differs, with the tags of both images if they say it: ``image 16 -> 17``."""
    named = [image.partition("@")[0].rpartition("/")[2].partition(":") for image in (one.image, service.image)]
    # One that was built here runs by its id.
    old, new = ("" if name == "sha256" else tag for name, _colon, tag in named)
    return f"{why} {old} -> {new}" if why == "image" and old and new and old != new else why


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


def active_first(running: list[Container], active: Mapping[str, tuple[str, ...]]) -> list[Container]:
    """Containers, of a start-first service the one first that its proxy sends requests to."""
    return sorted(running, key=lambda c: c.name not in active.get(c.service, ()))


def rows(
    stack: str,
    wanted: Sequence[Service],
    running: Sequence[Container],
    images: Mapping[str, Mapping[str, Any]],
    before: Mapping[str, Mapping[str, Any]],
    took: Mapping[str, Sequence[float]],
    active: Mapping[str, tuple[str, ...]] = {},
    replace: Collection[str] = (),
    renewed: Mapping[str, str] = {},
) -> list[dict[str, Any]]:
    """What is going to happen to the services of a stack.

    Args:
        images: reference -> digest and, where the image is on the host, id of the release to come.
        before: the same of the stable release.
        took: service -> the seconds of its last restarts.
        active: start-first service -> the containers that its proxy sends requests to.
        replace, renewed: as `compare` takes them.

    Returns:
        stack, service, action, why, old and new (digests, where they are known), gap (seconds that it is expected to be away,
        the median of its last restarts, none where the new container comes first; None where it stays or was never restarted),
        restarts (as often as the engine has restarted a release's container that crashed).
    """
    # It loads much, which an agent that stages and a guard do without.
    from statistics import median

    ids = {reference: str(image.get("id") or "") for reference, image in images.items()}
    known = {str(image["id"]): str(image["digest"]) for image in before.values() if image.get("id")}
    by_name = {service.name: service for service in wanted}
    running = active_first(list(running), active)
    here = {found.service: found for found in reversed(running)}
    result = []
    for change in compare(list(wanted), ids, running, active, replace, renewed):
        service, found = by_name.get(change.service), here.get(change.service)
        image = images.get(service.image) if service else None
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
