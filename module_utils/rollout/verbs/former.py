"""What the stable release of a host says to the next one: which services it kept, and by which labels containers of an earlier
version of this tool are known."""

from __future__ import annotations

import functools
import json
from typing import Any, Mapping, Optional

from ansible.module_utils.rollout.domain import compose, dotenv, pins
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.errors import RolloutError
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
        return bool(self.manifest) and stack in (self.manifest.get("parts") or {})

    def kept(self, stack: str) -> dict[str, str]:
        """The services of a stack that were kept, and why."""
        if not self.manifest or stack not in self.manifest["stacks"]:
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
