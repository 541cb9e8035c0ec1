#!/usr/bin/python
"""Ansible module: whether a rollback of a host would work today."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drill
short_description: Prove that a rollback of a host would work today
description:
  - Looks at the release in O(name). Its files must be whole and its images on the host; what is missing is
    pulled. Its services with C(rehearse) are tried beside what runs. The newest backup of each service that has backups must be
    whole and verify.
  - Touches nothing that runs. Works alone on the host, and only while O(run) holds the host's lock. In check mode nothing is
    started or pulled.
options:
  state:
    description: With V(restored), the newest backup of each service is restored into a container of its own too.
    type: str
    choices: [proven, restored]
    default: proven
  root:
    description: The state directory of the application on the host; C(~) is the connecting user's home.
    type: str
    required: true
  application:
    description: Name of the application; the Compose projects are named after it and their stacks.
    type: str
    required: true
  run:
    description: Id of the drill, which holds the lock.
    type: str
    required: true
  name:
    description: The directory of the release to go back to, as M(release_info) returned it.
    type: str
    required: true
  stack:
    description: Names of all stacks of the host.
    type: list
    elements: str
    required: true
  registry:
    description: The registry to log in to for a pull; only with O(username).
    type: str
    default: ""
  registries:
    description: Logins of further registries, as M(release) takes them.
    type: dict
    default: {}
  username:
    description: User name for O(registry).
    type: str
    default: ""
  password:
    description: Password for O(registry).
    type: str
    default: ""
  confirm_timeout:
    description: Seconds that the guard of a rollback would wait, with which the release's deadlines are compared.
    type: float
    default: 0
  drain:
    description: How a rollback would drain, as M(stack) takes it.
    type: str
    choices: [wait, checkpoint, force]
    default: checkpoint
attributes:
  check_mode:
    support: full
author: [ktrdr]
"""

EXAMPLES = r"""
- name: Prove that a rollback would work
  drill:
    state: restored
    root: /var/lib/rollout/ktrdr
    application: ktrdr
    run: 20261123T040000Z-a1b2
    name: sha-abc1234
    stack: [core, workers]
"""

RETURN = r"""
release:
  description: The release to which a rollback would go.
  type: str
  returned: success
rows:
  description:
    - One for each thing that was looked at - stack and service (empty for the whole release), what (C(release), C(rehearsal),
      C(backup), C(restore)), state (C(proven), C(untried), C(failed)), found (a sentence), log (the last lines of a container
      that failed), seconds.
  type: list
  elements: dict
  returned: success
"""

from ansible.module_utils.rollout.agent import module as frame


def main() -> None:
    """Say that the action of the same name does it."""
    frame.documented("drill")


if __name__ == "__main__":
    main()
