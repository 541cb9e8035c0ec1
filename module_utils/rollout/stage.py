"""The verb `stage`: put a release on a host without touching what runs."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Collection, Iterator, Mapping, Optional, Sequence

from ansible.module_utils.rollout import compose, contract, env, gpu, net, plan, ports, preview, torch_verdict
from ansible.module_utils.rollout import ledger as ledgers
from ansible.module_utils.rollout.engine import Engine, Stack, validate
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.phases import Phases

if TYPE_CHECKING:
    from concurrent.futures import Future


@dataclass(frozen=True)
class Login:
    """How the host may pull; without ``username`` as it is logged in itself."""

    registry: str = ""
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def server(self) -> str:
        """Where to log in: of a Docker Hub name the first part is no registry (`reference.parse` has the rule)."""
        first = self.registry.partition("/")[0]
        return first if "." in first or ":" in first or first == "localhost" else "docker.io"


@dataclass
class Order:
    """What is to be staged.

    ``images`` are those of this host's stacks as the registry was resolved (repository -> digest, platforms);
    ``stacks`` map a stack's name to the text of its compose file.
    """

    application: str
    release: str
    run: str
    images: dict[str, dict[str, Any]]
    stacks: dict[str, str]
    environment: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict)
    torch_limit_s: float = 60.0
    login: Login = Login()


def stage(store: Store, engine: Engine, order: Order, check: bool) -> dict[str, Any]:
    """As `_stage`, with what was done when: phases and clock, in the facts of an error too."""
    phases = Phases()
    try:
        with phases.phase("stage"):
            done = _stage(store, engine, order, check, phases)
    except RolloutError as error:
        error.facts.update(phases.facts())
        raise
    return {**done, **phases.facts()}


def _stage(store: Store, engine: Engine, order: Order, check: bool, phases: Phases) -> dict[str, Any]:
    """Validate, pull by digest, prove the torch contract, write the release directory, record it.

    Returns:
        changed, name (of the release directory), diff, to_pull (compressed bytes), torch (verdict by image); with ``check``
        also preview: release, stable (what it would replace), services (as `preview.rows` has them), to_pull, free (bytes on the
        engine's disk), settled (whether a look at the gates is all that it needs), left (stacks that nobody asks for any more and
        their Compose projects).

    Raises:
        RolloutError: whatever is wrong; nothing that runs was touched.
    """
    facts = engine.facts()
    platform = f"linux/{facts['arch']}"
    values = plan.environment(order.release, order.environment, order.secrets)
    files = {".env": env.render(values)}
    configs: dict[str, dict[str, Any]] = {}
    services: dict[str, list[compose.Service]] = {}
    texts = {k: str(v) for k, v in values.items()}
    # All are asked before the first is waited for.
    asked = {s: validate(engine, text, texts, plan.compose_file(s)) for s, text in order.stacks.items()}
    for stack, text in order.stacks.items():
        file = plan.compose_file(stack)
        configs[stack] = _read(asked[stack])
        compose.rooted(configs[stack], file)
        services[stack] = compose.services(configs[stack], file, texts)
        compose.unresolved(services[stack], order.images, file)
        files[file] = text
        files[plan.pins_file(stack)] = compose.pins(services[stack], order.images, order.release)
    for repository, image in order.images.items():
        plan.require_platform(f"{repository}:{order.release}", image["platforms"], platform)
    _require_ports(engine, order.application, services)
    host = require_gpu_host(engine, services)

    content: dict[str, Any] = {**files, "images": {r: i["digest"] for r, i in order.images.items()}}
    known = {n: _content(store, n) for n in store.whole()}
    name, there = plan.variant(order.release, {n: known.get(n, {}) for n in store.taken()}, content)
    ledger = store.ledger()
    before = ledger.stable.name if ledger.stable else None
    manifest = _manifest(store, before)
    if ledger.stable and ledger.stable.release != order.release:
        _require_way_back(store, engine, ledger.stable, order, check)
    old = {f: store.read(str(before), f) for f in manifest.get("files", {})}
    # Those of the release before too: a secret that is no longer asked for is still one.
    secret = {*order.secrets, *manifest.get("secrets", [])}
    result: dict[str, Any] = {
        "name": name,
        "changed": not there,
        "to_pull": 0,
        "torch": {},
        "ready": False,
        "diff": plan.diff(old, files, secret, (before or "nothing", name)),
    }
    missing = {r: i for r, i in order.images.items() if not engine.image(f"{r}@{i['digest']}")}
    if missing:
        result["to_pull"] = plan.layers_to_come(missing, platform, _local_layers(engine))
        plan.require_space(result["to_pull"], store.free_bytes(facts["data"]), facts["data"])
        result["changed"] = True
    foreign = [s.image for stack in services.values() for s in stack if not s.released and not engine.image(s.image)]
    # What was stable once is proven.
    proven = name in {s.name for s in ledger.known}
    if there:
        _known(store, engine, store.manifest(name), configs)
    result["ready"] = proven and not result["changed"] and not foreign
    if check:
        ids = {r: {**i, "id": _image_id(engine, f"{r}@{i['digest']}")} for r, i in order.images.items()}
        found = _preview(store, engine, order.application, services, ids, manifest, facts["data"], result["to_pull"])
        result["preview"] = {"release": order.release, **found}
        return result
    store.require_writable()
    if missing or foreign:
        with session(store, engine, order.login) as logged_in:
            sizes = {r: plan.layers_to_come({r: i}, platform, _local_layers(engine)) for r, i in missing.items()}
            pull(store, logged_in, order.release, missing, sizes, phases)
            # Images outside the release (a database) are pulled where they are absent, and never anew.
            for reference in foreign:
                store.tell(step="pull", what=reference)
                with phases.phase("pull", detail=reference):
                    logged_in.pull(reference)
    images = {r: {"digest": i["digest"], "id": _image_id(engine, f"{r}@{i['digest']}")} for r, i in order.images.items()}
    if not there:
        manifest = {
            "release": order.release,
            "name": name,
            "run": order.run,
            "images": images,
            "application": order.application,
            "stacks": list(order.stacks),
            "secrets": sorted(order.secrets),
        }
        store.write_release(name, files, manifest)
        _known(store, engine, manifest, configs)
    if not proven:
        result["torch"] = prove(store, phases, engine, services, configs, images, order.torch_limit_s, host)
        if name not in ledger.staged:
            store.append("staged", order.run, name=name, release=order.release)
            result["changed"] = True
    return result


def restage(
    store: Store, engine: Engine, name: str, check: bool, login: Login = Login(), stacks: Optional[Sequence[str]] = None
) -> dict[str, Any]:
    """Make sure that a release which is already on the host can be switched to, without a registry if possible.

    Args:
        stacks: those that the inventory gives to this host; none where that is not known.

    Raises:
        RolloutError: it was edited by hand, it has a stack more than the inventory, or an image is neither here nor in the
            registry.
    """
    facts = engine.facts()
    manifest = store.manifest(name)
    edited = store.edited(name)
    if edited:
        raise RolloutError(
            f"Release {name} was edited by hand ({', '.join(edited)} in {store.directory(name)}), so it is not what was "
            "proven stable. Restore the files, or choose another release."
        )
    more = [] if stacks is None else [stack for stack in manifest["stacks"] if stack not in stacks]
    if more:
        raise RolloutError(
            f"Release {name} has stack {', '.join(more)}, which the inventory does not give to this host any more, so no wave "
            "would bring it back. Put it into rollout_stacks again (and the host into its group), or choose another release."
        )
    files = {stack: plan.compose_file(stack) for stack in manifest["stacks"]}
    _ahead(store, engine, manifest)
    services = {s: compose.services(_stack(store, engine, manifest, s).config(), file) for s, file in files.items()}
    require_gpu_host(engine, services)
    if not check:
        store.require_writable()
    changed = False
    for repository, image in manifest["images"].items():
        pinned = f"{repository}@{image['digest']}"
        if engine.image(pinned):
            continue
        changed = True
        if not check:
            try:
                with session(store, engine, login) as logged_in:
                    pull(store, logged_in, manifest["release"], {repository: image}, {}, Phases())
            except RolloutError as error:
                raise RolloutError(
                    f"Release {name} cannot be brought back: image {repository}:{manifest['release']} is no longer on "
                    f"this host, and: {error}"
                ) from error
    result: dict[str, Any] = {"name": name, "changed": changed, "ready": not changed, "to_pull": 0, "torch": {}, "diff": []}
    if check:
        stable = store.ledger().stable
        before = _manifest(store, stable.name if stable else None)
        now = image_ids(engine, manifest["images"])
        images = {r: {**image, "id": now.get(r, image["id"])} for r, image in manifest["images"].items()}
        found = _preview(store, engine, manifest["application"], services, images, before, facts["data"], 0, stacks)
        result["preview"] = {"release": manifest["release"], **found}
    return result


def _read(asked: Future[str]) -> dict[str, Any]:
    """What Compose makes of a file; what it says of a path that is relative names that as it was written."""
    try:
        return dict(json.loads(asked.result()))
    except RolloutError as error:
        error.args = (str(error).replace(f"{compose.NOWHERE}/", ""),)
        raise


def _stack(store: Store, engine: Engine, manifest: dict[str, Any], stack: str) -> Stack:
    project, directory = plan.project(manifest["application"], stack), store.directory(manifest["name"])
    return Stack(engine, project, directory, plan.compose_file(stack), plan.pins_file(stack))


def _ahead(store: Store, engine: Engine, manifest: dict[str, Any]) -> None:
    """Have Compose read the release in the background: whoever switches to it will ask."""
    for stack in manifest["stacks"]:
        _stack(store, engine, manifest, stack).asked()


def _known(store: Store, engine: Engine, manifest: dict[str, Any], configs: dict[str, dict[str, Any]]) -> None:
    """Whoever switches to the release need not have Compose read it once more: but for its pins it was read just now."""
    for stack, config in configs.items():
        pins = store.read(manifest["name"], plan.pins_file(stack))
        _stack(store, engine, manifest, stack).know(compose.pinned(config, str(pins)))


def _preview(
    store: Store,
    engine: Engine,
    application: str,
    services: dict[str, list[compose.Service]],
    images: dict[str, dict[str, Any]],
    before: dict[str, Any],
    data: str,
    to_pull: int,
    stacks: Optional[Sequence[str]] = None,
) -> dict[str, Any]:
    ledger, found = store.ledger(), []
    cards = False
    # What the release has no more, and the inventory has, goes.
    for stack, wanted in {**services, **{stack: [] for stack in stacks or () if stack not in services}}.items():
        cards = cards or any(s.torch and s.torch.on_gpu for s in wanted)
        running = engine.containers(plan.project(application, stack))
        found += preview.rows(stack, wanted, running, images, before.get("images", {}), ledger.took, store.active(stack, wanted))
    # A kept GPU service is tried first, and recreated where its container lost its card; an interrupted run may have left more.
    settled = not cards and not ledger.open and not ledger.armed and all(row["action"] == "keep" for row in found)
    stable = ledger.stable.release if ledger.stable else ""
    facts = {"services": found, "to_pull": to_pull, "free": store.free_bytes(data), "settled": settled, "stable": stable}
    left = leftover(store, engine, application, services if stacks is None else stacks)
    return {**facts, "left": {stack: plan.project(application, stack) for stack in left}}


def leftover(store: Store, engine: Engine, application: str, stacks: Collection[str]) -> dict[str, list[compose.Container]]:
    """The stacks that a release had here and ``stacks`` has not, with their containers: no run switches these. None without."""
    had = sorted({stack for name in store.whole() for stack in store.manifest(name)["stacks"]} - set(stacks))
    found = {stack: engine.containers(plan.project(application, stack)) for stack in had}
    return {stack: containers for stack, containers in found.items() if containers}


@contextlib.contextmanager
def session(store: Store, engine: Engine, login: Login) -> Iterator[Engine]:
    """An engine that may pull from a private registry; the login leaves nothing behind.

    Raises:
        RolloutError: the registry refuses the login.
    """
    if not login.username:
        yield engine
        return
    with store.temporary("login") as directory:
        logged_in = engine.configured(str(directory))
        logged_in.login(login.server, login.username, login.password)
        yield logged_in


def pull(
    store: Store, engine: Engine, release: str, images: dict[str, dict[str, Any]], sizes: dict[str, int], phases: Phases
) -> None:
    """Pull by digest, then put the release's tag on it here: `docker image prune` spares what has a tag.

    Args:
        sizes: repository -> compressed bytes to come, where that is known.
    """
    for repository, image in images.items():

        def told(done: int, repository: str = repository) -> None:
            store.tell(step="pull", what=repository, done=done, total=sizes.get(repository))

        with phases.phase("pull", detail=repository):
            engine.pull(f"{repository}@{image['digest']}", told=told)
        engine.checked(["tag", f"{repository}@{image['digest']}", f"{repository}:{release}"], "Tagging an image")


def require_gpu_host(engine: Engine, services: dict[str, list[compose.Service]]) -> Optional[dict[str, Any]]:
    """What is known of this host's cards; None where no service needs one.

    Raises:
        RolloutError: no new container would get its card here, whatever its image.
    """
    needing = [s for stack in services.values() for s in stack if s.torch and s.torch.on_gpu]
    if not needing:
        return None
    host = gpu.facts(engine)
    fault = torch_verdict.host_fault(host)
    # AMD's cards have no driver of NVIDIA's.
    if fault and any(s.torch and s.torch.flavour == "cuda" for s in needing):
        reason, evidence = fault
        raise RolloutError(
            f"Service {needing[0].name} needs the GPU, and this host has none to give to a new container: {evidence} "
            f"({reason}). The fault is the host's. Rolling back will not help: {torch_verdict.REASONS[reason][2]}",
            service=needing[0].name,
            gate="gpu",
        )
    return host


def prove(
    store: Store,
    phases: Phases,
    engine: Engine,
    services: dict[str, list[compose.Service]],
    configs: dict[str, dict[str, Any]],
    images: dict[str, dict[str, Any]],
    limit_s: float,
    host: Optional[dict[str, Any]],
) -> dict[str, Any]:
    """The torch contract of each image, in a throw-away container with the service's own configuration.

    A card that is busy with what runs now does not stop the run: the gate after the start proves the rest.

    Raises:
        RolloutError: an image does not keep its contract, or that could not be found out.
    """
    verdicts: dict[tuple[str, torch_verdict.Expectation], Any] = {}
    for stack, found in services.items():
        for service in found:
            repository = compose.repository(service.image)
            if not service.released or service.torch is None or (repository, service.torch) in verdicts:
                continue
            store.tell(step="torch", what=service.name)
            tried = {**configs[stack]["services"][service.name], "image": f"{repository}@{images[repository]['digest']}"}
            with phases.phase("torch", service.name):
                verdict = contract.in_image(engine, tried, service.torch, limit_s, host)
            verdicts[repository, service.torch] = verdict
            if not torch_verdict.passed_or_busy(verdict):
                raise RolloutError(
                    "Torch contract broken: " + torch_verdict.sentence(verdict, f"image {repository}, service {service.name}"),
                    service=service.name,
                    gate="torch",
                    torch=verdict,
                )
    return {f"{repository} ({expected.flavour})": verdict for (repository, expected), verdict in verdicts.items()}


def _manifest(store: Store, name: Optional[str]) -> dict[str, Any]:
    """That of the stable release, for what is only told; empty where there is none, or it cannot be read."""
    try:
        return store.manifest(name) if name else {}
    except RolloutError:
        return {}


def _require_way_back(store: Store, engine: Engine, stable: ledgers.Stable, order: Order, check: bool) -> None:
    """Refuse to leave a stable release that the run, or the guard, could not bring back. An image that is gone is got again.

    Raises:
        RolloutError: says why not.
    """
    try:
        manifest, edited = store.manifest(stable.name), store.edited(stable.name)
        why = f"{', '.join(edited)} in {store.directory(stable.name)} was edited by hand, or is gone" if edited else ""
        if not why and not check:
            gone = {r: i for r, i in manifest["images"].items() if not engine.image(f"{r}@{i['digest']}")}
            if gone:
                with session(store, engine, order.login) as logged_in:
                    pull(store, logged_in, stable.release, gone, {}, Phases())
    except RolloutError as error:
        why = str(error).rstrip(".")
    if why:
        # A guard, which has this module too, does without.
        from ansible.module_utils.rollout.report import choice

        raise RolloutError(
            f"Stable release {stable.name} could not be brought back, should {order.release} fail: {why}. Roll it out first "
            f"(ansible-playbook rollout.yml -e {choice(stable.release)}), which stages it anew; or move {store.path} away, and "
            "there is no way back."
        )


def _content(store: Store, name: str) -> dict[str, Any]:
    manifest = store.manifest(name)
    content: dict[str, Any] = {file: store.read(name, file) for file in manifest["files"]}
    content["images"] = {r: i["digest"] for r, i in manifest["images"].items()}
    return content


def _require_ports(engine: Engine, application: str, services: dict[str, list[compose.Service]]) -> None:
    wanted = [(port, service.name) for stack in services.values() for service in stack for port in service.ports]
    held = engine.held_ports()
    free = [port for port, _ in wanted if not any(port.meets(other) for other, _ in held)]
    foreign = {port.address for port in free if not net.has_address(port.address)}
    ports.require(
        wanted, held, [plan.project(application, stack) for stack in services], {p: net.listener(p) for p in free}, foreign
    )


def _local_layers(engine: Engine) -> list[str]:
    ids = engine.checked(["image", "ls", "--quiet", "--no-trunc"], "Listing images").split()
    return [layer for image in engine.inspect("image", sorted(set(ids))) for layer in image["RootFS"].get("Layers") or []]


def image_ids(engine: Engine, images: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Repository -> the id that the engine knows the image by at present; without those that are not here."""
    found = {repository: _image_id(engine, f"{repository}@{image['digest']}") for repository, image in images.items()}
    return {repository: one for repository, one in found.items() if one}


def _image_id(engine: Engine, reference: str) -> Optional[str]:
    image = engine.image(reference)
    return image["Id"] if image else None
