"""Which release the operator means: asks the registry or the ledgers, on the controller."""

from __future__ import annotations

from typing import Any, Mapping

from ansible.module_utils.rollout.controller.registry import Registry
from ansible.module_utils.rollout.domain import ledger as ledgers
from ansible.module_utils.rollout.domain import reference
from ansible.module_utils.rollout.errors import Refusal
from ansible.module_utils.rollout.io import logins

NO_IMAGE = Refusal(
    "The inventory",
    "No stack in rollout_stacks names an image: nothing can be rolled out.",
    "name the release's images in `images`",
)
NOT_ONE_RELEASE = Refusal(
    "The release",
    "The images at tag {tag} are not one release: {which}. A build is under way or failed half-way; name the release with -e "
    "sha=…",
    "wait until the build has ended, or name a commit with `-e sha=…`",
)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "action": {"type": "str", "choices": ["rollout", "rollback"], "default": "rollout"},
    "sha": {"type": "str"},
    "tag": {"type": "str"},
    "registry": {"type": "str"},
    "images": {"type": "list", "elements": "str", "default": []},
    "username": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "insecure": {"type": "bool", "default": False},
    "ca": {"type": "path"},
    "timeout": {"type": "float", "default": 20},
    "platforms": {"type": "list", "elements": "str", "default": []},
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


def logged_in(params: Mapping[str, Any]) -> dict[str, Any]:
    """``params`` with the login that docker has on this controller, where the inventory names none, as `docker pull` does it."""
    if params["username"] or params["action"] != "rollout" or params["refusal"] or not params["images"]:
        return dict(params)
    registry = reference.registry_of(f"{params['registry']}/{params['images'][0]}")
    username, password = logins.found(registry)
    return {**params, "username": username, "password": password}


def _for_rollout(params: Mapping[str, Any]) -> dict[str, Any]:
    """Resolve the tag for every image at once."""
    tag = reference.wanted_tag(params["sha"], params["tag"])
    if not params["images"]:
        raise NO_IMAGE()
    named = {name: reference.parse(f"{params['registry']}/{name}") for name in params["images"]}
    login = (params["username"], params["password"], params["insecure"], params["timeout"], params["ca"] or "")
    registry = Registry(next(iter(named.values())).registry, *login)
    images, releases = {}, {}
    for name, parsed in named.items():
        resolved = registry.resolve(parsed.path, tag, params["platforms"])
        releases[name] = reference.release_name(resolved.pop("tag"), resolved["revision"], parsed.repository)
        images[f"{params['registry']}/{name}"] = resolved
    if len(set(releases.values())) > 1:
        which = ", ".join(f"{name} is {release}" for name, release in sorted(releases.items()))
        raise NOT_ONE_RELEASE(tag=tag, which=which)
    return {"changed": False, "release": next(iter(releases.values())), "tag": tag, "images": images, "names": {}}


def _for_rollback(params: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the stable release from the ledgers."""
    tag = reference.wanted_tag(params["sha"], params["tag"], default="") or None
    histories = {}
    for host, data in params["ledgers"].items():
        known, history = ([ledgers.Stable(**entry) for entry in data[key]] for key in ("known", "history"))
        interrupted = [data["interrupted"]] if data.get("interrupted") else []
        histories[host] = ledgers.Ledger(known=known, history=history, open=interrupted)
    targets = ledgers.rollback_target(histories, params["first"], tag)
    release, names = targets[params["first"]].release, {h: s.name for h, s in targets.items()}
    return {"changed": False, "release": release, "tag": tag or "", "images": {}, "names": names}
