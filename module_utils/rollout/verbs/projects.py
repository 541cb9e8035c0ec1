"""The Compose projects of an application's stacks on this host."""

from __future__ import annotations

import contextlib
from typing import Iterator, Mapping

from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain.bundle import Bundle
from ansible.module_utils.rollout.domain.changes import Container
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store

PROJECT_TWICE = Refusal(
    "Compose file and environment",
    "Stacks {other} and {stack} are both Compose project {project} on this host: each would remove what the other one starts. "
    "Give one of them another rollout_stacks.<stack>.project, or make one stack of both (compose takes a list of files).",
    "give one of the two another `project`, or list the files of both under `compose` of one stack",
)
OTHER_PROJECT = Refusal(
    "Compose file and environment",
    "Stack {stack} is Compose project {old} in stable release {stable}, and {new} in {release}: its volumes and networks would "
    "be left behind, and its services begin with empty ones. Let rollout_stacks.{stack}.project say {old}.",
    "put the former name into `project` of that stack. One that is to move is taken away first (`playbooks/remove.yml`)",
)


def of(store: Store, application: str, stack: str, name: str = "", named: str = "") -> str:
    """The Compose project of a stack: as the release in directory ``name`` has it; else, where that has no such stack or cannot
    be read, as the stable one, or another one here, has it; else the one that is ``named``, or the usual one."""
    for one in _names(store, name):
        with contextlib.suppress(RolloutError):
            manifest = store.manifest(one)
            if stack in manifest["stacks"] and manifest["application"] == application:
                return manifests.project(manifest, stack)
    return named or releases.project(application, stack)


def _names(store: Store, name: str) -> Iterator[str]:
    if name:
        yield name
    stable = store.ledger().stable
    if stable:
        yield stable.name
    yield from reversed(store.whole())


def of_bundle(application: str, stack: str, bundle: Bundle) -> str:
    """The Compose project of a stack that is to be staged."""
    return bundle.project or releases.project(application, stack)


def of_bundles(application: str, bundles: Mapping[str, Bundle]) -> dict[str, str]:
    """As `of_bundle`, of all stacks of this host.

    Raises:
        RolloutError: two of them are one project: each would remove the other's containers.
    """
    found: dict[str, str] = {}
    for stack, bundle in bundles.items():
        project = of_bundle(application, stack, bundle)
        twin = next((other for other, its in found.items() if its == project), "")
        if twin:
            raise PROJECT_TWICE(stack=stack, other=twin, project=project)
        found[stack] = project
    return found


def require_same(store: Store, projects: Mapping[str, str], release: str) -> list[str]:
    """A sentence for each stack whose project is another one than in the stable release."""
    stable, found = store.ledger().stable, []
    with contextlib.suppress(RolloutError):
        manifest = store.manifest(stable.name) if stable else {"stacks": ()}
        for stack, project in projects.items():
            if stable and stack in manifest["stacks"] and (old := manifests.project(manifest, stack)) != project:
                found.append(OTHER_PROJECT.text(stack=stack, old=old, stable=stable.name, new=project, release=release))
    return found


def foreign(store: Store, engine: Engine, stack: str, project: str) -> list[Container]:
    """The containers of a stack's Compose project that this tool did not make; none once the stable release has the stack, whose
    kept services may be of an earlier version, which labelled none."""
    stable = store.ledger().stable
    with contextlib.suppress(RolloutError):
        if stable and stack in store.manifest(stable.name)["stacks"]:
            return []
    return [found for found in engine.containers(project) if not (found.config_hash or found.release)]
