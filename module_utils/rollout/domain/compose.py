"""The services of a stack: what its Compose files ask for, and what of them a rollout restarts. Pure.

The document is what ``docker compose config --format json`` prints. Every service is of the release, but for those that are kept
(a database): these are started where they are absent and never restarted. The keys of a service (its gate, ``keep``) stand in
``x-rollout`` at the top of the document or in the inventory. (At the top: Compose 2.26 leaves extensions of a service out of it.)
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import replicas
from ansible.module_utils.rollout.domain.backup import Backup
from ansible.module_utils.rollout.domain.ending import jobs as jobs_of
from ansible.module_utils.rollout.domain.gate import Drain, Expectation, StartFirst, read_gate
from ansible.module_utils.rollout.domain.haproxy import through
from ansible.module_utils.rollout.domain.manifest import Part
from ansible.module_utils.rollout.domain.ports import Port, published
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.errors import Refusal

CONFIG_LABEL = "rollout.config"
RELEASE_LABEL = "rollout.release"
# Keys of a service that do not belong to its container.
_BESIDE = ("image", "build", "develop", "pull_policy")
# Where an earlier version of this tool had Compose read a file: in a directory that is nowhere.
_FORMER_PLACE = "/.release/.release/.release"
# Seconds that a job may take which does not say it.
JOB_S = 600.0
# A duration as Compose prints it: 1m30s.
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
NO_SERVICE = Refusal(
    "Compose file and environment",
    "{file}: x-rollout, or services in the inventory, names service {service}, which the file does not have.",
    "correct the service's name, or name its profile under `profiles`",
)
NOT_TWICE = Refusal(
    "Compose file and environment",
    "{where} is refused: {reason}. Fix that, or set rollout_strategy: stop_first.",
    "fix what keeps two containers of that service from running side by side: it has a GPU, publishes a port itself, has a fixed "
    "name or no proxy",
)
NO_IMAGE = Refusal(
    "Compose file and environment",
    "{file}: service {service} has no image; a rollout does not build. Build it, push it, and give the service image: with what "
    "was pushed; build: may stay beside it.",
    "give the service `image:` with the name under which you push what you build",
)
KEYS = Refusal(
    "Compose file and environment",
    "{file}: x-rollout is {found}: expected a mapping of services.",
    "write `x-rollout: {{web: {{health: [http://127.0.0.1:8080/]}}}}`, or leave it out",
)


@dataclass(frozen=True)
class Service:
    """One service of a stack.

    ``deadline`` is how many seconds it may take from its start until every gate holds; ``successes`` how many good
    samples in a row are needed, over at least ``window`` seconds. ``health`` are URLs, as seen from the host, and
    ``exec`` is a command in the container; with neither Docker's own health check decides. ``ca`` is the file of the CA of https
    URLs, and with ``insecure`` any certificate will do. With ``names_release`` each answer must name the release. ``grace`` are
    the seconds that Docker gives it to end. With ``start_first`` its new container comes before the old one goes.
    ``after`` are the services that it depends on; ``bound`` those of them that it cannot outlive: their network is its own, or
    the compose file says so. ``image`` is the reference as the file has it. ``kept`` says why a service is not of the release:
    ``asked``, ``image`` (a known database or broker), ``proxy`` (of a start-first service) or ``earlier`` (a former version of
    this tool kept it). ``config_hash`` stands for the whole configuration but its image: the label that the release's pins put on
    the container. ``former`` is another label by which a container is as it is wanted; None if there is none. With ``renew``,
    anonymous volumes begin empty. ``replicas`` is how many containers it has; with 0 its containers go.

    A ``job`` ends by itself: it runs ``before`` anything is switched, or ``after`` all was; ``taken`` says why it is taken for
    one where nobody calls it so. A ``compatible`` one leaves data that
    the code of the release before understands; before another one, the services that are not known to write nothing (``writes``)
    are stopped. It is run again if it was killed half-way, unless ``rerun`` is false; with ``run_on`` ``first`` one host runs it
    for all. ``unproven`` says why a container from before the first release is not known to be as it is wanted; it stays.
    ``backup`` is how the data of a kept service is saved. With ``rehearse`` a service is tried while it is staged.
    """

    name: str
    image: str
    released: bool
    torch: Optional[Expectation] = None
    health: tuple[str, ...] = ()
    exec: tuple[str, ...] = ()
    ca: str = ""
    insecure: bool = False
    deadline: float = 120.0
    successes: int = 3
    window: float = 0.2
    names_release: bool = False
    drain: Optional[Drain] = None
    start_first: Optional[StartFirst] = None
    after: tuple[str, ...] = ()
    bound: tuple[str, ...] = ()
    grace: float = 10.0
    ports: tuple[Port, ...] = ()
    cards: tuple[str, ...] = ()
    config_hash: str = ""
    kept: str = ""
    former: Optional[str] = None
    renew: bool = False
    replicas: int = 1
    job: str = ""
    taken: str = ""
    compatible: bool = False
    rerun: bool = True
    run_on: str = ""
    backup: Optional[Backup] = None
    rehearse: bool = False
    writes: bool = True
    unproven: str = ""

    def is_labelled(self, label: str) -> bool:
        """Whether that is the label of a container with this configuration."""
        return label in (self.config_hash, self.former)


def keys(config: Mapping[str, Any], file: str, own: Mapping[str, Mapping[str, Any]] = {}) -> dict[str, dict[str, Any]]:
    """The keys of each service: those of ``x-rollout``, over which those in ``own`` (the inventory's) go.

    Raises:
        RolloutError: a service is named that the file does not have, or a key cannot be meant; all that is wrong.
    """
    specs: Mapping[str, Any] = config.get("services") or {}
    written = config.get("x-rollout") or {}
    if not isinstance(written, Mapping):
        raise KEYS(file=file, found=f"{written!r}")
    written = _meant(written)
    wrong = Faults()
    found: dict[str, dict[str, Any]] = {}
    for name in {**written, **own}:
        with wrong.gather():
            if name not in specs:
                raise NO_SERVICE(file=file, service=name)
        for said, where in ((written, f"{file}: x-rollout.{name}"), (own, f"services.{name}")):
            with wrong.gather():
                read_gate(said.get(name) or {}, where)
                found.setdefault(name, {}).update(said.get(name) or {})
    wrong.refuse()
    return {name: found.get(name, {}) for name in specs}


def _meant(value: Any) -> Any:
    """What somebody wrote, of what Compose prints: it prints each ``$`` as the two that a file would need."""
    if isinstance(value, Mapping):
        return {key: _meant(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_meant(one) for one in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def services(
    config: Mapping[str, Any],
    file: str,
    part: Optional[Part] = None,
    values: Mapping[str, str] = {},
) -> list[Service]:
    """The services in the order of their start: those that are kept first, and none before what it depends on. Without jobs.

    Args:
        part: what the release says of the stack; without, or in one of an earlier version, all is as ``x-rollout`` has it, and
            what that does not name is kept.
        values: the variables of the stack, where configurations are to be told apart that have no pins yet.

    Raises:
        RolloutError: all that is wrong with the services.
    """
    return _services(config, file, part, values)[0]


def jobs(
    config: Mapping[str, Any],
    file: str,
    part: Optional[Part] = None,
    values: Mapping[str, str] = {},
) -> list[Service]:
    """The jobs of a stack, none before another one that it depends on. Arguments and errors as of `services`."""
    return _services(config, file, part, values)[1]


def _services(
    config: Mapping[str, Any], file: str, part: Optional[Part], values: Mapping[str, str]
) -> tuple[list[Service], list[Service]]:
    specs: Mapping[str, Any] = config.get("services") or {}
    gates, kept = (part.services, part.kept) if part and part.services is not None else _former(config, file)
    ending = jobs_of(config, gates, kept)
    wrong, found = Faults(), []
    for name, spec in specs.items():
        with wrong.gather():
            replicas.require(name, specs, "drain" in (gates.get(name) or {}), file)
        with wrong.gather():
            about = {"kept": kept.get(name, ""), "former": _label(name, part, kept), **_ending(ending.get(name))}
            about["unproven"] = part.unproven.get(name, "") if part else ""
            reference = part.references.get(name, "") if part else ""
            found.append(_service(name, spec, _shared(spec, config, values), gates.get(name) or {}, file, reference, about))
    for service in found:
        if service.start_first:
            with wrong.gather():
                _two_at_once(service, specs, kept, f"{file}: x-rollout.{service.name}.start_first")
    wrong.refuse()
    stay = [service for service in found if not service.job]
    ordered = [*_in_order([s for s in stay if not s.released]), *_in_order([s for s in stay if s.released])]
    # Also those that depend on each other through a service.
    return ordered, [service for service in _in_order(found) if service.job]


def _ending(found: Optional[tuple[str, str]]) -> dict[str, Any]:
    return {"job": found[0], "taken": found[1]} if found else {}


def _label(name: str, part: Optional[Part], kept: Mapping[str, str]) -> Optional[str]:
    """The other label by which a service's container is known; an earlier version of this tool put none on what it kept."""
    if part and part.services is not None:
        return part.former.get(name)
    return "" if name in kept else None


def _former(config: Mapping[str, Any], file: str) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The keys and the kept services, as an earlier version of this tool understood a file."""
    specs, gates = config.get("services") or {}, config.get("x-rollout") or {}
    for name in gates:
        if name not in specs:
            raise NO_SERVICE(file=file, service=name)
    return gates, dict.fromkeys((name for name in specs if name not in gates), "earlier")


def _in_order(found: list[Service]) -> list[Service]:
    """Each behind what it depends on, otherwise as they were. Compose itself knows no such order: it prints them by name."""
    left, out = list(found), []
    while left:
        names = {service.name for service in left}
        # Compose refuses a circle.
        first = next((s for s in left if not names & set(s.after)), left[0])
        left.remove(first)
        out.append(first)
    return out


def _two_at_once(service: Service, specs: Mapping[str, Any], kept: Mapping[str, str], where: str) -> None:
    """Refuse start-first where two containers of the service cannot be side by side, or nothing stands in front.

    Raises:
        RolloutError: names the key and what is in the way.
    """
    spec, proxy = specs[service.name], service.start_first.proxy if service.start_first else ""
    reason = ""
    if service.torch and service.torch.on_gpu:
        reason = "a GPU service is stop-first always, because one card holds one model"
    elif not service.released:
        reason = "it is kept, so that no rollout replaces it; keep: false makes it a part of the release"
    elif service.drain:
        reason = "its key drain speaks to one container, and there are two for a while"
    elif not service.replicas:
        reason = "it is to have no container"
    elif proxy not in specs or proxy not in kept:
        reason = f"proxy '{proxy}' is not a service of this file that is kept (keep: true)"
    elif replicas.number(specs[proxy]) != 1:
        reason = f"proxy '{proxy}' is to have {replicas.number(specs[proxy])} containers"
    elif service.ports:
        reason = f"it publishes port {service.ports[0]} itself, which two containers cannot; let {proxy} publish it"
    elif spec.get("container_name"):
        reason = f"it has container_name {spec['container_name']}, which two containers cannot have"
    elif spec.get("network_mode"):
        reason = f"it has network_mode {spec['network_mode']}, and no address of its own"
    elif not through(service.health, published(specs[proxy]), service.name):
        reason = f"none of its health URLs goes to a port that {proxy} publishes, so that requests could be seen to arrive"
    if reason:
        raise NOT_TWICE(where=where, reason=reason)


def _shared(spec: Mapping[str, Any], config: Mapping[str, Any], values: Mapping[str, str]) -> list[list[str]]:
    """What a service gets of the file's configs and secrets: its own configuration does not say it, and Compose puts it into
    the container when that is made. The place of a file is that of its content."""
    found = []
    for kind in ("configs", "secrets"):
        for use in spec.get(kind) or []:
            name = str(use["source"] if isinstance(use, Mapping) else use)
            one = (config.get(kind) or {}).get(name) or {}
            if one.get("content") is not None:
                found.append([kind, name, str(one["content"])])
            elif one.get("environment"):
                found.append([kind, name, str(values.get(one["environment"], ""))])
            elif one.get("file"):
                found.append([kind, name, str(one["file"])])
    return found


def _bound(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The services without whose present container a container is of no use (docs.docker.com/reference/compose-file/services:
    network_mode, ipc and pid of a service, and depends_on with restart)."""
    modes = [str(spec.get(key) or "") for key in ("network_mode", "ipc", "pid")]
    needs: Mapping[str, Any] = spec.get("depends_on") or {}
    restarted = [name for name, how in needs.items() if isinstance(how, Mapping) and how.get("restart")]
    return tuple(dict.fromkeys([*(m.partition(":")[2] for m in modes if m.startswith("service:")), *restarted]))


def _service(
    name: str, spec: Mapping[str, Any], shared: list[list[str]], gate: Any, file: str, reference: str, about: Mapping[str, Any]
) -> Service:
    wrong, asked, released = Faults(), {}, not about["kept"]
    with wrong.gather():
        if not spec.get("image"):
            raise NO_IMAGE(file=file, service=name)
    with wrong.gather():
        asked = read_gate(gate, f"{file}: x-rollout.{name}")
    wrong.refuse()
    pinned = (spec.get("labels") or {}).get(CONFIG_LABEL)
    facts: dict[str, Any] = {"ports": published(spec), "cards": cards(spec), "config_hash": pinned or config_hash(spec, shared)}
    facts.update(bound=_bound(spec), replicas=replicas.number(spec))
    facts["after"] = tuple(dict.fromkeys([*(spec.get("depends_on") or ()), *facts["bound"]]))
    if about.get("job"):
        facts["deadline"] = JOB_S
    if "stop_grace_period" in spec:
        facts["grace"] = sum(float(n) * _UNITS[u] for n, u in re.findall(r"([\d.]+)(ms|h|m|s)", spec["stop_grace_period"]))
    return Service(name, reference or spec["image"].partition("@sha256:")[0], released, **{**facts, **asked, **about})


def hash_of(name: str, config: Mapping[str, Any], values: Mapping[str, str]) -> str:
    """`config_hash` of a service of a stack, with what it gets of the stack's configs and secrets."""
    spec = config["services"][name]
    return config_hash(spec, _shared(spec, config, values))


def config_hash(spec: Mapping[str, Any], shared: Sequence[list[str]] = ()) -> str:
    """What a service's configuration is known by. Its image is compared by itself, the number of its containers is counted; the
    rest of `_BESIDE` changes no container.

    Not Compose's own config-hash: `up --no-deps` and `config --hash` disagree on a service that has dependencies.
    """
    plain = replicas.without(spec)
    return _hashed({key: value for key, value in plain.items() if key not in _BESIDE}, shared)


def comparable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A stack as it is compared with another reading of it: without what its pins add, and what changes no container."""
    found = {kind: config.get(kind) or {} for kind in ("configs", "networks", "secrets", "volumes")}
    return {**found, "services": {name: _comparable(spec) for name, spec in (config.get("services") or {}).items()}}


def _comparable(spec: Mapping[str, Any]) -> dict[str, Any]:
    labels = {key: value for key, value in (spec.get("labels") or {}).items() if key not in (CONFIG_LABEL, RELEASE_LABEL)}
    # Some versions of Compose print create_host_path only if it is true, others only if it is false.
    volumes = [
        {**entry, "bind": {key: value for key, value in (entry.get("bind") or {}).items() if key != "create_host_path"}}
        for entry in spec.get("volumes") or []
    ]
    plain = {key: value for key, value in spec.items() if key not in _BESIDE}
    return {**plain, "labels": labels, "volumes": volumes}


def former_hash(spec: Mapping[str, Any], config: Mapping[str, Any], values: Mapping[str, str], place: str = "") -> str:
    """As `config_hash`, of an earlier version of this tool: with the image, without the files of configs and secrets, and read
    in another folder than ``place``."""
    spec = {**spec, **{key: _read_elsewhere(spec[key], place) for key in ("build", "develop") if place and spec.get(key)}}
    shared = [one for one in _shared(spec, config, values) if not (config.get(one[0]) or {}).get(one[1], {}).get("file")]
    return _hashed(spec, shared)


def _read_elsewhere(value: Any, place: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _read_elsewhere(one, place) for key, one in value.items()}
    if isinstance(value, list):
        return [_read_elsewhere(one, place) for one in value]
    here = isinstance(value, str) and f"{value}/".startswith(f"{place}/")
    return f"{_FORMER_PLACE}{value[len(place) :]}" if here else value


def _hashed(spec: Mapping[str, Any], shared: Sequence[list[str]]) -> str:
    return hashlib.sha256(json.dumps([spec, [*shared]] if shared else spec, sort_keys=True).encode()).hexdigest()[:16]


def cards(service: Mapping[str, Any]) -> tuple[str, ...]:
    """The NVIDIA cards that a service gets, by index or UUID; empty where it gets all. Of a count Docker gives the first ones."""
    reservations = ((service.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
    asked = [*(reservations.get("devices") or []), *(service.get("gpus") or [])]
    found: list[Any] = []
    for request in asked:
        if isinstance(request, Mapping):
            count = request.get("count")
            found += request.get("device_ids") or (range(count) if type(count) is int and count > 0 else [])
    return tuple(str(card) for card in found)


def repository(image: str) -> str:
    """``image`` without tag and digest, otherwise as it is written."""
    image = image.partition("@")[0]
    head, slash, tail = image.rpartition("/")
    return head + slash + tail.partition(":")[0]
