#!/usr/bin/python
"""Ansible module: which release the operator means."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Find out which release is meant, and its digests
description:
  - For a rollout, asks the registry what a SHA or tag is now, for every image at once, so that the whole run uses one
    digest each. For a rollback, asks the ledgers of the hosts; no registry is needed.
  - Runs on the controller. Changes nothing.
options:
  action:
    description: What is planned.
    type: str
    choices: [rollout, rollback]
    default: rollout
  sha:
    description: A commit, 7 to 40 hexadecimal digits; the images' tag is C(sha-) and this.
    type: str
  tag:
    description: Any other tag of the images. Not together with O(sha).
    type: str
  registry:
    description: Registry host, with the path that the images share, for example V(ghcr.io/kpiteira).
    type: str
  images:
    description: Names of the images under O(registry).
    type: list
    elements: str
    default: []
  username:
    description: User for the registry.
    type: str
    default: ""
  password:
    description: Password or token for the registry.
    type: str
    default: ""
  insecure:
    description: Ask the registry over http. Loopback addresses always are.
    type: bool
    default: false
  timeout:
    description: Seconds that one answer of the registry may take.
    type: float
    default: 20
  ledgers:
    description: For a rollback, host to the C(ledger) that M(rollout_host_info) returned.
    type: dict
    default: {}
  first:
    description: For a rollback, the host whose history decides; the first backend host.
    type: str
attributes:
  check_mode:
    support: full
author: [ktrdr]
"""

EXAMPLES = r"""
- name: Find out which release is meant
  release_info:
    sha: abc1234
    registry: ghcr.io/kpiteira
    images: [ktrdr-backend, ktrdr-worker-cpu]
  delegate_to: localhost
"""

RETURN = r"""
release:
  description: The release, for example C(sha-abc1234).
  type: str
  returned: success
images:
  description: For a rollout, repository to digest, revision, and the layers of each platform.
  type: dict
  returned: success
names:
  description: For a rollback, host to the release directory that it goes back to.
  type: dict
  returned: success
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rollout import ledger as ledgers
from ansible.module_utils.rollout import module as frame
from ansible.module_utils.rollout import reference
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.registry import Registry


def for_rollout(params: dict[str, Any]) -> dict[str, Any]:
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
    return {"changed": False, "release": next(iter(releases.values())), "images": images, "names": {}}


def _commit_tags(registry: Registry, parsed: reference.Reference, tag: str) -> list[str]:
    found = reference.matching_tags(tag, registry.tags(parsed.path)) or [tag]
    if len(found) > 1:
        raise RolloutError(f"{tag} means several tags of image {parsed.path}: {', '.join(found)}. Give more digits.")
    return found


def for_rollback(params: dict[str, Any]) -> dict[str, Any]:
    """Choose the stable release from the ledgers."""
    tag = reference.wanted_tag(params["sha"], params["tag"], default="") or None
    histories = {}
    for host, data in params["ledgers"].items():
        known, history = ([ledgers.Stable(**entry) for entry in data[key]] for key in ("known", "history"))
        interrupted = [data["interrupted"]] if data.get("interrupted") else []
        histories[host] = ledgers.Ledger(known=known, history=history, open=interrupted)
    targets = ledgers.rollback_target(histories, params["first"], tag)
    release = targets[params["first"]].release
    return {"changed": False, "release": release, "images": {}, "names": {h: s.name for h, s in targets.items()}}


def verb(module: AnsibleModule) -> dict[str, Any]:
    """Answer for the planned action."""
    return for_rollback(module.params) if module.params["action"] == "rollback" else for_rollout(module.params)


def main() -> None:
    """Run the module."""
    frame.run(
        verb,
        {
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
        },
    )


if __name__ == "__main__":
    main()
