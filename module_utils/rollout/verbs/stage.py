"""The verb `stage`: put a release on a host without touching what runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Collection, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import bundle as bundles
from ansible.module_utils.rollout.domain import capacity, compose, limits, pins
from ansible.module_utils.rollout.domain import reference as reference_of
from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain.bundle import Bundle
from ansible.module_utils.rollout.domain.gate import CHECKPOINT, Expectation
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict
from ansible.module_utils.rollout.domain.variants import Variant
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import images, torch_check
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.images import ANONYMOUS, Login
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import former, jobs, occupants, projects, reading, refusals, rehearsal, variants
from ansible.module_utils.rollout.verbs.baseline import taken_over
from ansible.module_utils.rollout.verbs.between import between
from ansible.module_utils.rollout.verbs.candidate import Candidate, known, legible, preview, pull, require, texts_of
from ansible.module_utils.rollout.verbs.deployment import Deployment
from ansible.module_utils.rollout.verbs.draft import Draft, draft
from ansible.module_utils.rollout.verbs.jobs import Asked
from ansible.module_utils.rollout.verbs.phases import Phases


@dataclass
class Order:
    """What is to be staged.

    ``images`` are those that the registry was asked for: reference -> digest, platforms and, where it counts whatever is here,
    ``now``; where it ``follows`` the release, its tag is only this release's. ``stacks`` map a stack's name to its source. Kept
    services in ``replace`` are restarted. With ``adopt`` what runs in any stack is taken over. ``confirm_s`` and
    ``drain_mode`` are as `limits.too_late` takes them. ``jobs`` says which jobs may run; None for none.
    """

    application: str
    release: str
    run: str
    images: dict[str, dict[str, Any]]
    stacks: Mapping[str, Bundle]
    replace: tuple[str, ...] = ()
    allow_short_secrets: bool = False
    adopt: bool = False
    torch_limit_s: float = 60.0
    confirm_s: float = 0.0
    drain_mode: str = CHECKPOINT
    login: Login = ANONYMOUS
    jobs: Optional[Asked] = None

    @property
    def projects(self) -> dict[str, str]:
        """Stack -> its Compose project."""
        return projects.of_bundles(self.application, self.stacks)

    @property
    def secrets(self) -> set[str]:
        """The names of the secrets of all stacks."""
        return {name for bundle in self.stacks.values() for name in bundle.secrets}


@dataclass(frozen=True)
class _New(Candidate):
    """A candidate of an order: its directory is ``there`` or is to be written, ``parts`` what its
    manifest says of its stacks, ``mounted`` the files that go below ``files/``, ``values`` each stack's variables, ``lying`` the
    paths that are the same where the stacks lay before."""

    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mounted: Mapping[str, Mapping[str, bundles.File]] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    there: bool = False
    lying: Collection[str] = ()

    @property
    def texts(self) -> dict[str, str]:
        """The files that people can read, those that are mounted too, each by its path in the stack's source."""
        private = {f"{stack}/{path}" for stack, part in self.parts.items() for path in part["private"]}
        mounted = {
            f"{stack}/{path}/{name}" if name else f"{stack}/{path}": text
            for stack, part in self.parts.items()
            for path, place in part["mounts"].items()
            for name, text in legible(self.mounted[place]).items()
        }
        return {**{file: text for file, text in self.files.items() if file not in private}, **mounted}


def stage(store: Store, engine: Engine, order: Order, check: bool) -> dict[str, Any]:
    """Validate, pull by digest, prove the torch contract, write the release directory, record it.

    Returns:
        changed, name (of the release directory), adopted (the release of what was taken over, as the ledger has it; not where
        nothing was), diff, to_pull (compressed bytes), pulled (those that came), torch (verdict by image), ready (whether nothing
        was to be done, and the release was stable once), phases and clock; with ``check`` also preview, as `preview` has it.

    Raises:
        RolloutError: whatever is wrong; nothing that runs was touched. Facts: phases, clock.
    """
    phases = Phases()

    def staged() -> dict[str, Any]:
        ask = (order.application, order.run, order.stacks, order.adopt, check)
        with phases.phase("stage"), taken_over(store, engine, *ask) as (here, adopted, said):
            found = _candidate(here, engine, order)
            # What would be left behind is asked of the host as it is.
            cards = require(here, engine, found, occupants.faults(store, engine, found, order.stacks, order.adopt))
            _require_way_back(here, order)
            result = {**_result(here, order, found), **({"adopted": asdict(adopted)} if adopted else {})}
            todo = jobs.ahead(here, engine, found, order.jobs, check)
            if check:
                apart = between(here, engine, found.values, order.secrets, found.configs)
                digests = {r: str(image.get("digest") or image.get("id")) for r, image in found.images.items()}
                new = Variant(found.name, found.release, order.run, found.files, digests)
                apart.update(barred=[*apart["barred"]], variants=variants.said(here, new))
                shown = preview(here, engine, found)
                shown["notes"] = [*said, *shown["notes"], *(one.note for one in _rehearsals(here, engine, order, found))]
                return {**result, "preview": {**shown, **apart, **todo}}
            return {**result, **_put(here, engine, order, found, cards, phases)}

    return phases.timed(staged)


def _candidate(store: Store, engine: Engine, order: Order) -> _New:
    """Read the order: what it says by itself, and what of it is here.

    Raises:
        RolloutError: files or values cannot be meant; it says all that is wrong.
    """
    facts = engine.facts()
    before = former.Before(store, engine, order.application)
    with reading.written(store, engine, order.application, order.release, order.stacks, order.allow_short_secrets) as stacks:
        configs = reading.checked(stacks, order.stacks)
        places = {stack: str(one.directory) for stack, one in stacks.items()}
        warnings = [warning for one in stacks.values() for warning in one.unset()[1]]
    wrong, drafts = Faults(), list[Draft]()
    for stack, bundle in order.stacks.items():
        values = {name: str(value) for name, value in reading.values(order.release, bundle, allow_short=True).items()}
        with wrong.gather():
            drafts.append(draft(store, stack, bundle, configs[stack], places[stack], values, before))
            wrong.add(*limits.too_late(bundle.compose[0], drafts[-1].services, order.confirm_s, order.drain_mode))
    wrong.refuse()
    resolved = _resolved(store, engine, order, drafts)
    files = {file: text for one in drafts for file, text in one.files(resolved, order.release).items()}
    parts = {one.stack: one.part for one in drafts}
    name, there = variants.directory(store, order.release, files, parts, resolved)
    now = images.image_ids(engine, resolved)
    missing = {r: image for r, image in resolved.items() if r not in now}
    layers, platform = images.local_layers(engine) if missing else [], f"linux/{facts['arch']}"
    sizes = capacity.layers_to_come(missing, platform, layers)
    return _New(
        application=order.application,
        release=order.release,
        name=name,
        stacks=list(order.stacks),
        projects=order.projects,
        services={one.stack: one.services for one in drafts},
        jobs={one.stack: one.jobs for one in drafts},
        images={r: {**image, "id": now.get(r) or image.get("id")} for r, image in resolved.items()},
        missing=missing,
        engine=facts,
        sizes=sizes,
        to_pull=sum(sizes.values()),
        configs={one.stack: one.config for one in drafts},
        main={one.stack: one.part["compose"][0] for one in drafts},
        replace=order.replace,
        notes=(*(note for one in drafts for note in one.notes), *_moved(order, resolved, drafts), *dict.fromkeys(warnings)),
        files=files,
        parts=parts,
        mounted={place: content for one in drafts for place, content in one.mounted.items()},
        values={one.stack: one.values for one in drafts},
        there=there,
        lying=[f"{one.stack}/{path}" for one in drafts for path in one.lying],
    )


def _moved(order: Order, resolved: Mapping[str, Mapping[str, Any]], drafts: Sequence[Draft]) -> list[str]:
    """A sentence for each image whose tag means another digest by now than the one that stays."""
    kept = {service.image: service.name for one in drafts for service in one.services if not service.released}
    asked = {r: order.images[r] for r in resolved if r in order.images}
    moved = [r for r, image in asked.items() if image.get("digest") != resolved[r].get("digest")]
    more = {r: f" -e replace={kept[r]}" for r in moved if r in kept}
    return [refusals.HAS_MOVED.text(image=r, more=more.get(r, "")) for r in moved]


def _resolved(store: Store, engine: Engine, order: Order, drafts: Sequence[Draft]) -> dict[str, dict[str, Any]]:
    """Reference -> what it is, for every image of the release.

    Raises:
        RolloutError: one is neither here nor was it found in its registry; all of them.
    """
    wrong, found = Faults(), {}
    for one_stack in drafts:
        services = [*one_stack.services, *one_stack.jobs]
        names = {service.name: service.image for service in services}
        here = reading.present(store, engine, order.projects[one_stack.stack], names)
        for service in services:
            given = order.images.get(service.image)
            one = given if given and given.get("now") else here.get(service.image) or given
            with wrong.gather():
                if not one:
                    resolved = ", ".join(sorted(order.images)) or "none"
                    raise refusals.UNRESOLVED(service=service.name, image=service.image, resolved=resolved)
                # What the registry says of it beside its digest is known for the same digest alone.
                same = given if given and given.get("digest") == one.get("digest") else {}
                found[service.image] = {**one, **same}
    wrong.refuse()
    return found


def _result(store: Store, order: Order, found: _New) -> dict[str, Any]:
    ledger = store.ledger()
    before = ledger.stable.name if ledger.stable else None
    manifest = known(store, before)
    old = texts_of(store, str(before), manifest)
    # What was taken over mounted the same, where it lay.
    old.update({file: text for file, text in found.texts.items() if any(f"{file}/".startswith(f"{p}/") for p in found.lying)})
    # Those of the release before too: a secret that is no longer asked for is still one.
    secret = {*order.secrets, *manifest.get("secrets", [])}
    changed = not found.there or bool(found.missing) or any(map(store.content.edited, found.mounted))
    return {
        "name": found.name,
        "changed": changed,
        "to_pull": found.to_pull,
        "torch": {},
        "ready": _proven(store, found) and not changed,
        "diff": releases.diff(old, found.texts, secret, (before or "nothing", found.name)),
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
    ids = images.image_ids(engine, found.images)
    if not found.there:
        manifest = {
            "release": found.release,
            "name": found.name,
            "run": order.run,
            "images": {r: _recorded(i, ids.get(r)) for r, i in found.images.items()},
            "application": found.application,
            "stacks": list(found.stacks),
            "parts": found.parts,
            "secrets": sorted(order.secrets),
        }
        store.write_release(found.name, dict(found.files), manifest, found.mounted)
    else:
        store.write_mounted(found.name, found.mounted)
    _require_readable(store, engine, found)
    if _proven(store, found):
        return {"pulled": pulled}
    proven: dict[str, Any] = {"pulled": pulled, "torch": _prove(store, engine, found, order.torch_limit_s, cards, phases)}
    plans = _rehearsals(store, engine, order, found)
    proven["rehearsed"] = rehearsal.rehearse(store, engine, found, order.run, plans, phases)
    if found.name in store.ledger().staged:
        return proven
    store.append("staged", order.run, name=found.name, release=found.release)
    return {**proven, "changed": True}


def _rehearsals(store: Store, engine: Engine, order: Order, found: _New) -> list[rehearsal.Planned]:
    """The services that ask for a rehearsal; none of a release that was stable once."""
    if _proven(store, found):
        return []
    return rehearsal.planned(store, engine, found, jobs.pending(store, found, order.jobs))


def _recorded(image: Mapping[str, Any], image_id: Optional[str]) -> dict[str, Any]:
    """What the manifest says of an image."""
    follows = {"follows": True} if image.get("follows") else {}
    return {"digest": image.get("digest") or "", "id": image_id or image.get("id"), **follows}


def _require_readable(store: Store, engine: Engine, found: _New) -> None:
    """Have Compose read the release where it lies, before anything is stopped: docker as a snap may not, for one.

    Raises:
        RolloutError: it cannot, or it reads something else than before.
    """
    for stack, config in found.configs.items():
        one = Deployment(store, engine, found.application, stack, found.name, "")
        if compose.comparable(one.compose_project.config()) != compose.comparable(config):
            raise refusals.READ_OTHERWISE(stack=stack, path=store.directory(found.name))


def _fetch(store: Store, engine: Engine, order: Order, found: _New, phases: Phases) -> int:
    """Pull what the host lacks; the compressed bytes that came."""
    came = _fetch_way_back(store, engine, order)
    if not found.missing:
        return came
    with images.session(store, engine, order.login, found.missing) as logged_in:
        return came + pull(store, logged_in, found.missing, phases, found.sizes)


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
                return pull(store, logged_in, gone, Phases())
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
            image = service.image
            if not service.released or service.torch is None or (image, service.torch) in verdicts:
                continue
            store.tell(step="torch", what=service.name)
            tried = {**found.configs[stack]["services"][service.name], "image": pins.by_digest(image, found.images[image])}
            with phases.phase("torch", service.name):
                verdict = torch_check.in_image(engine, tried, service.torch, limit_s, cards)
            verdicts[image, service.torch] = verdict
            if not torch_verdict.passed_or_busy(verdict):
                about = {"service": service.name, "gate": "torch", "torch": verdict}
                expected = torch_verdict.sentence(verdict)
                raise refusals.IMAGE_BROKEN(image=compose.repository(image), service=service.name, expected=expected, facts=about)
    return {f"{compose.repository(image)} ({expected.flavour})": verdict for (image, expected), verdict in verdicts.items()}
