#!/usr/bin/python
"""Ansible module: an application on a host, as a whole."""

from __future__ import annotations

DOCUMENTATION = r"""
module: application
short_description: An application on a host, with all that rollouts made of it there
description:
  - Takes an application away from a host - its containers, the networks of its Compose projects, the images that no other
    application needs, its state directory, its metrics and, as root, the units of its guard. Under the host's lock.
  - Its data stays, unless O(delete_data) is its name - volumes, the folders C(data) and C(backups) of the state directory.
    What lies elsewhere on the host is never removed.
  - What this tool did not make stays too, unless a release of its Compose project was stable here.
  - A run that ends halfway is continued by the same call.
options:
  state:
    description: V(absent), for there is no other yet.
    type: str
    choices: [absent]
    default: absent
  root:
    description: The state directory of the application on the host; C(~) is the connecting user's home.
    type: str
    required: true
  application:
    description: Name of the application.
    type: str
    required: true
  run:
    description: Id of the run, for the lock.
    type: str
    required: true
  owner:
    description: As of M(lock).
    type: dict
    default: {}
  ttl:
    description: Seconds after which the lock expires.
    type: float
    default: 3600
  projects:
    description: The stacks of the host in the inventory, each with the Compose project that it names; empty for the usual one.
    type: dict
    default: {}
  metrics:
    description: The directory of the application's metrics; empty if there are none.
    type: str
    default: ""
  delete_data:
    description: The name of the application, if its data is to go too. Another text is refused.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: [ktrdr]
"""

EXAMPLES = r"""
- name: Take it away, but for its data
  application:
    root: /var/lib/rollout/ktrdr
    application: ktrdr
    run: 20261123-a1b2
    projects: {core: "", workers: ""}
"""

RETURN = r"""
gone:
  description: Kind (containers, networks, images, state, metrics, units, volumes, folders) to the names of what was removed.
  type: dict
  returned: success
stays:
  description: >-
    Kind to names - volumes and folders (its data), perhaps (volumes that may be its data), others (containers in its projects
    that are not its own), files (in its state directory, of somebody else), elsewhere (folders that its services wrote to).
  type: dict
  returned: success
by_hand:
  description: Commands for what the user of the run may not remove.
  type: list
  elements: str
  returned: success
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rollout.agent import module as frame
from ansible.module_utils.rollout.io import masking
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import removal


def verb(module: AnsibleModule) -> dict[str, Any]:
    """Remove it."""
    params = module.params
    store = Store(params["root"])
    masking.learn_releases(store)
    projects = {str(stack): str(named or "") for stack, named in params["projects"].items()}
    asked = removal.Asked(params["application"], projects, params["delete_data"], params["metrics"])
    return removal.remove(store, Engine(), asked, params["run"], params["owner"], params["ttl"], module.check_mode)


def main() -> None:
    """Run the module."""
    frame.run(
        verb,
        {
            **frame.STORE,
            "state": {"type": "str", "choices": ["absent"], "default": "absent"},
            "run": {"type": "str", "required": True},
            "owner": {"type": "dict", "default": {}},
            "ttl": {"type": "float", "default": 3600},
            "projects": {"type": "dict", "default": {}},
            "metrics": {"type": "str", "default": ""},
            "delete_data": {"type": "str", "default": ""},
        },
    )


if __name__ == "__main__":
    main()
