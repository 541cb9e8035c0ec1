"""One stack of a release that is to be staged: what its manifest will say, its services, and the files that it is made of."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping

from ansible.module_utils.rollout.domain import compose, dotenv, ending, pins
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain.bundle import Bundle, File
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import reading, refusals
from ansible.module_utils.rollout.verbs.former import Before


@dataclass(frozen=True)
class Draft:
    """The stack ``stack``: ``part`` is what the manifest says of it, ``config`` how Compose reads it, with the paths of the
    release, ``moved`` the part of the pins that says these, ``texts`` the files that Compose reads, ``mounted`` what goes below
    ``files/`` (place -> files), ``notes`` what an operator should know the first time, ``lying`` those mounted paths that
    are the same where the stack lay before it was taken over."""

    stack: str
    part: Mapping[str, Any]
    config: Mapping[str, Any]
    moved: Mapping[str, Any]
    services: list[compose.Service]
    jobs: list[compose.Service]
    values: Mapping[str, str]
    texts: Mapping[str, str]
    mounted: Mapping[str, Mapping[str, File]]
    notes: tuple[str, ...]
    lying: tuple[str, ...] = ()

    def files(self, images: Mapping[str, Mapping[str, Any]], release: str) -> dict[str, str]:
        """The files of the stack in a release's directory, once its images are known."""
        texts = {**self.texts, manifests.PINS: pins.pins([*self.services, *self.jobs], images, release, self.moved)}
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
    stay = pins.kept(images, keys, before.kept(stack))
    ends = ending.jobs(config, keys, stay)
    where = {path: str(store.content.root / there) for path, there in mounts.items()}
    data = data_folder(store, stack, bundle)
    rebased, moved = pins.rebased(config, place, where, data, file)
    lying = before.lying(stack, own)
    former = pins.rebased(config, place, {**where, **lying}, data, file)[0] if lying else rebased
    labels = before.labels(stack, config, place, former, values)
    unproven = before.unproven(stack, labels)
    part: dict[str, Any] = {
        "compose": list(bundle.compose),
        "profiles": list(bundle.profiles),
        "services": keys,
        "kept": {name: why for name, why in stay.items() if name not in ends},
        "references": images,
        "mounts": mounts,
        "former": labels,
        "networks": config.get("networks") or {},
        "private": sorted(path for path in bundle.read if bundle.files[path].private),
        "tag_variable": bundle.tag_variable,
        # Without it where it goes without saying, as earlier versions of this tool wrote it: else each release were another one.
        **({"project": bundle.project} if bundle.project not in ("", releases.project(before.application, stack)) else {}),
        **({"unproven": unproven} if unproven else {}),
    }
    written = manifests.part({"parts": {stack: part}}, stack)
    services, jobs = compose.services(rebased, file, written, values), compose.jobs(rebased, file, written, values)
    known, built = before.knows(stack), {name: spec.get("build") for name, spec in config["services"].items()}
    paths = {} if known else pins.data(config, place, where, data)
    return Draft(
        stack=stack,
        part=part,
        config=rebased,
        moved=moved,
        services=services,
        jobs=jobs,
        values=values,
        texts={**bundle.read, manifests.ENV: env},
        mounted={mounts[path]: files for path, files in own.items()},
        lying=tuple(lying),
        notes=(
            *(_kept(name, why, images[name]) for name, why in part["kept"].items() if name not in before.kept(stack)),
            *(refusals.IS_BUILT.text(service=name, image=images[name]) for name in images if built.get(name) and not known),
            *(refusals.IS_DATA.text(path=path, place=there, stack=stack) for path, there in paths.items()),
        ),
    )


def data_folder(store: Store, stack: str, bundle: Bundle) -> str:
    """The folder below which the data of a stack lies."""
    return os.path.expanduser(bundle.data) or str(store.root / "data" / stack)


def _kept(service: str, why: str, image: str) -> str:
    because = {pins.IMAGE: f"{image} is a database or a broker", pins.PROXY: "requests go through it"}.get(why, "")
    return refusals.IS_KEPT.text(service=service, because=f" ({because})" if because else "")
