#!/usr/bin/python
"""Ansible module: the backups of kept services on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Back up the kept services of a host that say how
description:
  - Each backup is a file below C(backups) of O(root) and an entry of the ledger; it is verified before it has a name.
  - Works alone on the host, and only while O(run) holds the host's lock. In check mode nothing is done; what would be saved is
    returned, with its size as far as that is known, and what speaks against it is refused.
options:
  state:
    description: V(taken) takes a backup of each service.
    type: str
    choices: [taken]
    default: taken
  root:
    description: The state directory of the application on the host; C(~) is the connecting user's home.
    type: str
    required: true
  application:
    description: Name of the application.
    type: str
    required: true
  run:
    description: Id of the run, for the ledger.
    type: str
    required: true
  stacks:
    description: Names of all stacks of the host.
    type: list
    elements: str
    required: true
  services:
    description: The services to back up; none for all that have the key C(backup).
    type: list
    elements: str
    default: []
  confirm_timeout:
    description: The seconds after which the guard acts that is armed before a service is stopped. Zero arms none.
    type: float
    default: 0
"""

EXAMPLES = r"""
- name: Back up the database
  backup:
    root: /var/lib/rollout/ktrdr
    application: ktrdr
    stacks: [core]
    services: [db]
    run: 20261123-a1b2
"""

RETURN = r"""
backups:
  description: The backups that were taken - backup (its name), stack, service, file, bytes, seconds, at, release and why.
  type: list
  elements: dict
  returned: success
service:
  description: The service that could not be saved.
  type: str
  returned: failure of a backup
gate:
  description: What failed - V(backup), or a gate of the service that was stopped meanwhile.
  type: str
  returned: failure
"""

from ansible.module_utils.rollout.agent import module as frame


def main() -> None:
    """Say that the action of the same name does it."""
    frame.documented("backup")


if __name__ == "__main__":
    main()
