"""What is on a host already that the first rollout of a stack would lose or leave behind; nothing is touched."""

from __future__ import annotations

import os
import posixpath
from typing import Any, Mapping

from ansible.module_utils.rollout.domain import baseline, occupants
from ansible.module_utils.rollout.domain import needs as domain_needs
from ansible.module_utils.rollout.domain.bundle import Bundle
from ansible.module_utils.rollout.domain.occupants import Found, Wanted
from ansible.module_utils.rollout.domain.ports import Port
from ansible.module_utils.rollout.domain.reference import repository
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import needs, neighbours, projects
from ansible.module_utils.rollout.verbs.candidate import Candidate, known
from ansible.module_utils.rollout.verbs.draft import data_folder

# What keeps an empty folder in Git.
_KEEPERS = {".gitkeep", ".keep", ".gitignore", ".placeholder"}


def faults(store: Store, engine: Engine, candidate: Candidate, bundles: Mapping[str, Bundle], adopt: bool) -> list[str]:
    """A sentence for all that the stacks of a candidate would lose here or leave behind; none for stacks of which a release was
    stable.

    Args:
        bundles: their sources, which say what they take over, and whether they may begin empty.
        adopt: whether all of them take over what runs.

    Raises:
        RolloutError: the engine does not answer.
    """
    # A baseline is what ran before: that its data is taken along is asked until a release of this tool was stable.
    ours = [one.name for one in store.ledger().known if not baseline.is_baseline(one.release)]
    had = {stack for name in ours for stack in known(store, name).get("stacks", ())}
    first = [stack for stack in candidate.services if stack not in had]
    if not first:
        return []
    own, there = os.path.realpath(store.root), [_found(one) for one in engine.everything()]
    apart, mine = _apart(store, engine), {*candidate.projects.values()}
    volumes = [v for v in engine.volumes() if (v.get("Labels") or {}).get("com.docker.compose.project") not in mine]
    said = []
    for stack in first:
        wanted = _wanted(engine, candidate, stack, data_folder(store, stack, bundles[stack]), bundles[stack])
        others = sorted({c.root for c in there if c.project == wanted.project} - {"", own})
        said += [occupants.OF_ANOTHER.text(stack=stack, project=wanted.project, path=r) for r in others if neighbours.is_there(r)]
        foreign = [] if adopt or bundles[stack].adopt else projects.foreign(store, engine, stack, wanted.project)
        if foreign:
            containers = ", ".join(sorted(c.name for c in foreign))
            said.append(occupants.NOT_ITS_OWN.text(stack=stack, project=wanted.project, containers=containers))
        said += occupants.holders(wanted, there)
        if not bundles[stack].new_data:
            said += [*occupants.volumes(wanted, there, volumes, apart, own), *occupants.folders(wanted, there, own)]
    return said


def _apart(store: Store, engine: Engine) -> set[str]:
    """The Compose projects of other applications."""
    try:
        others = neighbours.of(store, engine)
    except RolloutError:
        # Another user's application can only be asked for what its containers say.
        others = []
    return neighbours.projects(others)


def _wanted(engine: Engine, candidate: Candidate, stack: str, data: str, bundle: Bundle) -> Wanted:
    """What a stack needs that others may have; its data lies below ``data``."""
    config, project = candidate.configs[stack], candidate.projects[stack]
    read = domain_needs.Stack(project, candidate.main[stack], config)
    named = read.named("volumes").items()
    volumes = {key: name for key, (name, one) in named if not one.get("external") and not engine.volume(name)}
    folders, users = dict[str, str](), dict[str, set[str]]()
    for spec in (config.get("services") or {}).values():
        for mount in spec.get("volumes") or []:
            source = str(mount.get("source") or "")
            if mount.get("type") == "bind" and source.startswith(posixpath.join(data, "")) and needs.is_absent(source):
                key = posixpath.relpath(source, data)
                folders[key] = source
            elif mount.get("type") == "volume" and source in volumes:
                key = source
            else:
                continue
            users.setdefault(key, set()).add(repository(str(spec.get("image") or "")))
    beside = {path: posixpath.join(bundle.folder, path) for path in folders} if bundle.folder else {}
    return Wanted(
        stack=stack,
        project=project,
        ports=tuple(port for service in candidate.services[stack] for port in service.ports),
        names=tuple(name for _service, name in read.container_names()),
        volumes=volumes,
        folders=folders,
        users=users,
        beside={path: there for path, there in beside.items() if _holds(there)},
    )


def _holds(path: str) -> bool:
    """Whether something lies there; what this user may not look into may hold anything."""
    try:
        return bool({*os.listdir(path)} - _KEEPERS)
    except NotADirectoryError:
        return os.path.getsize(path) > 0
    except PermissionError:
        return True
    except OSError:
        return False


def _found(inspected: Mapping[str, Any]) -> Found:
    """Read one object of `docker inspect`."""
    labels, mounts = inspected["Config"].get("Labels") or {}, inspected.get("Mounts") or []
    ports = (inspected.get("NetworkSettings") or {}).get("Ports") or {}
    return Found(
        name=str(inspected.get("Name", "")).lstrip("/"),
        project=labels.get("com.docker.compose.project", ""),
        image=repository(str(inspected["Config"].get("Image") or "")),
        root=neighbours.root_of(labels),
        ports=tuple(
            Port(int(one["HostPort"]), inner.partition("/")[2] or "tcp", one.get("HostIp") or "")
            for inner, bound in ports.items()
            for one in bound or []
            if str(one.get("HostPort") or "").isdigit()
        ),
        volumes=tuple(str(one.get("Name")) for one in mounts if one.get("Type") == "volume"),
        folders=tuple(str(one.get("Source")) for one in mounts if one.get("Type") == "bind"),
    )
