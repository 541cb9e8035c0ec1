"""Networks that are no longer what their stack says: Docker changes none, so what is on them is made anew with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Collection, Mapping, Sequence

from ansible.module_utils.rollout.domain import networks
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.needs import Stack
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.verbs import refusals


@dataclass(frozen=True)
class Changed:
    """A network of a stack, by its key and its name on the host; how it differs, and the services that are on it."""

    key: str
    name: str
    differences: tuple[str, ...]
    services: tuple[str, ...]


def changed(engine: Engine, project: str, config: Mapping[str, Any], before: Mapping[str, Any] = {}) -> list[Changed]:
    """The networks of a stack that exist, and are not what its configuration says.

    Args:
        before: key -> definition in the release that made them, as far as that is known.
    """
    named = Stack(project, "", config).named("networks")
    there = {str(one["Name"]): one for one in engine.networks()} if named else {}
    found = []
    for key, (name, definition) in named.items():
        differences = networks.differing(definition, there[name], before.get(key)) if name in there else []
        if differences:
            users = [s for s, spec in (config.get("services") or {}).items() if key in (spec.get("networks") or {})]
            found.append(Changed(key, name, tuple(differences), tuple(users)))
    return found


def renewed(found: Sequence[Changed]) -> dict[str, str]:
    """Service -> why it is made anew."""
    return {service: f"network {one.key}" for one in reversed(found) for service in one.services}


def faults(
    engine: Engine, project: str, file: str, found: Sequence[Changed], services: Sequence[Service], replace: Collection[str]
) -> list[str]:
    """A sentence for each changed network that a kept service, or a container of somebody else, keeps from being made anew."""
    said = []
    staying = {s.name for s in services if not s.released and not {s.name, "*"} & {*replace}}
    for one in found:
        kept = sorted(staying & {*one.services})
        differences = "; ".join(one.differences)
        if kept:
            said.append(
                refusals.NETWORK_KEPT.text(
                    file=file,
                    key=one.key,
                    name=one.name,
                    differences=differences,
                    services=" and ".join(kept),
                    replace=",".join(kept),
                )
            )
        attached = engine.attached(one.name)
        strangers = sorted(name for name, of in attached.items() if of != project)
        if strangers:
            said.append(
                refusals.NETWORK_SHARED.text(
                    file=file, key=one.key, name=one.name, differences=differences, containers=", ".join(strangers)
                )
            )
    return said
