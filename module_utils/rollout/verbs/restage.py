"""The verb `restage`: see that a release which is on the host already can be switched to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import baseline, compose, dotenv, limits, reference, rehearsal, shape
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain.bundle import Bundle, File
from ansible.module_utils.rollout.domain.gate import CHECKPOINT
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.module_utils.rollout.io import images, throw_away
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.images import ANONYMOUS, Login
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import candidate, projects, refusals, variants
from ansible.module_utils.rollout.verbs.between import between
from ansible.module_utils.rollout.verbs.candidate import Candidate
from ansible.module_utils.rollout.verbs.deployment import Deployment
from ansible.module_utils.rollout.verbs.phases import Phases

VALUES_INSIDE = Refusal(
    "Only in a rollback",
    "Release {name} has stack {stack} as Compose read it when it was taken over, with the values of then in it, so it cannot "
    "have the environment of today. Go back with its own: ansible-playbook rollback.yml -e {choice}",
    "leave out `-e environment=present`: its files could not be copied from the folder in which it ran",
)


def restage(
    store: Store,
    engine: Engine,
    name: str,
    check: bool,
    login: Login = ANONYMOUS,
    stacks: Optional[Sequence[str]] = None,
    confirm_s: float = 0.0,
    drain_mode: str = CHECKPOINT,
    replaced: Sequence[str] = (),
) -> dict[str, Any]:
    """Make sure that a release which is already on the host can be switched to, without a registry if possible.

    Args:
        stacks: those that the inventory gives to this host; None if that is not known.
        confirm_s, drain_mode: as `limits.too_late` takes them.
        replaced: kept services that are restarted where they differ.

    Returns:
        As `stage`.

    Raises:
        RolloutError: it was edited by hand, it has a stack more than the inventory, the host cannot run it, a service may be
            waited for longer than the guard waits, or an image is neither here nor in the registry.
    """
    require_whole(store, name, stacks)
    found = replace(candidate_of(store, engine, name, stacks), replace=tuple(replaced))
    late = (limits.too_late(found.main[stack], one, confirm_s, drain_mode) for stack, one in found.services.items())
    shape.require([sentence for sentences in late for sentence in sentences])
    apart = _apart(store, engine, name)
    candidate.require(store, engine, found)
    changed = bool(found.missing)
    result: dict[str, Any] = {"name": name, "changed": changed, "ready": not changed, "to_pull": 0, "torch": {}}
    result["diff"] = _diff(store, name)
    if check:
        return {**result, "preview": {**candidate.preview(store, engine, found), **apart, "variants": variants.said(store)}}
    store.require_writable()
    throw_away.sweep(engine, rehearsal.labelled(store.root))
    return {**result, "pulled": _pull(store, engine, name, found.missing, login)}


def fetch(deployment: Deployment, services: Sequence[compose.Service]) -> None:
    """Pull what is gone of the images of these services, before their containers are stopped: as this host is logged in, for a
    guard knows no other login.

    Raises:
        RolloutError: one is not to be had.
    """
    store, engine, name = deployment.store, deployment.engine, deployment.name
    needed = {service.image for service in services}
    wanted = {r: image for r, image in deployment.manifest["images"].items() if r in needed}
    here = images.image_ids(engine, wanted)
    gone = {r: image for r, image in wanted.items() if r not in here}
    if gone:
        _pull(store, engine, name, gone, ANONYMOUS)
        # Another image store may know them by other ids.
        deployment.__dict__.pop("image_ids", None)


def _pull(store: Store, engine: Engine, name: str, gone: Mapping[str, Mapping[str, Any]], login: Login) -> int:
    came = 0
    for one, image in gone.items():
        try:
            with images.session(store, engine, login, [one]) as logged_in:
                came += candidate.pull(store, logged_in, {one: image}, Phases())
        except RolloutError as error:
            raise refusals.IMAGE_GONE(name=name, image=one, why=error, facts=error.facts) from error
    return came


def source(store: Store, name: str, stack: str, today: Bundle) -> Bundle:
    """The source of a stack of an earlier release, with the environment of ``today``.

    Raises:
        RolloutError: its file has the values of then in it.
    """
    manifest = store.manifest(name)
    part = manifests.part(manifest, stack)
    if part.files[0] == baseline.WHOLE:
        raise VALUES_INSIDE(name=name, stack=stack, choice=reference.choice(manifest["release"]))
    own = [file for file in manifest["files"] if file.startswith(f"{stack}/")] if part.directory else part.files[:1]
    left_out = (part.env, f"{part.directory}/{manifests.PINS}")
    files = {
        file.removeprefix(f"{stack}/"): File((store.read(name, file) or "").encode()) for file in own if file not in left_out
    }
    for path, place in part.mounts.items():
        files.update({f"{path}/{below}" if below else path: file for below, file in store.content.read(place).items()})
    return replace(
        today,
        files=files,
        compose=part.files[:-1],
        profiles=part.profiles,
        services=part.services or {},
        tag_variable=part.tag_variable,
        project=part.project,
        paths=tuple(part.mounts),
    )


def require_whole(store: Store, name: str, stacks: Optional[Sequence[str]]) -> None:
    """Refuse a release that was edited by hand, or has a stack more than the inventory.

    Raises:
        RolloutError: says which.
    """
    edited = store.edited(name)
    if edited:
        raise refusals.EDITED(name=name, files=", ".join(edited), directory=store.directory(name))
    more = [] if stacks is None else [stack for stack in store.manifest(name)["stacks"] if stack not in stacks]
    if more:
        raise refusals.STACK_TOO_MANY(name=name, stacks=", ".join(more))


def _apart(store: Store, engine: Engine, name: str) -> dict[str, Any]:
    """As `between` has it.

    Raises:
        RolloutError: a kept service does not take a secret of the release any more.
    """
    stable, manifest = store.ledger().stable, store.manifest(name)
    parts = [Deployment(store, engine, manifest["application"], stack, name, "") for stack in manifest["stacks"]]
    configs = {part.stack: part.compose_project.config() for part in parts}
    values = {stack: dotenv.parse(store.read(name, manifests.part(manifest, stack).env) or "") for stack in manifest["stacks"]}
    found = between(store, engine, values, set(manifest.get("secrets", [])), configs)
    if found["barred"] and stable:
        barred, service = " and ".join(found["barred"]), " and ".join(dict.fromkeys(found["barred"].values()))
        if manifest["release"] == stable.release:
            raise refusals.BARRED_SAME(name=name, stable=stable.name, secrets=barred, service=service)
        choice = reference.choice(manifest["release"])
        raise refusals.BARRED(name=name, stable=stable.name, secrets=barred, service=service, choice=choice)
    return {**found, "barred": []}


def _diff(store: Store, name: str) -> list[dict[str, str]]:
    stable = store.ledger().stable
    before, manifest = candidate.known(store, stable.name if stable else None), store.manifest(name)
    if not stable or stable.name == name:
        return []
    old = candidate.texts_of(store, stable.name, before)
    new = {file: text or "" for file, text in candidate.texts_of(store, name, manifest).items()}
    secret = {*before.get("secrets", []), *manifest.get("secrets", [])}
    return releases.diff(old, new, secret, (stable.name, name))


def candidate_of(store: Store, engine: Engine, name: str, stacks: Optional[Sequence[str]]) -> Candidate:
    """A release that is on the host already, as it would be switched to. ``stacks`` are as `restage` has them.

    Raises:
        RolloutError: its files cannot be read.
    """
    facts, manifest = engine.facts(), store.manifest(name)
    parts = [Deployment(store, engine, manifest["application"], stack, name, "") for stack in manifest["stacks"]]
    # Compose is asked for all before the first is waited for.
    for part in parts:
        part.compose_project.asked()
    now = images.image_ids(engine, manifest["images"])
    here = manifest["stacks"] if stacks is None else stacks
    return Candidate(
        application=manifest["application"],
        release=manifest["release"],
        name=name,
        stacks=here,
        projects={one: projects.of(store, manifest["application"], one, name) for one in {*here, *manifest["stacks"]}},
        services={part.stack: part.wanted for part in parts},
        jobs={part.stack: part.jobs for part in parts},
        images={r: {**image, "id": now.get(r, image["id"])} for r, image in manifest["images"].items()},
        missing={r: image for r, image in manifest["images"].items() if r not in now},
        engine=facts,
        configs={part.stack: part.compose_project.config() for part in parts},
        main={part.stack: part.part.files[0] for part in parts},
    )
