"""The verb `read`: what Compose makes of a host's stacks, where their files would lie, before anything is touched."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Iterator, Mapping

from ansible.module_utils.rollout.domain import dotenv, pins, reference
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain.bundle import Bundle
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.compose_project import Stack
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import projects, refusals
from ansible.module_utils.rollout.verbs.candidate import known


def read(
    store: Store, engine: Engine, application: str, tag: str, bundles: Mapping[str, Bundle], allow_short: bool = False
) -> dict[str, Any]:
    """Have Compose read the stacks with a ``tag`` that stands for the release.

    Returns:
        stacks: stack -> images (service -> reference, as the file has it), mounts (as `pins.mounts` has them), warnings (of
        Compose); here: references for which this host needs no registry.

    Raises:
        RolloutError: all that is wrong with the files.
    """
    engine.facts()
    found: dict[str, Any] = {}
    here: set[str] = set()
    with written(store, engine, application, tag, bundles, allow_short) as stacks:
        configs = checked(stacks, bundles)
        for stack, config in configs.items():
            images = references(config)
            found[stack] = {
                "images": images,
                "mounts": pins.mounts(config, str(stacks[stack].directory)),
                "warnings": stacks[stack].unset()[1],
            }
            here |= present(store, engine, stacks[stack].project, images).keys()
    return {"changed": False, "stacks": found, "here": sorted(here)}


@contextlib.contextmanager
def written(
    store: Store, engine: Engine, application: str, tag: str, bundles: Mapping[str, Bundle], allow_short: bool = False
) -> Iterator[dict[str, Stack]]:
    """The stacks in a folder that is gone afterwards, each with the ``.env`` that it will have; Compose is asked for all at once.

    Raises:
        RolloutError: a variable cannot be meant, or two stacks are one Compose project.
    """
    with store.aside() as aside:
        stacks, wrong, named = {}, Faults(), projects.of_bundles(application, bundles)
        for stack, bundle in bundles.items():
            place = Path(f"{aside}{pins.DEEP}") / stack
            with wrong.gather():
                env = dotenv.render(values(tag, bundle, allow_short))
                for path, text in {**bundle.read, manifests.ENV: env}.items():
                    file = place / path
                    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    with open(file, "w", encoding="utf-8", newline="") as handle:
                        handle.write(text)
                stacks[stack] = Stack(engine, named[stack], place, bundle.compose, bundle.profiles)
        wrong.refuse()
        for one in stacks.values():
            one.asked()
        yield stacks


def values(tag: str, bundle: Bundle, allow_short: bool = False) -> dict[str, Any]:
    """The variables of a stack's ``.env``: what no file asks for would only restart services that are given all of them."""
    found = releases.environment(tag, bundle.environment, bundle.secrets, allow_short, bundle.tag_variable)
    return found if bundle.asks_for_tag else {name: value for name, value in found.items() if name != bundle.tag_variable}


def checked(stacks: Mapping[str, Stack], bundles: Mapping[str, Bundle]) -> dict[str, dict[str, Any]]:
    """The stacks as Compose understands them.

    Raises:
        RolloutError: Compose does not accept a file, or a variable is not set; all that is wrong.
    """
    wrong, found = Faults(), {}
    for stack, one in stacks.items():
        with wrong.gather():
            try:
                found[stack] = one.config()
            except RolloutError as error:
                error.args = (str(error).replace(f"{one.directory}/", "").replace(str(one.directory), "its folder"),)
                raise
            missing = [name for name in one.unset()[0] if name not in bundles[stack].allow_unset]
            if missing:
                raise refusals.UNSET(files=" and ".join(one.files), names=", ".join(missing), stack=stack)
    wrong.refuse()
    return found


def references(config: Mapping[str, Any]) -> dict[str, str]:
    """Service -> the image that it runs, as the file has it; without those that have none."""
    return {name: str(spec["image"]) for name, spec in (config.get("services") or {}).items() if spec.get("image")}


def present(store: Store, engine: Engine, project: str, images: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The images that need no registry: reference -> digest (empty where no registry knows the image) and id, if it is here.

    A reference stands for the digest that it names; else for the one of the stable release; else for the one that the service
    runs; else for the image that is here. So a rollout of the application never upgrades a database by accident.
    """
    stable = store.ledger().stable
    before = known(store, stable.name if stable else None).get("images", {})
    running = {c.service: c for c in engine.containers(project)}
    found: dict[str, dict[str, Any]] = {}
    for service, image in images.items():
        named = image.partition("@")[2]
        one = running.get(service)
        if reference.is_digest(named):
            found[image] = {"digest": named}
        elif image in before:
            found[image] = {key: before[image].get(key) for key in ("digest", "id")}
        elif one and one.image.partition("@")[0] == image:
            found[image] = identity(image, engine.image(one.image_id)) or {
                "digest": one.image.partition("@")[2],
                "id": one.image_id,
            }
        else:
            found.update({image: of} if (of := identity(image, engine.image(image))) else {})
    return found


def identity(image: str, inspected: Any) -> dict[str, Any]:
    """An image that is here, by the digest of its repository; empty if there is none."""
    if not inspected:
        return {}
    digests = [one.partition("@") for one in inspected.get("RepoDigests") or []]
    mine = [digest for name, _at, digest in digests if reference.repository(name) == reference.repository(image)]
    return {"digest": mine[0] if mine else "", "id": inspected["Id"]}
