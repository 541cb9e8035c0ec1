"""What a rendered compose file asks for, what the engine runs, and the difference. Pure.

The document is what ``docker compose config --format json`` prints. The services of the release stand in
``x-rollout`` at its top, with their gates; another one (a database) is started where it is absent and never restarted.
(At the top: Compose 2.26 leaves extensions of a service out of that document.)
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from dataclasses import dataclass
from typing import Any, Mapping, Optional

from ansible.module_utils.rollout.domain.gate import Drain, Expectation, StartFirst, read_gate
from ansible.module_utils.rollout.domain.haproxy import through
from ansible.module_utils.rollout.domain.ports import Port, published
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.errors import Refusal

# Where a compose file lies when it is checked: in a directory that is nowhere. A path that begins so was relative; `..` too.
NOWHERE = "/.release/.release/.release"
CONFIG_LABEL = "rollout.config"
RELEASE_LABEL = "rollout.release"
# A duration as Compose prints it: 1m30s.
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
NO_GATES = Refusal(
    "Compose file and environment",
    "{file} has no x-rollout at its top: it must name the services of the release and their gates, for example 'x-rollout: "
    "{{web: {{health: [http://127.0.0.1:8080/]}}}}'.",
    "name the services of the release there: [x-rollout](inventory.md#x-rollout)",
)
NO_SERVICE = Refusal(
    "Compose file and environment",
    "{file}: x-rollout names service {service}, which the file does not have.",
    "correct the service's name",
)
RELATIVE = Refusal(
    "Compose file and environment",
    "{file}: {key} has the relative path '{path}'. Each release has a directory of its own, which goes when the release is old: "
    "write an absolute path, or use a named volume.",
    "move what an earlier version put below `releases/` on the host, then name its place absolutely: data would be empty in the "
    "next release, and go with an old one",
)
NOT_TWICE = Refusal(
    "Compose file and environment",
    "{where} is refused: {reason}. Fix that, or set rollout_strategy: stop_first.",
    "fix what keeps two containers of that service from running side by side: it has a GPU, publishes a port itself, has a fixed "
    "name or no proxy",
)
NO_IMAGE = Refusal(
    "Compose file and environment",
    "{file}: service {service} has no image; a rollout does not build.",
    "give the service `image:`",
)
MANY = Refusal(
    "Compose file and environment",
    "{file}: service {service} is to have {number} containers; a rollout replaces one by one. Name a service for each of them.",
    "write one service for each container; two services can share their text by a YAML anchor",
)
WAITS = Refusal(
    "Compose file and environment",
    "{file}: service {service} waits until {other} has ended (service_completed_successfully); a gate asks of each service that "
    "it stays. Let {service} do at its start what {other} does.",
    "move the work, for example a migration, into the entrypoint of the service that needs it",
)
UNRESOLVED = Refusal(
    "Compose file and environment",
    "{file}: service {service} uses image {image}, which this run did not resolve (resolved: {resolved}). Add it to "
    "rollout_stacks.<stack>.images, or take x-rollout away from a service that is not part of the release.",
    "add the image to `rollout_stacks.….images`, or take the service out of `x-rollout`",
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
    the compose file says so. ``config_hash`` stands for the whole configuration: the label that the release's pins put on the
    container, or in a file without pins the hash that they will put there.
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


def read(config: dict[str, Any], file: str, values: Mapping[str, str], images: Mapping[str, Any]) -> list[Service]:
    """As `services`, of a file that is to be staged: its paths are absolute, and ``images`` has those of its released services.

    Raises:
        RolloutError: all that is wrong with the file, one fault a line.
    """
    wrong, found = Faults(), []
    with wrong.gather():
        rooted(config, file)
    with wrong.gather():
        found = services(config, file, values)
    with wrong.gather():
        unresolved(config, images, file)
    wrong.refuse()
    return found


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
        raise NO_GATES(file=file)
    wrong, found = Faults(), []
    for name in gates:
        with wrong.gather():
            if name not in specs:
                raise NO_SERVICE(file=file, service=name)
    for name, spec in specs.items():
        with wrong.gather():
            found.append(_service(name, spec, _shared(spec, config, values), name in gates, gates.get(name), file))
    for service in found:
        if service.start_first:
            with wrong.gather():
                _two_at_once(service, specs, gates, f"{file}: x-rollout.{service.name}.start_first")
    wrong.refuse()
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
    elif not through(service.health, published(specs[proxy]), service.name):
        reason = f"none of its health URLs goes to a port that {proxy} publishes, so that requests could be seen to arrive"
    if reason:
        raise NOT_TWICE(where=where, reason=reason)


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
    """Refuse what is not one container.

    Raises:
        RolloutError: names the key.
    """
    number = spec.get("scale", (spec.get("deploy") or {}).get("replicas"))
    if released and number not in (None, 1):
        raise MANY(file=file, service=name, number=number)


def _stays(name: str, spec: Mapping[str, Any], file: str) -> None:
    """Refuse what waits for a service that ends.

    Raises:
        RolloutError: names the service.
    """
    needs: Mapping[str, Any] = spec.get("depends_on") or {}
    for other, how in needs.items():
        if isinstance(how, Mapping) and how.get("condition") == "service_completed_successfully":
            raise WAITS(file=file, service=name, other=other)


def _service(name: str, spec: dict[str, Any], shared: list[list[str]], released: bool, gate: Any, file: str) -> Service:
    wrong, asked = Faults(), {}
    with wrong.gather():
        _once(name, spec, released, file)
    with wrong.gather():
        _stays(name, spec, file)
    with wrong.gather():
        if not spec.get("image"):
            raise NO_IMAGE(file=file, service=name)
    with wrong.gather():
        asked = read_gate(gate or {}, f"{file}: x-rollout.{name}") if released else {}
    wrong.refuse()
    pinned = (spec.get("labels") or {}).get(CONFIG_LABEL)
    # Not Compose's own config-hash: `up --no-deps` and `config --hash` disagree on a service that has dependencies.
    whole = [spec, shared] if shared else spec
    config_hash = pinned or hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]
    facts: dict[str, Any] = {"ports": published(spec), "cards": cards(spec), "config_hash": config_hash}
    facts["bound"] = _bound(spec)
    facts["after"] = tuple(dict.fromkeys([*(spec.get("depends_on") or ()), *facts["bound"]]))
    if "stop_grace_period" in spec:
        facts["grace"] = sum(float(n) * _UNITS[u] for n, u in re.findall(r"([\d.]+)(ms|h|m|s)", spec["stop_grace_period"]))
    return Service(name, spec["image"], released, **facts, **asked)


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


def unresolved(config: Mapping[str, Any], images: Mapping[str, Any], file: str) -> None:
    """Refuse released services whose image the run did not resolve.

    Raises:
        RolloutError: names each service, its image, and what was resolved.
    """
    wrong, specs = Faults(), config.get("services") or {}
    for name in config.get("x-rollout") or ():
        image = repository(str((specs.get(name) or {}).get("image") or ""))
        with wrong.gather():
            if image and image not in images:
                raise UNRESOLVED(file=file, service=name, image=image, resolved=", ".join(sorted(images)) or "none")
    wrong.refuse()


def rooted(config: Mapping[str, Any], file: str) -> None:
    """Refuse relative paths of the host. Every release has a directory of its own: a database would be empty in the next one,
    and its data would go with the old one.

    Args:
        config: as Compose reads a file that lies in `NOWHERE`.

    Raises:
        RolloutError: names each of them.
    """
    wrong = Faults()
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
            written = posixpath.relpath(posixpath.join(NOWHERE, str(path)), NOWHERE)
            with wrong.gather():
                raise RELATIVE(file=file, key=key, path=written)
    wrong.refuse()
