#!/usr/bin/python
"""Ansible module: what a host is and what runs on it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_host_info
short_description: Engine, ledger and services of a host
description:
  - Reads the engine's facts and the ledger. With O(stacks), also what runs and where it differs from what the ledger
    says. Changes nothing.
options:
  root:
    description: The state directory of the application on the host; C(~) is the connecting user's home.
    type: str
    required: true
  application:
    description: Name of the application; the Compose projects are named after it.
    type: str
    required: true
  stacks:
    description: Stacks whose services are observed.
    type: list
    elements: str
    default: []
  projects:
    description: Stack to the Compose project that the inventory names; empty for the usual one.
    type: dict
    default: {}
  torch:
    description: Run the torch check in the running containers too.
    type: bool
    default: true
  torch_timeout:
    description: Seconds that one torch check may take.
    type: float
    default: 60
attributes:
  check_mode:
    support: full
author: [ktrdr]
"""

EXAMPLES = r"""
- name: Observe the host
  rollout_host_info:
    root: /var/lib/rollout/ktrdr
    application: ktrdr
    stacks: [core]
"""

RETURN = r"""
engine:
  description: Versions of engine and Compose, architecture, id, and C(data), the directory where images lie.
  type: dict
  returned: success
ledger:
  description:
    - Stable and previous release, history, all known stable releases, the last 20 confirmations, an interrupted run, the
      entry that ended the last run, the hosts that the last confirmed run left out, a torn entry, the names of stable
      releases of which files or images are gone, and the backups, each with what is wrong with its file (fault).
  type: dict
  returned: success
boot:
  description: Id of the present boot; a machine has one, whatever its names.
  type: str
  returned: success
lock:
  description:
    - Who holds the lock of the host - run, who, machine, process, quiet and expires_in (seconds); none where nobody does.
  type: dict
  returned: success
guard:
  description:
    - The armed guard - run, fires_in (seconds), alive, keeper, stuck (why it is not done yet), waits_for and waits_s (the run
      that it leaves at work, and for how many seconds at most); none where none is armed.
  type: dict
  returned: success
keeper:
  description:
    - What keeps a guard alive here - C(systemd), C(process) where playbooks/prepare.yml was not run, C(nobody) without
      systemd.
  type: str
  returned: success
services:
  description: One row a service - stack, service, release, digest, health, since, torch, restarts, log, drift.
  type: list
  elements: dict
  returned: success
jobs:
  description: The last run of each job - stack, job, release, at, code and seconds; no code where its end is not known.
  type: list
  elements: dict
  returned: where a job has run
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rollout.agent import module as frame
from ansible.module_utils.rollout.domain import answers
from ansible.module_utils.rollout.domain import jobs as decisions
from ansible.module_utils.rollout.io import masking
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import backups, observe


def verb(module: AnsibleModule) -> dict[str, Any]:
    """Observe."""
    params = module.params
    store, engine = Store(params["root"]), Engine()
    store.require_own()
    masking.learn_releases(store)
    services = []
    found = observe.host(store, engine, params["application"])
    found["ledger"]["gone"] = observe.gone(store, engine)
    found["ledger"]["backups"] = backups.listed(store)
    if params["stacks"]:
        services = observe.services(
            store,
            engine,
            params["application"],
            params["stacks"],
            params["torch_timeout"],
            params["torch"],
            {str(stack): str(named or "") for stack, named in params["projects"].items()},
        )
    jobs = decisions.runs(store.ledger(), params["stacks"])
    found.update({"jobs": jobs} if jobs else {})
    return answers.taken("rollout_host_info", {"changed": False, **found, "services": services}, masking.masked)


def main() -> None:
    """Run the module."""
    frame.run(
        verb,
        {
            **frame.STORE,
            "stacks": {"type": "list", "elements": "str", "default": []},
            "projects": {"type": "dict", "default": {}},
            "torch": {"type": "bool", "default": True},
            "torch_timeout": {"type": "float", "default": 60},
        },
    )


if __name__ == "__main__":
    main()
