"""Which release the operator means: asks the registry or the ledgers, on the controller."""

from __future__ import annotations

from typing import Any, Mapping

from ansible.module_utils.rollout import ledger as ledgers
from ansible.module_utils.rollout import reference
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.registry import Registry

ARGUMENTS: dict[str, dict[str, Any]] = {
    "action": {"type": "str", "choices": ["rollout", "rollback"], "default": "rollout"},
    "sha": {"type": "str"},
    "tag": {"type": "str"},
    "registry": {"type": "str"},
    "images": {"type": "list", "elements": "str", "default": []},
    "username": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "insecure": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 20},
    "ledgers": {"type": "dict", "default": {}},
    "first": {"type": "str"},
    "refusal": {"type": "str", "default": ""},
}


def find(params: Mapping[str, Any]) -> dict[str, Any]:
    """Answer for the planned action: release, tag (what it was asked for by), images (repository -> digest, platforms) and names
    (host -> directory).

    Raises:
        RolloutError: there is no such release, or it is not one.
    """
    if params["refusal"]:
        return {"failed": True, "msg": params["refusal"]}
    return _for_rollback(params) if params["action"] == "rollback" else _for_rollout(params)


def _for_rollout(params: Mapping[str, Any]) -> dict[str, Any]:
    """Resolve the tag for every image at once."""
    tag = reference.wanted_tag(params["sha"], params["tag"])
    if not params["images"]:
        raise RolloutError("No stack in rollout_stacks names an image: nothing can be rolled out.")
    images, releases = {}, {}
    for name in params["images"]:
        parsed = reference.parse(f"{params['registry']}/{name}")
        registry = Registry(parsed.registry, params["username"], params["password"], params["insecure"], params["timeout"])
        found = reference.matching_tags(tag, [tag]) if not tag.startswith("sha-") else _commit_tags(registry, parsed, tag)
        resolved = registry.resolve(parsed.path, found[0])
        images[f"{params['registry']}/{name}"] = resolved
        releases[name] = reference.release_name(found[0], resolved["revision"], parsed.repository)
    if len(set(releases.values())) > 1:
        which = ", ".join(f"{name} is {release}" for name, release in sorted(releases.items()))
        raise RolloutError(
            f"The images at tag {tag} are not one release: {which}. A build is under way or failed half-way; name the "
            "release with -e sha=…"
        )
    return {"changed": False, "release": next(iter(releases.values())), "tag": tag, "images": images, "names": {}}


def _commit_tags(registry: Registry, parsed: reference.Reference, tag: str) -> list[str]:
    found = reference.matching_tags(tag, registry.tags(parsed.path)) or [tag]
    if len(found) > 1:
        raise RolloutError(f"{tag} means several tags of image {parsed.path}: {', '.join(found)}. Give more digits.")
    return found


def _for_rollback(params: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the stable release from the ledgers."""
    tag = reference.wanted_tag(params["sha"], params["tag"], default="") or None
    histories = {}
    for host, data in params["ledgers"].items():
        known, history = ([ledgers.Stable(**entry) for entry in data[key]] for key in ("known", "history"))
        interrupted = [data["interrupted"]] if data.get("interrupted") else []
        histories[host] = ledgers.Ledger(known=known, history=history, open=interrupted)
    targets = ledgers.rollback_target(histories, params["first"], tag)
    release = targets[params["first"]].release
    return {
        "changed": False,
        "release": release,
        "tag": tag or "",
        "images": {},
        "names": {h: s.name for h, s in targets.items()},
    }
