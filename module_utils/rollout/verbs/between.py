"""Differences between the stable release of a host and another one: variables, and secrets that bar the way."""

from __future__ import annotations

from typing import Any, Mapping

from ansible.module_utils.rollout.domain import dotenv
from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs.candidate import known
from ansible.module_utils.rollout.verbs.deployment import Deployment


def between(
    store: Store, engine: Engine, values: Mapping[str, Mapping[str, str]], secrets: set[str], configs: Mapping[str, Any]
) -> dict[str, Any]:
    """Compare another release with the stable one of this host.

    Args:
        values: the variables of each stack of the other one; ``secrets`` names those that are secret.
        configs: its stacks, as Compose understands them.

    Returns:
        variables: the names of those that differ. barred: secrets among them that a kept service was given, so that what is
        started with the one value is not let in by what has the other; with the name of that service. Both empty if there is no
        stable release, or its files cannot be read.
    """
    stable = store.ledger().stable
    manifest = known(store, stable.name if stable else None)
    if not stable or not manifest:
        return {"variables": [], "barred": {}}
    apart: list[str] = []
    barred: dict[str, str] = {}
    try:
        for stack in manifest["stacks"]:
            one = Deployment(store, engine, manifest["application"], stack, stable.name, "")
            here, there = dotenv.parse(store.read(stable.name, one.part.env) or ""), values.get(stack)
            if there is None:
                continue
            names = releases.differing(here, there, one.part.tag_variable)
            secret = [name for name in names if name in secrets | set(manifest.get("secrets", []))]
            apart += names
            if secret:
                kept = {service.name for service in one.wanted if not service.released}
                config = one.compose_project.config()
                barred.update(releases.barred(secret, kept, (here, config), (there, configs.get(stack) or {})))
    except RolloutError:
        return {"variables": [], "barred": {}}
    return {"variables": sorted(set(apart)), "barred": dict(sorted(barred.items()))}
