"""What the stable release of a host says to the next one: which services it kept, and by which labels containers of an earlier
version of this tool are known."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Mapping, Optional

from ansible.module_utils.rollout.domain import baseline, compose, dotenv, pins
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.domain.bundle import File
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.content import is_same
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs.candidate import known
from ansible.module_utils.rollout.verbs.deployment import Deployment


class Before:
    """The stable release of a host; of none, or of one that cannot be read, nothing is known."""

    def __init__(self, store: Store, engine: Engine, application: str) -> None:
        self.store, self.engine, self.application = store, engine, application
        stable = store.ledger().stable
        self.name = stable.name if stable else ""
        self.manifest = known(store, self.name)

    @functools.cache  # noqa: B019 # as short-lived as the order that it serves
    def _config(self, stack: str) -> dict[str, Any]:
        """A stack of an earlier version, as Compose understands it."""
        if not self.manifest or stack not in self.manifest["stacks"]:
            return {}
        try:
            return Deployment(self.store, self.engine, self.application, stack, self.name, "").compose_project.config()
        except RolloutError:
            return {}

    def knows(self, stack: str) -> bool:
        """Whether this version staged the stack: then what there is to know of it was told."""
        return not self._adopted and stack in (self.manifest.get("parts") or {})

    @property
    def _adopted(self) -> bool:
        """Whether it is what ran before the first rollout: then this version has told nothing yet."""
        return baseline.is_baseline(str(self.manifest.get("release")))

    def kept(self, stack: str) -> dict[str, str]:
        """The services of a stack that were kept, and why."""
        if not self.manifest or stack not in self.manifest["stacks"] or self._adopted:
            return {}
        if not manifests.is_former(self.manifest):
            return dict(manifests.part(self.manifest, stack).kept)
        config = self._config(stack)
        return dict.fromkeys((n for n in config.get("services") or {} if n not in (config.get("x-rollout") or {})), pins.EARLIER)

    def labels(
        self, stack: str, config: Mapping[str, Any], place: str, moved: Mapping[str, Any], values: Mapping[str, str]
    ) -> dict[str, str]:
        """Service -> the label of a container of an earlier version that is as the new release has it.

        Args:
            config, place, moved: the stack as Compose reads it in that place, and with the paths of the release.
        """
        if not self.manifest:
            return {}
        if self._adopted:
            return self._alike(stack, moved, values)
        if not manifests.is_former(self.manifest):
            return self._carried(stack, moved, values)
        before = self._config(stack)
        old, gates = before.get("services") or {}, before.get("x-rollout") or {}
        found = {}
        for name, spec in (config.get("services") or {}).items():
            if name in gates:
                found[name] = compose.former_hash(spec, config, values, place)
            elif name in old and compose.hash_of(name, before, self._values(stack)) == compose.hash_of(name, moved, values):
                # Such a container has no label, and began with what its release said.
                found[name] = ""
        return found

    def _values(self, stack: str) -> dict[str, str]:
        try:
            return dotenv.parse(self.store.read(self.name, manifests.part(self.manifest, stack).env) or "")
        except RolloutError:
            return {}

    def unproven(self, stack: str, labels: Mapping[str, str]) -> dict[str, str]:
        """Service -> why its container may not be as these ``labels`` say; of those that were there before the first release."""
        said = manifests.part(self.manifest, stack).unproven if self.manifest else {}
        return {name: said[name] for name in labels if name in said}

    def lying(self, stack: str, mounted: Mapping[str, Mapping[str, File]]) -> dict[str, str]:
        """Path -> where it lay before the stack was taken over, for those ``mounted`` paths that are the same there: a container
        that has them need not be made anew."""
        folder = manifests.part(self.manifest, stack).folder if self._adopted else ""
        return {path: f"{folder}/{path}" for path, files in mounted.items() if folder and is_same(Path(folder, path), files)}

    def _alike(self, stack: str, moved: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
        """Those of a release that was taken over, as far as Compose reads the same of its files."""
        part = manifests.part(self.manifest, stack)
        old, new = compose.comparable(self._config(stack)), compose.comparable(moved)
        mine = self._values(stack)
        both = [name for name in part.former if name in old["services"] and name in new["services"]]
        same = [name for name in both if compose.hash_of(name, old, mine) == compose.hash_of(name, new, values)]
        return {name: part.former[name] for name in same}

    def _carried(self, stack: str, moved: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
        """Those that the stable release has, as long as the service's configuration is the same."""
        part = manifests.part(self.manifest, stack)
        pinned = self._labels(stack)
        hashes = {one.name: one.config_hash for one in compose.services(moved, "", part, values)} if part.former else {}
        return {name: label for name, label in part.former.items() if name in hashes and hashes[name] == pinned.get(name)}

    def _labels(self, stack: str) -> dict[str, Optional[str]]:
        try:
            document = json.loads(self.store.read(self.name, f"{stack}/{manifests.PINS}") or "{}")
        except ValueError:
            return {}
        return {name: spec["labels"].get(compose.CONFIG_LABEL) for name, spec in (document.get("services") or {}).items()}
