"""A release that this host is to be brought to, before anything is touched: what it lacks here, what forbids it, what it changes.

`stage` makes one of an order, `restage` one of a release that is on the host.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Collection, Iterable, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import capacity, changes, pins, ports, presets, pull_progress, shape
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.domain import needs as domain_needs
from ansible.module_utils.rollout.domain.bundle import File
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.gate import BEFORE
from ansible.module_utils.rollout.domain.torch import host as torch_host
from ansible.module_utils.rollout.domain.torch import reasons
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import gpu, images, machine, sockets
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import asking, backups, needs, networks, projects, refusals
from ansible.module_utils.rollout.verbs.phases import Phases

# Bytes of a mounted file whose differences are shown.
LEGIBLE = 64 * 2**10


@dataclass(frozen=True)
class Candidate:
    """The release ``release`` of an application, with its directory ``name`` on this host.

    ``services`` and ``jobs`` are those of each of its stacks; ``stacks`` are all that this host is to have. ``projects`` are the
    Compose projects of both. ``images`` map a repository to
    its digest and, if it is on the host, its id; ``missing`` are those that are not, with compressed bytes to come (``sizes``,
    ``to_pull`` together) as far as a registry said. ``engine`` are the facts of the engine.
    ``configs`` are the stacks as Compose understands them, ``main`` their Compose files, ``files`` the texts of its directory.
    Kept services in ``replace`` are restarted. ``notes`` are what an operator should know beside the changes.
    """

    application: str
    release: str
    name: str
    stacks: Collection[str]
    projects: Mapping[str, str]
    services: Mapping[str, Sequence[Service]]
    images: Mapping[str, Mapping[str, Any]]
    missing: Mapping[str, Mapping[str, Any]]
    engine: Mapping[str, Any]
    sizes: Mapping[str, int] = field(default_factory=dict)
    to_pull: int = 0
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    main: Mapping[str, str] = field(default_factory=dict)
    replace: Collection[str] = ()
    notes: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    jobs: Mapping[str, Sequence[Service]] = field(default_factory=dict)

    @property
    def has_jobs(self) -> bool:
        """Whether it has a job that runs before anything is switched."""
        return any(job.job == BEFORE for jobs in self.jobs.values() for job in jobs)

    @property
    def platform(self) -> str:
        """The host's platform, as images name it."""
        return f"linux/{self.engine['arch']}"


def require(store: Store, engine: Engine, candidate: Candidate, also: Collection[str] = ()) -> Optional[dict[str, Any]]:
    """Refuse what could not run here, and what else is ``also`` wrong; nothing that runs is touched.

    Returns:
        What is known of this host's cards; None if no service needs one.

    Raises:
        RolloutError: an image is not for this processor, a port is not free, a card is not usable, the disk is too small, or the
            host lacks what a stack or a gate needs; all of it at once.
    """
    wrong, cards = shape.Faults(), None
    wrong.add(*also, *projects.require_same(store, candidate.projects, candidate.release))
    for reference, image in candidate.images.items():
        # An image that is on the host already is for its processor.
        if "platforms" in image:
            with wrong.gather():
                capacity.require_platform(reference, image["platforms"], candidate.platform)
    with wrong.gather():
        _require_ports(engine, candidate)
    with wrong.gather():
        asking.require_authorities(candidate.services)
    with wrong.gather():
        cards = require_cards(engine, [service for services in candidate.services.values() for service in services])
    wrong.add(*_lacking(store, engine, candidate, cards))
    with wrong.gather():
        data = candidate.engine["data"]
        capacity.require_space(candidate.to_pull, machine.free_bytes(data), data, machine.free_inodes(data))
    if candidate.missing:
        # A release that is here already is switched to without it.
        with wrong.gather():
            place = machine.temporary()
            capacity.require_temporary(machine.free_bytes(place), place, machine.free_inodes(place))
    wrong.refuse()
    return cards


def _lacking(store: Store, engine: Engine, candidate: Candidate, cards: Optional[Mapping[str, Any]]) -> list[str]:
    ours, facts, own = candidate.projects, candidate.engine, str(store.root)
    found = needs.faults(engine, ours, candidate.configs, candidate.services, candidate.main, facts, own, cards)
    for stack, services in candidate.services.items():
        project, file = ours[stack], candidate.main[stack]
        renewed = _renewed(store, engine, candidate, stack)
        found += networks.faults(engine, project, file, renewed, services, candidate.replace)
        unusable = presets.faults(file, [*services, *candidate.jobs.get(stack, ())])
        due = [service for _stack, service in presets.due({stack: services}, candidate.has_jobs)]
        found += unusable or backups.faults(store, engine, project, stack, due)
    return [*needs.dropped(candidate.files, facts), *found]


def _renewed(store: Store, engine: Engine, candidate: Candidate, stack: str) -> list[networks.Changed]:
    """The networks of a stack that are not what the candidate says."""
    stable, config = store.ledger().stable, candidate.configs.get(stack) or {}
    manifest = known(store, stable.name if stable else None)
    before = manifests.part(manifest, stack).networks if manifest else {}
    return networks.changed(engine, candidate.projects[stack], config, before)


def _require_ports(engine: Engine, candidate: Candidate) -> None:
    wanted = [(port, service.name) for services in candidate.services.values() for service in services for port in service.ports]
    held = engine.held_ports()
    free = [port for port, _ in wanted if not any(port.meets(other) for other, _ in held)]
    foreign = {port.address for port in free if not sockets.has_address(port.address)}
    ports.require(wanted, held, candidate.projects.values(), {port: sockets.listener(port) for port in free}, foreign)


def require_cards(engine: Engine, services: Iterable[Service]) -> Optional[dict[str, Any]]:
    """The facts of this host's cards; None if none of the services needs one.

    Raises:
        RolloutError: no new container would get its card here, whatever its image.
    """
    needing = [s for s in services if s.torch and s.torch.on_gpu]
    if not needing:
        return None
    host = gpu.facts(engine)
    fault = torch_host.host_fault(host)
    # AMD's cards have no driver of NVIDIA's.
    if fault and any(s.torch and s.torch.flavour == "cuda" for s in needing):
        reason, evidence = fault
        service, remedy = needing[0].name, reasons.REASONS[reason][2]
        about = {"service": service, "gate": "gpu"}
        raise refusals.NO_CARD(service=service, evidence=evidence, reason=reason, remedy=remedy, facts=about)
    return host


def preview(store: Store, engine: Engine, candidate: Candidate) -> dict[str, Any]:
    """The changes that a switch to the candidate will make.

    Returns:
        release and stable (what it would replace), with the names of their directories (name, stable_name), services
        (as `changes.rows` has them), to_pull, free (bytes on the engine's
        disk), settled (whether a look at the gates is all that it needs), left (stacks that nobody asks for any more and their
        Compose projects), notes (what an operator should know beside them, a sentence each).
    """
    ledger = store.ledger()
    before = known(store, ledger.stable.name if ledger.stable else None).get("images", {})
    found: list[dict[str, Any]] = []
    carried: list[str] = []
    # What the release has no more, and the inventory has, goes.
    for stack in {**candidate.services, **dict.fromkeys(candidate.stacks)}:
        wanted = candidate.services.get(stack, [])
        jobs = {job.name for job in candidate.jobs.get(stack, ())}
        running = [c for c in engine.containers(candidate.projects[stack]) if c.service not in jobs]
        active, renewed = store.active(stack, wanted), networks.renewed(_renewed(store, engine, candidate, stack))
        rows = changes.rows(stack, wanted, running, candidate.images, before, ledger.took, active, candidate.replace, renewed)
        found += rows
        carried += _carried(engine, candidate.configs.get(stack) or {}, wanted, running, rows)
    cards = any(s.torch and s.torch.on_gpu for services in candidate.services.values() for s in services)
    left = leftover(store, engine, candidate.projects)
    return {
        "release": candidate.release,
        "name": candidate.name,
        "stable_name": ledger.stable.name if ledger.stable else "",
        "stable": ledger.stable.release if ledger.stable else "",
        "services": found,
        "to_pull": candidate.to_pull,
        "free": machine.free_bytes(candidate.engine["data"]),
        # A kept GPU service is tried first, and recreated if its container lost its card; an interrupted run may have left more.
        "settled": not cards and not ledger.open and not ledger.armed and all(row["action"] == "keep" for row in found),
        "left": {stack: project for stack, project in left},
        "notes": [*candidate.notes, *carried],
    }


def _carried(
    engine: Engine,
    config: Mapping[str, Any],
    wanted: Sequence[Service],
    running: Sequence[changes.Container],
    rows: Sequence[Any],
) -> list[str]:
    """A sentence for each service whose next container gets files of the one before in volumes that nobody named."""
    several = {service.name for service in wanted if service.replicas != 1}
    restarted = {row["service"] for row in rows if row["action"] == "recreate"}
    restarted |= {row["service"] for row in rows if row["action"] == "replace"} & several
    said = []
    for service in wanted:
        one = next((c for c in running if c.service == service.name), None)
        image = engine.image(one.image_id) if one and service.name in restarted and not service.renew else None
        paths = domain_needs.anonymous(image, (config.get("services") or {}).get(service.name) or {}) if image else []
        if paths:
            sentence = refusals.BEGINS_EMPTY if service.name in several else refusals.CARRIED
            said.append(sentence.text(service=service.name, paths=" and ".join(paths)))
    return said


def leftover(store: Store, engine: Engine, here: Mapping[str, str]) -> dict[tuple[str, str], list[changes.Container]]:
    """The stacks that a release had here, with the Compose projects that they had and ``here`` (stack -> project) has not, and
    with their containers: no run switches these. None without."""
    whole = [store.manifest(name) for name in store.whole()]
    had = {(stack, manifests.project(one, stack)) for one in whole for stack in one["stacks"]}
    found = {(s, project): engine.containers(project) for s, project in sorted(had) if project not in here.values()}
    return {left: containers for left, containers in found.items() if containers}


def known(store: Store, name: Optional[str]) -> dict[str, Any]:
    """The manifest of a release, for what is only told; empty if there is none, or it cannot be read."""
    try:
        return store.manifest(name) if name else {}
    except RolloutError:
        return {}


def legible(files: Mapping[str, File]) -> dict[str, str]:
    """The files that are text, not long, and for everybody."""
    found = {path: file for path, file in files.items() if not (file.link or file.private) and len(file.content) <= LEGIBLE}
    return {path: file.text for path, file in found.items() if b"\0" not in file.content}


def texts_of(store: Store, name: str, manifest: Mapping[str, Any]) -> dict[str, Optional[str]]:
    """The files of a release and what it mounts, as far as people can read them."""
    hidden = {f"{stack}/{path}" for stack, part in (manifest.get("parts") or {}).items() for path in part.get("private") or ()}
    found = {file: store.read(name, file) for file in manifest.get("files", {}) if file not in hidden}
    for path, place in manifests.mounted(manifest).items() if manifest else ():
        for below, text in legible(store.content.read(place)).items():
            found[f"{path}/{below}" if below else path] = text
    return found


def pull(
    store: Store, engine: Engine, wanted: Mapping[str, Mapping[str, Any]], phases: Phases, sizes: Mapping[str, int] = {}
) -> int:
    """Pull by digest, then put the tag on it here, where that is only this release's or is free: `docker image prune` spares what
    has a tag.

    Args:
        wanted: reference -> digest, and whether it ``follows`` the release.
        sizes: reference -> compressed bytes to come, as far as that is known.

    Returns:
        The compressed bytes that came.
    """
    came = 0
    for reference, image in wanted.items():

        def told(done: int, reference: str = reference) -> None:
            store.tell(step="pull", what=reference, done=done, total=sizes.get(reference))

        if not image.get("digest"):
            raise refusals.NOWHERE_ELSE(image=reference)
        pinned = pins.by_digest(reference, image)
        with phases.phase("pull", detail=reference):
            came += images.pull_image(engine, pinned, told=told, sizes=pull_progress.sizes(image))
        tag = reference.partition("@")[0]
        if image.get("follows") or not engine.image(tag):
            engine.checked(["tag", pinned, tag], "Tagging an image")
    return came
