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
    store: Store, engine: Engine, values: Mapping[str, str], secrets: set[str], configs: Mapping[str, Any]
) -> dict[str, Any]:
    """Compare another release with the stable one of this host.

    Args:
        values: the variables of the other one; ``secrets`` names those that are secret.
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
    try:
        here = dotenv.parse(store.read(stable.name, ".env") or "")
        names = releases.differing(here, values)
        secret = [name for name in names if name in secrets | set(manifest.get("secrets", []))]
        parts = [Deployment(store, engine, manifest["application"], s, stable.name, "") for s in manifest["stacks"] if secret]
        ours = {part.stack: part.compose_project.config() for part in parts}
    except RolloutError:
        return {"variables": [], "barred": {}}
    return {"variables": names, "barred": releases.barred(secret, (here, ours), (values, configs))}
