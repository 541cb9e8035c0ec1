"""The verb `stage`: put a release on a host without touching what runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Mapping, Optional

from ansible.module_utils.rollout.domain import capacity, compose, dotenv
from ansible.module_utils.rollout.domain import reference as reference_of
from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain.gate import CHECKPOINT, Expectation
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict
from ansible.module_utils.rollout.domain.variants import Variant
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import images, torch_check
from ansible.module_utils.rollout.io.compose_project import validate
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.images import ANONYMOUS, Login
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import refusals, variants
from ansible.module_utils.rollout.verbs.between import between
from ansible.module_utils.rollout.verbs.candidate import Candidate, known, preview, pull, require
from ansible.module_utils.rollout.verbs.phases import Phases

if TYPE_CHECKING:
    from concurrent.futures import Future


@dataclass
class Order:
    """What is to be staged.

    ``images`` are those of this host's stacks as the registry was resolved (repository -> digest, platforms);
    ``stacks`` map a stack's name to the text of its compose file. ``confirm_s`` and ``drain_mode`` are as
    `releases.too_late` takes them.
    """

    application: str
    release: str
    run: str
    images: dict[str, dict[str, Any]]
    stacks: dict[str, str]
    environment: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict)
    allow_short_secrets: bool = False
    torch_limit_s: float = 60.0
    confirm_s: float = 0.0
    drain_mode: str = CHECKPOINT
    login: Login = ANONYMOUS


@dataclass(frozen=True)
class _New(Candidate):
    """A candidate of an order, whose directory is ``there`` or is to be written; ``foreign`` are images outside the release that
    the host lacks."""

    there: bool = False
    foreign: tuple[str, ...] = ()


def stage(store: Store, engine: Engine, order: Order, check: bool) -> dict[str, Any]:
    """Validate, pull by digest, prove the torch contract, write the release directory, record it.

    Returns:
        changed, name (of the release directory), diff, to_pull (compressed bytes), pulled (those that came), torch (verdict by
        image), ready (whether nothing was to be done, and the release was stable once), phases and clock; with ``check`` also
        preview, as `preview` has it.

    Raises:
        RolloutError: whatever is wrong; nothing that runs was touched. Facts: phases, clock.
    """
    phases = Phases()

    def staged() -> dict[str, Any]:
        with phases.phase("stage"):
            found = _candidate(store, engine, order)
            cards = require(store, engine, found)
            _require_way_back(store, order)
            result = _result(store, order, found)
            if check:
                values = dotenv.parse(found.files[".env"])
                apart = between(store, engine, values, set(order.secrets), found.configs)
                digests = {r: str(image["digest"]) for r, image in order.images.items()}
                new = Variant(found.name, found.release, order.run, found.files, digests)
                apart.update(barred=[*apart["barred"]], variants=variants.said(store, new))
                return {**result, "preview": {**preview(store, engine, found), **apart}}
            return {**result, **_put(store, engine, order, found, cards, phases)}

    return phases.timed(staged)


def _candidate(store: Store, engine: Engine, order: Order) -> _New:
    """Read the order: what it says by itself, and what of it is here.

    Raises:
        RolloutError: files or values cannot be meant; it says all that is wrong.
    """
    facts = engine.facts()
    values = releases.environment(order.release, order.environment, order.secrets, order.allow_short_secrets)
    files = {".env": dotenv.render(values)}
    texts = {key: str(value) for key, value in values.items()}
    configs: dict[str, dict[str, Any]] = {}
    services: dict[str, list[compose.Service]] = {}
    # Compose is asked for all before the first is waited for.
    asked = {s: validate(engine, text, texts, releases.compose_file(s)) for s, text in order.stacks.items()}
    wrong = Faults()
    for stack, text in order.stacks.items():
        file = releases.compose_file(stack)
        with wrong.gather():
            configs[stack] = _read(asked[stack])
            services[stack] = compose.read(configs[stack], file, texts, order.images)
            wrong.add(*releases.too_late(stack, services[stack], order.confirm_s, order.drain_mode))
            files[file] = text
            files[releases.pins_file(stack)] = compose.pins(services[stack], order.images, order.release)
    wrong.refuse()
    name, there = _variant(store, order, files)
    now = images.image_ids(engine, order.images)
    missing = {r: image for r, image in order.images.items() if r not in now}
    layers, platform = images.local_layers(engine) if missing else [], f"linux/{facts['arch']}"
    sizes = capacity.layers_to_come(missing, platform, layers)
    outside = [s.image for stack in services.values() for s in stack if not s.released]
    return _New(
        application=order.application,
        release=order.release,
        name=name,
        stacks=list(order.stacks),
        services=services,
        images={r: {**image, "id": now.get(r)} for r, image in order.images.items()},
        missing=missing,
        engine=facts,
        sizes=sizes,
        to_pull=sum(sizes.values()),
        configs=configs,
        files=files,
        there=there,
        foreign=tuple(image for image in outside if not engine.image(image)),
    )


def _read(asked: Future[str]) -> dict[str, Any]:
    """What Compose makes of a file; what it says of a path that is relative names that as it was written."""
    try:
        return dict(json.loads(asked.result()))
    except RolloutError as error:
        error.args = (str(error).replace(f"{compose.NOWHERE}/", ""),)
        raise


def _variant(store: Store, order: Order, files: Mapping[str, str]) -> tuple[str, bool]:
    """The name of the release's directory, and whether it is there."""
    whole = {name: _content(store, name) for name in store.whole()}
    content = {**files, "images": {r: i["digest"] for r, i in order.images.items()}}
    return releases.variant(order.release, {name: whole.get(name, {}) for name in store.taken()}, content)


def _content(store: Store, name: str) -> dict[str, Any]:
    manifest = store.manifest(name)
    content: dict[str, Any] = {file: store.read(name, file) for file in manifest["files"]}
    content["images"] = {r: i["digest"] for r, i in manifest["images"].items()}
    return content


def _result(store: Store, order: Order, found: _New) -> dict[str, Any]:
    ledger = store.ledger()
    before = ledger.stable.name if ledger.stable else None
    manifest = known(store, before)
    old = {file: store.read(str(before), file) for file in manifest.get("files", {})}
    # Those of the release before too: a secret that is no longer asked for is still one.
    secret = {*order.secrets, *manifest.get("secrets", [])}
    changed = not found.there or bool(found.missing)
    return {
        "name": found.name,
        "changed": changed,
        "to_pull": found.to_pull,
        "torch": {},
        "ready": _proven(store, found) and not changed and not found.foreign,
        "diff": releases.diff(old, found.files, secret, (before or "nothing", found.name)),
    }


def _proven(store: Store, found: _New) -> bool:
    """Whether the release was stable once: then it is proven."""
    return found.name in {stable.name for stable in store.ledger().known}


def _put(
    store: Store, engine: Engine, order: Order, found: _New, cards: Optional[dict[str, Any]], phases: Phases
) -> dict[str, Any]:
    """Bring to the host what it lacks, and record it; what it adds to the result."""
    store.require_writable()
    pulled = _fetch(store, engine, order, found, phases)
    ids = images.image_ids(engine, order.images)
    if not found.there:
        manifest = {
            "release": found.release,
            "name": found.name,
            "run": order.run,
            "images": {r: {"digest": i["digest"], "id": ids.get(r)} for r, i in order.images.items()},
            "application": found.application,
            "stacks": list(found.stacks),
            "secrets": sorted(order.secrets),
        }
        store.write_release(found.name, dict(found.files), manifest)
    if _proven(store, found):
        return {"pulled": pulled}
    proven = {"pulled": pulled, "torch": _prove(store, engine, found, order.torch_limit_s, cards, phases)}
    if found.name in store.ledger().staged:
        return proven
    store.append("staged", order.run, name=found.name, release=found.release)
    return {**proven, "changed": True}


def _fetch(store: Store, engine: Engine, order: Order, found: _New, phases: Phases) -> int:
    """Pull what the host lacks; the compressed bytes that came."""
    came = _fetch_way_back(store, engine, order)
    if not (found.missing or found.foreign):
        return came
    with images.session(store, engine, order.login, [*found.missing, *found.foreign]) as logged_in:
        came += pull(store, logged_in, found.release, found.missing, phases, found.sizes)
        # Images outside the release (a database) are pulled if they are absent, and never anew.
        for reference in found.foreign:
            store.tell(step="pull", what=reference)
            with phases.phase("pull", detail=reference):
                came += images.pull_image(logged_in, reference)
    return came


def _require_way_back(store: Store, order: Order) -> None:
    """Refuse to leave a stable release that the run, or the guard, could not bring back.

    Raises:
        RolloutError: says why not.
    """
    stable = store.ledger().stable
    if not stable or stable.release == order.release:
        return
    try:
        edited = store.edited(stable.name)
    except RolloutError as error:
        raise _no_way_back(store, order, str(error)) from error
    if edited:
        raise _no_way_back(store, order, f"{', '.join(edited)} in {store.directory(stable.name)} was edited by hand, or is gone")


def _fetch_way_back(store: Store, engine: Engine, order: Order) -> int:
    """Pull an image of the stable release that is gone; the compressed bytes that came."""
    stable = store.ledger().stable
    if not stable or stable.release == order.release:
        return 0
    wanted = store.manifest(stable.name)["images"]
    here = images.image_ids(engine, wanted)
    gone = {repository: image for repository, image in wanted.items() if repository not in here}
    try:
        if gone:
            with images.session(store, engine, order.login, gone) as logged_in:
                return pull(store, logged_in, stable.release, gone, Phases())
    except RolloutError as error:
        raise _no_way_back(store, order, str(error)) from error
    return 0


def _no_way_back(store: Store, order: Order, why: str) -> RolloutError:
    stable = store.ledger().stable
    name, release = (stable.name, stable.release) if stable else ("", "")
    choice = reference_of.choice(release)
    return refusals.NO_WAY_BACK(name=name, release=order.release, why=why.rstrip("."), choice=choice, path=store.path)


def _prove(
    store: Store, engine: Engine, found: _New, limit_s: float, cards: Optional[dict[str, Any]], phases: Phases
) -> dict[str, Any]:
    """The torch contract of each image, in a throw-away container with the service's own configuration.

    A card that is busy with what runs now does not stop the run: the gate after the start proves the rest.

    Raises:
        RolloutError: an image does not keep its contract, or that could not be found out.
    """
    verdicts: dict[tuple[str, Expectation], Any] = {}
    for stack, services in found.services.items():
        for service in services:
            repository = compose.repository(service.image)
            if not service.released or service.torch is None or (repository, service.torch) in verdicts:
                continue
            store.tell(step="torch", what=service.name)
            pinned = f"{repository}@{found.images[repository]['digest']}"
            tried = {**found.configs[stack]["services"][service.name], "image": pinned}
            with phases.phase("torch", service.name):
                verdict = torch_check.in_image(engine, tried, service.torch, limit_s, cards)
            verdicts[repository, service.torch] = verdict
            if not torch_verdict.passed_or_busy(verdict):
                about = {"service": service.name, "gate": "torch", "torch": verdict}
                expected = torch_verdict.sentence(verdict)
                raise refusals.IMAGE_BROKEN(image=repository, service=service.name, expected=expected, facts=about)
    return {f"{repository} ({expected.flavour})": verdict for (repository, expected), verdict in verdicts.items()}
