"""One stack of a release that is to be staged: what its manifest will say, its services, and the files that it is made of."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping

from ansible.module_utils.rollout.domain import compose, dotenv, pins
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.domain.bundle import Bundle, File
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import reading, refusals
from ansible.module_utils.rollout.verbs.former import Before


@dataclass(frozen=True)
class Draft:
    """The stack ``stack``: ``part`` is what the manifest says of it, ``config`` how Compose reads it, with the paths of the
    release, ``moved`` the part of the pins that says these, ``texts`` the files that Compose reads, ``mounted`` what goes below
    ``files/`` (place -> files), ``notes`` what an operator should know the first time."""

    stack: str
    part: Mapping[str, Any]
    config: Mapping[str, Any]
    moved: Mapping[str, Any]
    services: list[compose.Service]
    values: Mapping[str, str]
    texts: Mapping[str, str]
    mounted: Mapping[str, Mapping[str, File]]
    notes: tuple[str, ...]

    def files(self, images: Mapping[str, Mapping[str, Any]], release: str) -> dict[str, str]:
        """The files of the stack in a release's directory, once its images are known."""
        texts = {**self.texts, manifests.PINS: pins.pins(self.services, images, release, self.moved)}
        return {f"{self.stack}/{path}": text for path, text in texts.items()}


def draft(
    store: Store, stack: str, bundle: Bundle, config: Mapping[str, Any], place: str, values: Mapping[str, str], before: Before
) -> Draft:
    """Make the draft of a stack.

    Args:
        config, place: the stack as Compose read it, and where it lay then.

    Raises:
        RolloutError: a service or one of its keys cannot be meant, or a path leaves the source.
    """
    env, file = dotenv.render(values), bundle.compose[0]
    # The .env file is the release's, also where a service mounts it.
    own = {path: bundle.below(path) if path != manifests.ENV else {"": File(env.encode(), "0600")} for path in bundle.paths}
    mounts = {path: store.content.place(path, files) for path, files in own.items()}
    keys, images = compose.keys(config, file, bundle.services), reading.references(config)
    where = {path: str(store.content.root / there) for path, there in mounts.items()}
    data = os.path.expanduser(bundle.data) or str(store.root / "data" / stack)
    rebased, moved = pins.rebased(config, place, where, data, file)
    part: dict[str, Any] = {
        "compose": list(bundle.compose),
        "profiles": list(bundle.profiles),
        "services": keys,
        "kept": pins.kept(images, keys, before.kept(stack)),
        "references": images,
        "mounts": mounts,
        "former": before.labels(stack, config, place, rebased, values),
        "networks": config.get("networks") or {},
        "private": sorted(path for path in bundle.read if bundle.files[path].private),
        "tag_variable": bundle.tag_variable,
    }
    services = compose.services(rebased, file, manifests.part({"parts": {stack: part}}, stack), values)
    known, built = before.knows(stack), {name: spec.get("build") for name, spec in config["services"].items()}
    paths = {} if known else pins.data(config, place, where, data)
    return Draft(
        stack=stack,
        part=part,
        config=rebased,
        moved=moved,
        services=services,
        values=values,
        texts={**bundle.read, manifests.ENV: env},
        mounted={mounts[path]: files for path, files in own.items()},
        notes=(
            *(_kept(name, why, images[name]) for name, why in part["kept"].items() if name not in before.kept(stack)),
            *(refusals.IS_BUILT.text(service=name, image=images[name]) for name in images if built.get(name) and not known),
            *(refusals.IS_DATA.text(path=path, place=there, stack=stack) for path, there in paths.items()),
        ),
    )


def _kept(service: str, why: str, image: str) -> str:
    because = {pins.IMAGE: f"{image} is a database or a broker", pins.PROXY: "requests go through it"}.get(why, "")
    return refusals.IS_KEPT.text(service=service, because=f" ({because})" if because else "")
