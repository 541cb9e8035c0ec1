"""What a rendered compose file asks for, what the engine runs, and the difference. Pure.

The document is what ``docker compose config --format json`` prints. The services of the release stand in
``x-rollout`` at its top, with their gates; another one (a database) is started where it is absent and never restarted.
(At the top: Compose 2.26 leaves extensions of a service out of that document.)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, replace
from typing import Any, Callable, Mapping, Optional

from ansible.module_utils.rollout import torch_verdict
from ansible.module_utils.rollout.drain import Drain, is_url, read_drain
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.ports import Port, published
from ansible.module_utils.rollout.proxy import StartFirst, read_start_first, through

# Where a compose file lies when it is checked: in a directory that is nowhere. A path that begins so was relative; `..` too.
NOWHERE = "/.release/.release/.release"
CONFIG_LABEL = "rollout.config"
RELEASE_LABEL = "rollout.release"
_GATE: dict[str, tuple[tuple[type, ...], str]] = {
    "torch": ((str, dict), "one of " + ", ".join(torch_verdict.FLAVOURS)),
    "health": ((list,), "a list of URLs"),
    "deadline": ((int, float), "a number of seconds"),
    "successes": ((int,), "a whole number"),
    "window": ((int, float), "a number of seconds"),
    "names_release": ((bool,), "true or false"),
    "drain": ((dict,), "a mapping with stop, the URL that stops the intake of work"),
    "start_first": ((dict,), "a mapping with proxy, the service in front, and port"),
}
# A duration as Compose prints it: 1m30s.
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True)
class Service:
    """One service of a stack.

    ``deadline`` is how many seconds it may take from its start until every gate holds; ``successes`` how many good
    samples in a row are needed, over at least ``window`` seconds. ``health`` are URLs, as seen from the host; none
    means that Docker's own health check decides. With ``names_release`` each answer must name the release. ``grace`` are
    the seconds that Docker gives it to end. With ``start_first`` its new container comes before the old one goes.
    ``after`` are the services that it depends on; ``bound`` those of them that it cannot outlive: their network is its own, or
    the compose file says so. ``config_hash`` stands for the whole configuration: the label that the release's pins put on the
    container, or in a file without pins the hash that they will put there.
    """

    name: str
    image: str
    released: bool
    torch: Optional[torch_verdict.Expectation] = None
    health: tuple[str, ...] = ()
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


@dataclass(frozen=True)
class Container:
    """What `docker inspect` said of a container of one service. Exit facts serve messages; ``addresses`` are those that
    it has in each network; ``published`` means that it holds ports of the host itself; ``grace`` are the seconds that it gets
    to end; ``release`` is the one that started it; ``joins`` are the containers whose network, ipc or pid it has."""

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


@dataclass(frozen=True)
class Change:
    """What a switch does to one service: ``keep``, ``create``, ``recreate``, ``replace`` (the new container before the old one
    goes) or ``remove``, and why."""

    service: str
    action: str
    why: str


def services(config: dict[str, Any], file: str, values: Mapping[str, str] = {}) -> list[Service]:
    """The services in the order of their start: those outside the release first, and none before what it depends on.

    Args:
        values: the variables of the release's .env file, where configurations are to be told apart that have no pins yet.

    Raises:
        RolloutError: no service is part of the release, or an ``x-rollout`` cannot be meant.
    """
    specs: dict[str, Any] = config.get("services") or {}
    gates = config.get("x-rollout")
    if not isinstance(gates, dict) or not gates:
        raise RolloutError(
            f"{file} has no x-rollout at its top: it must name the services of the release and their gates, for example "
            "'x-rollout: {web: {health: [http://127.0.0.1:8080/]}}'."
        )
    for name in gates:
        if name not in specs:
            raise RolloutError(f"{file}: x-rollout names service {name}, which the file does not have.")
    shared = {name: _shared(spec, config, values) for name, spec in specs.items()}
    found = [_service(name, spec, shared[name], name in gates, gates.get(name), file) for name, spec in specs.items()]
    for service in found:
        if service.start_first:
            _two_at_once(service, specs, gates, f"{file}: x-rollout.{service.name}.start_first")
    return [*_in_order([s for s in found if not s.released]), *_in_order([s for s in found if s.released])]


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


def _two_at_once(service: Service, specs: Mapping[str, Any], gates: Mapping[str, Any], where: str) -> None:
    """Refuse start-first where two containers of the service cannot be side by side, or nothing stands in front.

    Raises:
        RolloutError: names the key and what is in the way.
    """
    spec, proxy = specs[service.name], service.start_first.proxy if service.start_first else ""
    reason = ""
    if service.torch and service.torch.on_gpu:
        reason = "a GPU service is stop-first always, because one card holds one model"
    elif service.drain:
        reason = "its key drain speaks to one container, and there are two for a while"
    elif proxy not in specs or proxy in gates:
        reason = f"proxy '{proxy}' is not a service of this file outside the release"
    elif service.ports:
        reason = f"it publishes port {service.ports[0]} itself, which two containers cannot; let {proxy} publish it"
    elif spec.get("container_name"):
        reason = f"it has container_name {spec['container_name']}, which two containers cannot have"
    elif spec.get("network_mode"):
        reason = f"it has network_mode {spec['network_mode']}, and no address of its own"
    elif not through(service.health, published(specs[proxy])):
        reason = f"none of its health URLs goes to a port that {proxy} publishes, so that requests could be seen to arrive"
    if reason:
        raise RolloutError(f"{where} is refused: {reason}. Mend that, or set rollout_strategy: stop_first.")


def _shared(spec: Mapping[str, Any], config: Mapping[str, Any], values: Mapping[str, str]) -> list[list[str]]:
    """What a service gets of the file's configs and secrets: what is written there or comes from a variable is no part of its own
    configuration, and Compose puts it into the container when that is made."""
    found = []
    for kind in ("configs", "secrets"):
        for use in spec.get(kind) or []:
            name = str(use["source"] if isinstance(use, Mapping) else use)
            one = (config.get(kind) or {}).get(name) or {}
            if one.get("content") is not None:
                found.append([kind, name, str(one["content"])])
            elif one.get("environment"):
                found.append([kind, name, str(values.get(one["environment"], ""))])
    return found


def _bound(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The services without whose present container a container is of no use (docs.docker.com/reference/compose-file/services:
    network_mode, ipc and pid of a service, and depends_on with restart)."""
    modes = [str(spec.get(key) or "") for key in ("network_mode", "ipc", "pid")]
    needs: Mapping[str, Any] = spec.get("depends_on") or {}
    restarted = [name for name, how in needs.items() if isinstance(how, Mapping) and how.get("restart")]
    return tuple(dict.fromkeys([*(m.partition(":")[2] for m in modes if m.startswith("service:")), *restarted]))


def _once(name: str, spec: Mapping[str, Any], released: bool, file: str) -> None:
    """Refuse what is not one container that stays, or waits for one that does not.

    Raises:
        RolloutError: names the key.
    """
    number = spec.get("scale", (spec.get("deploy") or {}).get("replicas"))
    if released and number not in (None, 1):
        raise RolloutError(
            f"{file}: service {name} is to have {number} containers; a rollout replaces one by one. Name a service for "
            "each of them."
        )
    needs: Mapping[str, Any] = spec.get("depends_on") or {}
    for other, how in needs.items():
        if isinstance(how, Mapping) and how.get("condition") == "service_completed_successfully":
            raise RolloutError(
                f"{file}: service {name} waits until {other} has ended (service_completed_successfully); a gate asks of each "
                f"service that it stays. Let {name} do at its start what {other} does."
            )


def _service(name: str, spec: dict[str, Any], shared: list[list[str]], released: bool, gate: Any, file: str) -> Service:
    _once(name, spec, released, file)
    pinned = (spec.get("labels") or {}).get(CONFIG_LABEL)
    # Not Compose's own config-hash: `up --no-deps` and `config --hash` disagree on a service that has dependencies.
    whole = [spec, shared] if shared else spec
    config_hash = pinned or hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]
    facts: dict[str, Any] = {"ports": published(spec), "cards": cards(spec), "config_hash": config_hash}
    facts["bound"] = _bound(spec)
    facts["after"] = tuple(dict.fromkeys([*(spec.get("depends_on") or ()), *facts["bound"]]))
    if "stop_grace_period" in spec:
        facts["grace"] = sum(float(n) * _UNITS[u] for n, u in re.findall(r"([\d.]+)(ms|h|m|s)", spec["stop_grace_period"]))
    plain = Service(name, spec.get("image", ""), released, **facts)
    if not plain.image:
        raise RolloutError(f"{file}: service {name} has no image; a rollout does not build.")
    return replace(plain, **_gate(name, gate or {}, file)) if released else plain


def _gate(name: str, gate: Any, file: str) -> dict[str, Any]:
    where = f"{file}: x-rollout.{name}"
    if not isinstance(gate, dict):
        raise RolloutError(f"{where} is {gate!r}: expected a mapping.")
    for key, value in gate.items():
        if key not in _GATE:
            raise RolloutError(f"{where} has '{key}'; known are {', '.join(sorted(_GATE))}.")
        types, meaning = _GATE[key]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise RolloutError(f"{where}.{key} is {value!r}: expected {meaning}.")
    for url in gate.get("health", []):
        if not is_url(url):
            raise RolloutError(f"{where}.health has '{url}': expected an http:// URL.")
    found = {key: tuple(value) if key == "health" else value for key, value in gate.items()}
    if "drain" in gate:
        found["drain"] = read_drain(gate["drain"], f"{where}.drain")
    if "start_first" in gate:
        found["start_first"] = read_start_first(gate["start_first"], f"{where}.start_first")
    if "torch" in gate:
        found["torch"] = torch_verdict.expectation(gate["torch"], f"{where}.torch")
    return found


def pins(wanted: list[Service], images: dict[str, dict[str, Any]], tag: str) -> str:
    """The second compose file of a release: each released service's image, by digest, and labels that tell it apart.

    JSON, which is YAML. Docker ignores the tag beside a digest; it stays for the reader of `docker ps`.
    """
    document = {
        "services": {
            s.name: {
                "image": f"{repository(s.image)}:{tag}@{images[repository(s.image)]['digest']}",
                "labels": {RELEASE_LABEL: tag, CONFIG_LABEL: s.config_hash},
            }
            for s in wanted
            if s.released and repository(s.image) in images
        }
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def pinned(config: Mapping[str, Any], pins: str) -> dict[str, Any]:
    """What Compose makes of a stack with its ``pins``, from what it makes of it without: a later file's image and labels win."""
    services = dict(config["services"])
    for name, pin in json.loads(pins)["services"].items():
        services[name] = {**services[name], **pin, "labels": {**(services[name].get("labels") or {}), **pin["labels"]}}
    return {**config, "services": services}


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


def repository(image: str) -> str:
    """``image`` without tag and digest, otherwise as it is written."""
    image = image.partition("@")[0]
    head, slash, tail = image.rpartition("/")
    return head + slash + tail.partition(":")[0]


def unresolved(wanted: list[Service], images: dict[str, Any], file: str) -> None:
    """Refuse a released service whose image the run did not resolve.

    Raises:
        RolloutError: names service, image, and what was resolved.
    """
    for service in wanted:
        if service.released and repository(service.image) not in images:
            raise RolloutError(
                f"{file}: service {service.name} uses image {repository(service.image)}, which this run did not resolve "
                f"(resolved: {', '.join(sorted(images)) or 'none'}). Add it to rollout_stacks.<stack>.images, or take "
                "x-rollout away from a service that is not part of the release."
            )


def rooted(config: Mapping[str, Any], file: str) -> None:
    """Refuse relative paths of the host. Every release has a directory of its own: a database would be empty in the next one,
    and its data would go with the old one.

    Args:
        config: as Compose reads a file that lies in `NOWHERE`.

    Raises:
        RolloutError: names the first one.
    """
    specs: Mapping[str, Any] = config.get("services") or {}
    volumes: Mapping[str, Any] = config.get("volumes") or {}
    found = [(f"services.{name}.volumes", v.get("source")) for name, spec in specs.items() for v in spec.get("volumes") or []]
    found += [
        (f"{kind}.{name}.file", (spec or {}).get("file"))
        for kind in ("configs", "secrets")
        for name, spec in (config.get(kind) or {}).items()
    ]
    found += [(f"volumes.{n}.driver_opts.device", ((v or {}).get("driver_opts") or {}).get("device")) for n, v in volumes.items()]
    for key, path in found:
        # A volume's device Compose makes absolute only where its driver is named.
        if str(path).startswith(("/.release/", "./", "../")):
            written = os.path.relpath(os.path.join(NOWHERE, str(path)), NOWHERE)
            raise RolloutError(
                f"{file}: {key} has the relative path '{written}'. Each release has a directory of its own, which goes when the "
                "release is old: write an absolute path, or use a named volume."
            )


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
            (network, str(facts["IPAddress"]))
            for network, facts in sorted(((inspected.get("NetworkSettings") or {}).get("Networks") or {}).items())
            if facts.get("IPAddress")
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
    )


_KEPT = Change("", "keep", "")
# Why a service is recreated that is bound to another one.
WITH = "with "


def changes(
    wanted: list[Service], image_ids: Mapping[str, str], running: list[Container], active: Optional[Mapping[str, str]] = None
) -> list[Change]:
    """What brings the stack from what runs to what is wanted.

    Args:
        image_ids: repository -> the image's id on this host.
        running: the stack's containers, stopped ones too.
        active: start-first service -> the name of the container that its proxy sends requests to.
    """
    by_service: dict[str, list[Container]] = {}
    for found in running:
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


def active_first(running: list[Container], active: Mapping[str, str]) -> list[Container]:
    """Containers, of a start-first service the one first that its proxy sends requests to."""
    return sorted(running, key=lambda c: c.name != active.get(c.service))
