"""The other applications that this tool has on the same engine: they share its images, and know nothing of each other.

Their state directories lie beside this one, or their containers tell where they are: Compose labels each container with the
directory of its release. So nobody has to keep a list. A user who could forge a label may use the engine, and so is root.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, Iterator, Mapping, Sequence

from ansible.module_utils.rollout.domain import lock as locks
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.domain.compose import CONFIG_LABEL, RELEASE_LABEL
from ansible.module_utils.rollout.domain.pins import by_digest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import machine, mutexes
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import refusals

# The label is Compose's; `Stack.compose` in io/compose_project.py gives it the directory of a release.
_DIRECTORY = "com.docker.compose.project.working_dir"
_OF_RELEASE = re.compile(r"(/.*)/releases/[^/]+(?:/[^/]+)?/?")


def of(store: Store, engine: Engine) -> list[Store]:
    """The stores of the other applications.

    Raises:
        RolloutError: the engine cannot be asked, or one of them is another user's, who could mislead us there.
    """
    root, found = os.path.realpath(store.root), set()
    beside = os.path.dirname(root)
    with contextlib.suppress(PermissionError, FileNotFoundError):
        # One that we may not look into need not be an application's, and before the first release there may be none.
        found |= {os.path.join(beside, n) for n in os.listdir(beside) if os.path.lexists(os.path.join(beside, n, "ledger.jsonl"))}
    found |= {told for labels in engine.labels(RELEASE_LABEL) if (told := root_of(labels)) and is_there(told)}
    stores = [Store(path) for path in sorted({os.path.realpath(path) for path in found} - {root})]
    for other in stores:
        try:
            other.require_own()
        except RolloutError as error:
            raise refusals.OF_SOMEBODY_ELSE(path=other.root, why=error) from error
    return stores


def root_of(labels: Mapping[str, str]) -> str:
    """The state directory of the application whose rollout made a container, by the container's labels; empty if none did."""
    told = _OF_RELEASE.fullmatch(labels.get(_DIRECTORY, ""))
    return os.path.realpath(told[1]) if told and {RELEASE_LABEL, CONFIG_LABEL} & {*labels} else ""


def projects(others: Sequence[Store]) -> set[str]:
    """The Compose projects of the stable releases of those applications."""
    found: set[str] = set()
    for other in others:
        with contextlib.suppress(RolloutError):
            stable = other.ledger().stable
            manifest = other.manifest(stable.name) if stable else {"stacks": ()}
            found |= {manifests.project(manifest, stack) for stack in manifest["stacks"]}
    return found


def is_there(root: str) -> bool:
    """Whether an application has its state in that directory, as far as this user may look."""
    try:
        os.lstat(os.path.join(root, "ledger.jsonl"))
    except PermissionError:
        return True
    except OSError:
        return False
    return True


@contextlib.contextmanager
def at_rest(others: Sequence[Store]) -> Iterator[None]:
    """Keep those applications from beginning a run meanwhile.

    Raises:
        RolloutError: a run is at work there, or a guard is armed: they may just have found an image here that no release of
            theirs names yet.
    """
    with contextlib.ExitStack() as held:
        for other in others:
            # A run that takes its lock holds this mutex.
            free = held.enter_context(mutexes.hold(other.root / ".lock", 0))
            lock = other.lock()
            if not free or other.ledger().armed or (lock and not locks.expired(lock, machine.clock())):
                raise refusals.NEIGHBOUR_AT_WORK(path=other.root)
        yield


def references(store: Store, names: Sequence[str]) -> set[str]:
    """The images of these releases, by tag and by digest, as the engine knows them.

    Raises:
        RolloutError: one of the releases cannot be read.
    """
    return {reference for name in names for reference in of_manifest(store.manifest(name))}


def of_manifest(manifest: dict[str, Any]) -> list[str]:
    """As `references`, of one release's release.json."""
    return [name for reference, image in manifest["images"].items() for name in (reference, by_digest(reference, image))]


def own(manifest: dict[str, Any]) -> list[str]:
    """Those of `of_manifest` that this release brought: a database's image may be anybody's. And the tags that it gave."""
    images = {reference: image for reference, image in manifest["images"].items() if image.get("follows")}
    return [*of_manifest({"images": images}), *(str(image["tag"]) for image in manifest["images"].values() if image.get("tag"))]
