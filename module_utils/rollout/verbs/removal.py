"""The verb `remove`: take an application away from this host. Its data stays unless it is asked for by the application's name."""

from __future__ import annotations

import contextlib
import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping

from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.domain import metrics, rehearsal, removal
from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain.removal import SECTION, One, Projects
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.module_utils.rollout.io import clock, throw_away, wiping
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import guard, locking, neighbours

# Seconds that a guard may take to see that nothing is armed any more, and the pause between two looks.
GUARD_S, PAUSE_S = 30.0, 0.5
# Seconds behind its grace period that the engine has to end a container.
STOP_S = 120.0
OF_ANOTHER = Refusal(
    SECTION,
    "{path} (rollout_dir) holds the state of application {owner}, not of {application}. Nothing was removed.",
    "correct `rollout_dir` or `rollout_application`",
)
GUARD_AT_WORK = Refusal(
    SECTION,
    "The guard of this host is still at work {seconds:.0f} s after it was told that nothing is armed any more. Nothing was "
    "removed. Its log says what it does: {path}",
    "wait until it is done, then type the command again",
)


@dataclass(frozen=True)
class Asked:
    """What is to be removed: ``application``, with its data if ``delete`` is its name. ``projects`` are the inventory's stacks,
    each with the Compose project that it names, empty for the usual one. ``metrics`` is the folder of its metrics, or empty."""

    application: str
    projects: Mapping[str, str]
    delete: str = ""
    metrics: str = ""


@dataclass(frozen=True)
class _Plan:
    """What is here: all that goes; volumes and folders that are data; volumes that may be; containers and files of others."""

    containers: list[One]
    networks: list[str]
    images: list[str]
    state: list[Path]
    metrics: list[Path]
    units: list[Path]
    volumes: list[str]
    folders: list[Path]
    perhaps: list[str]
    strange: list[One]
    files: list[Path]

    @property
    def goes(self) -> bool:
        """Whether anything besides data goes."""
        units = self.units and wiping.may_remove_units()
        return bool(self.containers or self.networks or self.images or self.state or self.metrics or units)

    @property
    def data(self) -> bool:
        """Whether there is data."""
        return bool(self.volumes or self.folders)


def remove(
    store: Store, engine: Engine, asked: Asked, run: str, owner: Mapping[str, Any], ttl: float, check: bool
) -> dict[str, Any]:
    """Take an application away, under this host's lock.

    Args:
        owner, ttl: as `locking.hold` has them.

    Returns:
        changed; gone and stays: kind -> names; by_hand: commands for what only root, or a person who knows, can remove; diff.

    Raises:
        RolloutError: a run is at work here, or the state is another application's: nothing was removed. Or the engine does not
            remove something; then the same command goes on where this one ended.
    """
    delete = asked.delete == asked.application
    if asked.delete and not delete:
        raise removal.OTHER_NAME(given=asked.delete, application=asked.application)
    store.require_own()
    # Also where nothing is to be done: a run that is at work is about to make something.
    locking.hold(store, run, owner, list(map(str, owner.get("alive", []))), ttl, 0, True)
    plan = _plan(store, engine, asked)
    if check or not (plan.goes or (delete and plan.data)):
        return _told(store, asked, plan, delete, [] if check else _left_empty(store, bool(plan.volumes)))
    with _alone(store, run, owner, ttl):
        # What was at work until now may have changed it. The lock itself is no news.
        plan = replace(_plan(store, engine, asked), state=plan.state)
        left = _remove(store, engine, asked, plan, delete)
    return _told(store, asked, plan, delete, [*left, *_left_empty(store, bool(plan.volumes) and not delete)])


@contextlib.contextmanager
def _alone(store: Store, run: str, owner: Mapping[str, Any], ttl: float) -> Iterator[None]:
    """Hold the host's lock, and its step once no guard is alive that could bring back what goes."""
    locking.hold(store, run, owner, list(map(str, owner.get("alive", []))), ttl, 0, False)
    try:
        with store.step(run):
            if store.ledger().armed or store.ledger().open:
                store.append("reverted", run, name="")
        ends = clock.monotonic() + GUARD_S
        while guard.alive(store):
            if clock.monotonic() > ends:
                raise GUARD_AT_WORK(seconds=GUARD_S, path=store.root / "guard.log")
            clock.sleep(PAUSE_S)
        with store.step(run):
            yield
    finally:
        # Gone with the state, unless something went wrong before.
        locking.release(store, run, False)


def _plan(store: Store, engine: Engine, asked: Asked) -> _Plan:
    projects, root = _projects(store, asked), os.path.realpath(store.root)
    there = [_one(inspected) for inspected in engine.everything()]
    mine, strange = removal.own(projects, there, root), removal.strangers(projects, there, root)
    others = [c for c in there if c not in mine]
    volumes, perhaps = removal.volumes(projects, mine, others, wiping.recorded(store.root), engine.volumes())
    files = [Path(asked.metrics) / name for name in metrics.files(asked.application)] if asked.metrics else []
    return _Plan(
        containers=mine,
        networks=removal.networks(projects, strange, engine.networks()),
        images=_images(store, engine),
        state=wiping.state(store.root),
        metrics=[file for file in files if file.exists()],
        units=wiping.units(asked.application),
        volumes=volumes,
        folders=wiping.data(store.root),
        perhaps=perhaps,
        strange=strange,
        files=wiping.others(store.root),
    )


def _projects(store: Store, asked: Asked) -> Projects:
    """The Compose projects of the application, by its releases here and the inventory.

    Raises:
        RolloutError: a release here is another application's.
    """
    known, sure, others = {one.name for one in store.ledger().known}, set[str](), set[str]()
    for name in store.whole():
        manifest = store.manifest(name)
        if manifest["application"] != asked.application:
            raise OF_ANOTHER(path=store.root, owner=manifest["application"], application=asked.application)
        (sure if name in known else others).update(manifests.project(manifest, stack) for stack in manifest["stacks"])
    others |= {named or releases.project(asked.application, stack) for stack, named in asked.projects.items()}
    return Projects(frozenset(sure), frozenset(others - sure))


def _one(inspected: Mapping[str, Any]) -> One:
    labels = inspected["Config"].get("Labels") or {}
    root, mounts = neighbours.root_of(labels), inspected.get("Mounts") or []
    return One(
        id=inspected["Id"],
        name=str(inspected.get("Name", "")).lstrip("/"),
        project=labels.get("com.docker.compose.project", ""),
        # Of a state directory that was moved or removed it is nobody's.
        root=root if root and neighbours.is_there(root) else "",
        grace=float(inspected["Config"].get("StopTimeout") or 10),
        volumes=tuple(str(m.get("Name")) for m in mounts if m.get("Type") == "volume"),
        folders=tuple(str(m.get("Source")) for m in mounts if m.get("Type") == "bind" and m.get("RW")),
    )


def _images(store: Store, engine: Engine) -> list[str]:
    """The images that releases here brought and no other application of this tool needs; none where that cannot be known. What
    no registry has is not to be had again."""
    mine = set[str]()
    for name in store.whole():
        images = {reference: image for reference, image in store.manifest(name)["images"].items() if image.get("digest")}
        mine.update(neighbours.own({"images": images}))
    try:
        others = neighbours.of(store, engine) if mine else []
        with neighbours.at_rest(others):
            needed = {r for other in others for r in neighbours.references(other, other.names())}
    except RolloutError:
        return []
    return sorted(reference for reference in mine - needed if engine.image(reference))


def _remove(store: Store, engine: Engine, asked: Asked, plan: _Plan, delete: bool) -> list[Path]:
    """Remove it, the state last, by which another try knows what is the application's: what this user may not remove."""
    wiping.record(store.root, plan.volumes)
    throw_away.sweep(engine, rehearsal.labelled(store.root))
    for one in plan.containers:
        # A removal whose controller was killed ends here once another one holds the lock.
        store.fence()
        engine.checked(["stop", one.id], f"Stopping {one.name}", timeout=one.grace + STOP_S)
        engine.checked(["rm", one.id], f"Removing {one.name}")
    store.fence()
    for name in plan.networks:
        engine.checked(["network", "rm", name], f"Removing network {name}")
    for name in plan.volumes if delete else ():
        engine.checked(["volume", "rm", name], f"Removing volume {name}")
    for name in plan.images:
        # Refused while a container uses it; then it stays, and that is right.
        engine.run(["image", "rm", name])
    if plan.units and wiping.may_remove_units():
        wiping.remove_units(asked.application)
    left = [one for path in (*(plan.folders if delete else ()), *plan.metrics) for one in wiping.remove(path)]
    # Nobody takes the lock meanwhile, which goes with the rest.
    with locking.changing(store):
        store.fence()
        return [*left, *(one for path in wiping.state(store.root) for one in wiping.remove(path))]


def _left_empty(store: Store, volumes: bool) -> list[Path]:
    """Remove the folders that held the state, where nothing is in them any more: what this user may not remove.

    Args:
        volumes: whether some stay, so that their record does too.
    """
    if not volumes:
        wiping.remove(store.root / wiping.RECORD)
    for name in wiping.DATA:
        wiping.remove_empty(store.root / name)
    # With something in it, it stays for that.
    return [] if wiping.remove_empty(store.root) or any(store.root.iterdir()) else [store.root]


def _told(store: Store, asked: Asked, plan: _Plan, delete: bool, left: Iterable[Path]) -> dict[str, Any]:
    data = {"volumes": plan.volumes, "folders": [str(path) for path in plan.folders]}
    units = {"units": [path.name for path in plan.units]}
    gone = {
        "containers": [c.name for c in plan.containers],
        "networks": plan.networks,
        "images": plan.images,
        "state": [str(store.root)] if plan.state else [],
        "metrics": [str(path) for path in plan.metrics],
        **(units if wiping.may_remove_units() else {}),
        **(data if delete else {}),
    }
    stays = {
        **({} if delete else data),
        "perhaps": plan.perhaps,
        "others": [f"{c.name} (project {c.project})" for c in plan.strange],
        "files": [str(path) for path in plan.files],
        "elsewhere": removal.elsewhere(plan.containers, os.path.realpath(store.root)),
    }
    lines = [f"{kind[:-1] if kind.endswith('s') else kind} {name}\n" for kind, names in gone.items() for name in names]
    by_hand = [f"sudo rm -r {shlex.quote(str(path))}" for path in left]
    if plan.units and not wiping.may_remove_units():
        names = " ".join(shlex.quote(str(path)) for path in plan.units)
        by_hand.append(f"sudo systemctl disable --now rollout-guard-{asked.application}.path && sudo rm {names}")
    return {
        "changed": bool(lines),
        "gone": {kind: names for kind, names in gone.items() if names},
        "stays": {kind: names for kind, names in stays.items() if names},
        "by_hand": by_hand,
        "diff": {"before": "".join(lines), "after": "", "before_header": asked.application, "after_header": "nothing"},
    }
