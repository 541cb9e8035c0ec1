"""What a stack needs of the engine and the host that are to run it, and what of it is not there. Pure.

An engine says most of this only when a container is made or started: by then another one has been stopped.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Collection, Iterable, Iterator, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import devices, features, units
from ansible.module_utils.rollout.domain import networks as nets
from ansible.module_utils.rollout.domain import volumes as vols
from ansible.module_utils.rollout.errors import Refusal

_SECTION = "What a stack needs of its host"
NO_NETWORK = Refusal(
    _SECTION,
    "{file}: network {key} is external, and this host has no network {name}. Create it there: docker network create {name}",
    "type `docker network create` on the host, start what brings that network first, or correct its name",
)
NO_VOLUME = Refusal(
    _SECTION,
    "{file}: volume {key} is external, and this host has no volume {name}. Create it there: docker volume create {name}",
    "type `docker volume create` on the host, or correct the name: a mistyped one would be an empty volume",
)
FOREIGN_NETWORK = Refusal(
    _SECTION,
    "{file}: network {key} is named {name}, and this host has a network of that name that Compose did not make for it. Write "
    "'external: true' beside its name, or choose another name.",
    "write `external: true` if that network is meant, or choose another name; Compose refuses to use it otherwise",
)
NAME_TAKEN = Refusal(
    _SECTION,
    "{file}: service {service} needs the container name {name}, which {holder} has on this host. Rename that one there (docker "
    "rename {name} {name}-old), remove it, or choose another name.",
    "type `docker rename` on the host, remove that container, or change `container_name`",
)
NAME_TWICE = Refusal(
    _SECTION,
    "{file}: service {service} has container_name {name}, which service {other} of {twin} has too. Choose another name for one.",
    "give one of the two services another `container_name`: a host has each name once",
)
NOT_JOINED = Refusal(
    _SECTION,
    "{file}: service {service} has {key} of container {name}, which does not {verb} on this host. Start it first, or correct "
    "the name.",
    "start that container first, or correct its name",
)
NO_RUNTIME = Refusal(
    _SECTION,
    "{file}: service {service} asks for runtime {runtime}, which the engine of this host does not have (it has {known}). Install "
    "it and name it in /etc/docker/daemon.json (runtimes), or remove the key.",
    "install that runtime, name it in `/etc/docker/daemon.json` and restart Docker; or remove `runtime`",
)
NO_SOURCE = Refusal(
    _SECTION,
    "{file}: {what} needs {path}, which does not exist on this host, and Docker does not create it. Create it there, or correct "
    "the path.",
    "create the directory or file on the host (an NFS share may not be mounted), or allow it: `bind: {create_host_path: true}`",
)
TOO_MANY_CPUS = Refusal(
    _SECTION,
    "{file}: service {service} has {key} {wanted}, and this host has {number} CPUs (0 to {last}). Lower it.",
    "lower the value, for example by a variable that the inventory sets for each host",
)
TOO_MUCH_MEMORY = Refusal(
    _SECTION,
    "{file}: service {service} has {key} {wanted}, and this host has {size} of memory. Lower it.",
    "lower the value, for example by a variable that the inventory sets for each host: such a limit limits nothing",
)
NO_DRIVER = Refusal(
    _SECTION,
    "{file}: {what} needs the {kind} driver {driver}, which the engine of this host does not have (it has {known}). Install it "
    "there (docker plugin install), or choose another one.",
    "type `docker plugin install` on the host, or choose another driver",
)
NOT_WITHOUT_SWARM = Refusal(
    _SECTION,
    "{file}: {kind} {name} is external, which Compose does not support. Give it a file, content or environment instead.",
    "give it `file`, `content` or `environment`: external ones exist in Swarm alone",
)
NOT_ITS_ADDRESS = Refusal(
    _SECTION,
    "{file}: service {service} asks for address {address} in network {key}, and {why}.",
    "choose an address of a subnet that the network's `ipam` names, and that no other container has",
)


@dataclass(frozen=True)
class Stack:
    """A stack that a host is to run: its Compose project, its file, and what Compose prints of it.

    ``names`` are those that the project's networks and volumes have there (kind and key -> name). ``staying`` are services whose
    containers run and are left alone.
    """

    project: str
    file: str
    config: Mapping[str, Any]
    staying: Collection[str] = ()

    def named(self, kind: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
        """Key -> name on the host and definition, of its ``networks`` or ``volumes``."""
        read_as = f"{self.config.get('name') or ''}_"
        found = {}
        for key, one in (self.config.get(kind) or {}).items():
            one = one or {}
            name = str(one.get("name") or f"{read_as}{key}")
            # A file that is only checked is read as another project.
            found[key] = (f"{self.project}_{key}" if name == f"{read_as}{key}" and not one.get("external") else name, one)
        return found

    def services(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Those that may be started, by name."""
        for name, spec in (self.config.get("services") or {}).items():
            if name not in self.staying:
                yield name, spec

    def container_names(self) -> Iterator[tuple[str, str]]:
        """Service and name of its container; Compose's own choice may be taken by hand, too."""
        for service, spec in self.services():
            yield service, str(spec.get("container_name") or f"{self.project}-{service}-1")


@dataclass(frozen=True)
class There:
    """What a host has. Empty facts are not known, but for containers, networks and volumes.

    ``containers`` map a name to Compose project (empty if another program started it), service and state; ``volumes`` a name to
    what `docker volume inspect` says; ``cdi`` are devices, None if the engine knows none of them. ``absent`` are paths of the
    stacks' own that do not exist.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    containers: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    networks: Sequence[Mapping[str, Any]] = ()
    volumes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    routes: Sequence[nets.Route] = ()
    info: Mapping[str, Any] = field(default_factory=dict)
    plugins: Collection[str] = ()
    cdi: Collection[str] = ()
    absent: Collection[str] = ()


# What one stack makes, another one may call external.
_MADE = ("networks", "volumes")


def faults(stacks: Sequence[Stack], there: There, ours: Collection[str]) -> list[str]:
    """A sentence for all that stacks need and this host does not have.

    Args:
        ours: the Compose projects of this application here: what they hold goes over to what follows them.
    """
    found: list[str] = []
    made = {kind: {name for s in stacks for name, one in s.named(kind).values() if not one.get("external")} for kind in _MADE}
    names = {name for stack in stacks for _, name in stack.container_names()}
    ipv6 = any(":" in str(pool.get("Base")) for pool in there.info.get("DefaultAddressPools") or [])
    for stack in stacks:
        found += features.faults(stack.config, stack.file, there.versions, ipv6)
        found += [*_networks(stack, there, made), *_volumes(stack, there, made), *_files(stack, there)]
        for name, spec in stack.services():
            for asked in _ASKED:
                found += asked(stack, name, spec, there)
            found += _joined(stack, name, spec, there, ours, names)
    return [*found, *_names(stacks, there, ours), *_addresses(stacks, there)]


def _networks(stack: Stack, there: There, made: Mapping[str, Collection[str]]) -> Iterator[str]:
    known = {str(one.get("Name")): one for one in there.networks}
    for key, (name, one) in stack.named("networks").items():
        if one.get("external"):
            if name not in known and name not in made["networks"]:
                yield NO_NETWORK.text(file=stack.file, key=key, name=name)
        elif name in known and (known[name].get("Labels") or {}).get("com.docker.compose.network") != key:
            yield FOREIGN_NETWORK.text(file=stack.file, key=key, name=name)
        elif name not in known:
            yield from _driver(stack, there, "Network", f"network {key}", one.get("driver"))


def _volumes(stack: Stack, there: There, made: Mapping[str, Collection[str]]) -> Iterator[str]:
    for key, (name, one) in stack.named("volumes").items():
        if name in there.volumes:
            differences = vols.differing(one, there.volumes[name])
            if differences:
                said = "; ".join(differences)
                yield vols.VOLUME_DIFFERS.text(name=name, key=key, project=stack.project, file=stack.file, differences=said)
        elif one.get("external"):
            if name not in made["volumes"]:
                yield NO_VOLUME.text(file=stack.file, key=key, name=name)
        else:
            yield from _driver(stack, there, "Volume", f"volume {key}", one.get("driver"))


def _driver(stack: Stack, there: There, kind: str, what: str, driver: Any) -> Iterator[str]:
    known = [*((there.info.get("Plugins") or {}).get(kind) or []), *(("host", "none", "default") if kind == "Network" else ())]
    if driver and known and not {str(driver), f"{driver}:latest"} & {*known, *there.plugins}:
        plugged = ", ".join(sorted({*known, *there.plugins}))
        yield NO_DRIVER.text(file=stack.file, what=what, kind=kind.lower(), driver=driver, known=plugged)


def sources(config: Mapping[str, Any], compose: str = "") -> dict[str, list[str]]:
    """Each path of the host that has to be there before a stack is started by this version of Compose, with what needs it."""
    found: dict[str, list[str]] = {}
    for name, spec in (config.get("services") or {}).items():
        for mount in spec.get("volumes") or []:
            bind = mount.get("bind")
            # Compose prints nothing where it is false. Without any key of bind, older ones do not create the source either.
            created = not features.older(compose, "2.35.1") if bind is None else bind.get("create_host_path")
            if mount.get("type") == "bind" and not created:
                found.setdefault(str(mount.get("source")), []).append(f"service {name}")
    for kind in ("configs", "secrets"):
        used = [use.get("source") for spec in (config.get("services") or {}).values() for use in spec.get(kind) or []]
        for name, one in (config.get(kind) or {}).items():
            if (one or {}).get("file") and name in used:
                found.setdefault(str(one["file"]), []).append(f"{kind[:-1]} {name}")
    for name, one in (config.get("volumes") or {}).items():
        options = (one or {}).get("driver_opts") or {}
        if "bind" in str(options.get("o") or "").split(",") and options.get("device"):
            found.setdefault(str(options["device"]), []).append(f"volume {name}")
    return found


def _files(stack: Stack, there: There) -> Iterator[str]:
    staying = {f"service {name}" for name in stack.staying}
    for path, needing in sources(stack.config, there.versions.get(features.COMPOSE, "")).items():
        what = [one for one in needing if one not in staying]
        if path in there.absent and what:
            yield NO_SOURCE.text(file=stack.file, what=" and ".join(what), path=path)
    for kind in ("configs", "secrets"):
        for name, one in (stack.config.get(kind) or {}).items():
            if (one or {}).get("external"):
                yield NOT_WITHOUT_SWARM.text(file=stack.file, kind=kind[:-1], name=name)


def _runtime(stack: Stack, name: str, spec: Mapping[str, Any], there: There) -> Iterator[str]:
    runtime, known = str(spec.get("runtime") or ""), there.info.get("Runtimes") or {}
    # Engines from 23.0 on take a containerd shim by its own name, or its path.
    shim = runtime.startswith(("io.containerd.", "/")) and not features.older(there.versions.get(features.ENGINE, ""), "23.0")
    if runtime and known and runtime not in known and not shim:
        yield NO_RUNTIME.text(file=stack.file, service=name, runtime=runtime, known=", ".join(sorted(known)))


def _devices(stack: Stack, name: str, spec: Mapping[str, Any], there: There) -> Iterator[str]:
    return devices.faults(stack.file, name, spec, there.absent, there.cdi)


def _cpus(stack: Stack, name: str, spec: Mapping[str, Any], there: There) -> Iterator[str]:
    number = int(there.info.get("NCPU") or 0)
    wanting = [(key, f"{wanted:g}") for key, wanted in _resources(spec, "cpus") if wanted > number]
    named = [int(word) for word in re.findall(r"\d+", str(spec.get("cpuset") or ""))]
    wanting += [("cpuset", str(spec["cpuset"]))] if named and max(named) >= number else []
    for key, wanted in wanting if number else []:
        yield TOO_MANY_CPUS.text(file=stack.file, service=name, key=key, wanted=wanted, number=number, last=number - 1)


def _memory(stack: Stack, name: str, spec: Mapping[str, Any], there: There) -> Iterator[str]:
    size = int(there.info.get("MemTotal") or 0)
    for key, wanted in _resources(spec, "memory"):
        if size and wanted > size:
            asked, has = units.human(wanted), units.human(size)
            yield TOO_MUCH_MEMORY.text(file=stack.file, service=name, key=key, wanted=asked, size=has)


def _resources(spec: Mapping[str, Any], kind: str) -> Iterator[tuple[str, float]]:
    resources = (spec.get("deploy") or {}).get("resources") or {}
    short = {"cpus": ["cpus"], "memory": ["mem_limit", "mem_reservation"]}[kind]
    found = {key: spec.get(key) for key in short}
    found.update(
        {f"deploy.resources.{part}.{kind}": (resources.get(part) or {}).get(kind) for part in ("limits", "reservations")}
    )
    for key, value in found.items():
        try:
            yield key, float(value or 0)
        except (TypeError, ValueError):
            continue


def _logging(stack: Stack, name: str, spec: Mapping[str, Any], there: There) -> Iterator[str]:
    driver = (spec.get("logging") or {}).get("driver")
    yield from _driver(stack, there, "Log", f"service {name}", None if driver == "none" else driver)


def _joined(
    stack: Stack, name: str, spec: Mapping[str, Any], there: There, ours: Collection[str], names: Collection[str]
) -> Iterator[str]:
    asked = [(key, str(spec.get(key) or "")) for key in ("network_mode", "pid", "ipc")]
    asked += [("volumes_from", str(one)) for one in spec.get("volumes_from") or []]
    for key, value in asked:
        if not value.startswith("container:"):
            continue
        other = value.split(":")[1]
        project, _service, state = there.containers.get(other, ("", "", ""))
        # An id is not a name, and this application's own containers come and go with the run.
        if re.fullmatch(r"[0-9a-f]{12,64}", other) or other in names or (state and project in ours):
            continue
        if state != "running" and not (state and key == "volumes_from"):
            yield NOT_JOINED.text(file=stack.file, service=name, key=key, name=other, verb="run" if state else "exist")


_Asked = Callable[[Stack, str, Mapping[str, Any], There], Iterable[str]]
_ASKED: tuple[_Asked, ...] = (_runtime, _devices, _cpus, _memory, _logging)


def _names(stacks: Sequence[Stack], there: There, ours: Collection[str]) -> Iterator[str]:
    seen: dict[str, tuple[str, str]] = {}
    for stack in stacks:
        for service, name in stack.container_names():
            if name in seen:
                other, twin = seen[name]
                yield NAME_TWICE.text(file=stack.file, service=service, name=name, other=other, twin=twin)
            seen[name] = (service, stack.file)
            project, _service, state = there.containers.get(name, ("", "", ""))
            if state and project not in ours:
                holder = f"a container of project {project}" if project else "another container"
                yield NAME_TAKEN.text(file=stack.file, service=service, name=name, holder=f"{holder} ({state})")


def _addresses(stacks: Sequence[Stack], there: There) -> list[str]:
    known = {str(one.get("Name")): one for one in there.networks}
    new, going, found = [], [], []
    for stack in stacks:
        for key, (name, one) in stack.named("networks").items():
            if not one.get("external") and name not in going and (name not in known or nets.differing(one, known[name])):
                new.append((stack.file, key, one))
                going.append(name)
            found += list(_fixed(stack, key, one, known.get(name) if one.get("external") else None))
    pools = [(str(one.get("Base")), int(one.get("Size") or 0)) for one in there.info.get("DefaultAddressPools") or []]
    old = features.older(there.versions.get(features.ENGINE, ""), "27.0")
    return found + nets.addresses(new, there.networks, there.routes, going, pools or nets.POOLS, gateways=old)


def _fixed(stack: Stack, key: str, definition: Mapping[str, Any], external: Optional[Mapping[str, Any]]) -> Iterator[str]:
    """The addresses that services ask for by themselves in one network; of an external one, as the host has it."""
    subnets = nets.taken(external) if external else nets.subnets(definition)
    if definition.get("external") and not external:
        return
    for service, spec in stack.services():
        asked = (spec.get("networks") or {}).get(key) or {}
        for address in (asked.get("ipv4_address"), asked.get("ipv6_address")):
            one = nets.parsed(address)
            if one and not any(nets.meets(one, subnet) for subnet in subnets):
                why = f"its subnets are {', '.join(map(str, subnets))}" if subnets else "the file gives that network no subnet"
                yield NOT_ITS_ADDRESS.text(file=stack.file, service=service, address=address, key=key, why=why)


def anonymous(image: Mapping[str, Any], spec: Mapping[str, Any]) -> list[str]:
    """The paths of a service that lie in volumes without a name, whose files Compose carries over to the next container: VOLUMEs
    of its image where nothing is mounted, and what the file itself mounts so.

    Args:
        image: what `docker image inspect` says.
        spec: the service, as Compose prints it.
    """
    mounts = spec.get("volumes") or []
    mounted = {_clean(one.get("target")) for one in mounts if one.get("source") or one.get("type") == "tmpfs"}
    mounted |= {_clean(str(one).partition(":")[0]) for one in spec.get("tmpfs") or []}
    for kind, place in (("configs", "/"), ("secrets", "/run/secrets/")):
        mounted |= {_clean(posixpath.join(place, str(one.get("target") or one.get("source")))) for one in spec.get(kind) or []}
    own = [one.get("target") for one in mounts if one.get("type") == "volume" and not one.get("source")]
    declared = [*((image.get("Config") or {}).get("Volumes") or {}), *own]
    return sorted({_clean(path) for path in declared} - mounted)


def _clean(path: Any) -> str:
    return posixpath.normpath(f"/{str(path or '').lstrip('/')}")
