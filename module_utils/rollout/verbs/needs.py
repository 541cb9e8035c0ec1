"""The verb `needs`: ask engine and host, before anything is touched, for all that the stacks of a candidate need there."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import devices, features, needs
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.manifest import ENV
from ansible.module_utils.rollout.domain.torch import host as torch_host
from ansible.module_utils.rollout.domain.torch import reasons
from ansible.module_utils.rollout.io import cdi, gpu, routes
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.verbs import refusals


def faults(
    engine: Engine,
    projects: Mapping[str, str],
    configs: Mapping[str, Mapping[str, Any]],
    services: Mapping[str, Sequence[Service]],
    files: Mapping[str, str],
    facts: Mapping[str, Any],
    own: str,
    host: Optional[Mapping[str, Any]] = None,
) -> list[str]:
    """A sentence for all that stacks need and this host does not have.

    Args:
        projects: the stacks of the application here, with their Compose projects.
        configs: stack -> what Compose prints of it; ``services`` are the same as they were read, ``files`` the Compose files.
        facts: of the engine.
        own: the state directory, whose files come with the release, but for its data.
        host: what is known of the cards, if they were asked already.

    Raises:
        RolloutError: the engine does not answer.
    """
    names = engine.names()
    running = {(project, service) for project, service, state in names.values() if state == "running"}
    stacks = []
    for stack, config in configs.items():
        # A kept service whose container runs is not touched.
        kept = [s.name for s in services.get(stack, []) if not s.released and (projects[stack], s.name) in running]
        stacks.append(needs.Stack(projects[stack], files[stack], config, kept))
    there = _there(engine, stacks, names, facts, own)
    gated = {(stack, s.name) for stack, ones in services.items() for s in ones if s.torch and s.torch.on_gpu}
    wanting = [
        (stack, name, spec)
        for key, stack in zip(configs, stacks)
        for name, spec in stack.services()
        if devices.wants_nvidia(spec) and (key, name) not in gated
    ]
    return [*needs.faults(stacks, there, list(projects.values())), *_cards(engine, wanting, there, host)]


def dropped(files: Mapping[str, str], facts: Mapping[str, Any]) -> list[str]:
    """A sentence for what this host's Compose leaves out of what it prints of these files.

    Args:
        files: name -> text.
    """
    names = [name for name in files if not name.endswith((ENV, ".pins.json"))]
    versions = {features.COMPOSE: str(facts.get("compose") or "")}
    return [sentence for name in names for sentence in features.dropped(files[name], name.rpartition("/")[2], versions)]


def _there(
    engine: Engine,
    stacks: Sequence[needs.Stack],
    names: Mapping[str, tuple[str, str, str]],
    facts: Mapping[str, Any],
    own: str,
) -> needs.There:
    info = engine.info()
    volumes = {name for stack in stacks for name, _ in stack.named("volumes").values()}
    found = {name: engine.volume(name) for name in sorted(volumes)}
    compose = str(facts.get("compose") or "")
    paths = {path for stack in stacks for path in needs.sources(stack.config, compose)}
    paths |= {device for stack in stacks for _, spec in stack.services() for device in features.devices(spec)}
    brought, data = os.path.join(own, ""), os.path.join(own, "data", "")
    return needs.There(
        versions={features.ENGINE: str(facts.get("engine") or ""), features.COMPOSE: compose},
        containers=names,
        networks=engine.networks(),
        volumes={name: one for name, one in found.items() if one is not None},
        routes=routes.routes(),
        info=info,
        plugins=engine.plugins(),
        cdi=cdi.devices(info),
        # What this user may not look at may be there.
        absent={path for path in paths if (path.startswith(data) or not path.startswith(brought)) and is_absent(path)},
    )


def is_absent(path: str) -> bool:
    """Whether a path is known not to exist. One that is not absolute is none of the host's: a CDI device, a share."""
    if not os.path.isabs(path):
        return False
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return not os.path.exists(path)


def _cards(
    engine: Engine,
    wanting: Sequence[tuple[needs.Stack, str, Mapping[str, Any]]],
    there: needs.There,
    host: Optional[Mapping[str, Any]],
) -> list[str]:
    """What is wrong with the cards for services that ask for some without a torch gate."""
    # A card of AMD has no driver of NVIDIA's.
    if not wanting or any(name.startswith("amd.com/") for name in there.cdi):
        return []
    host = host or gpu.facts(engine)
    fault = torch_host.host_fault(host)
    if fault:
        reason, evidence = fault
        why = reasons.REASONS[reason][2]
        return [refusals.NO_CARD.text(service=name, evidence=evidence, reason=reason, remedy=why) for _, name, _ in wanting]
    return [one for stack, name, spec in wanting for one in devices.cards(stack.file, name, spec, host.get("cards") or [])]
