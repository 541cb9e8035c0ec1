#!/usr/bin/python
"""Ansible module: the lock of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lock
short_description: The lock of a host, which one run holds at a time
description:
  - One file in the state directory, replaced in one step, with owner, run, since when and the last sign of life. Its age
    is measured on the host's own clock that nobody sets.
  - A lock whose owner is dead (its process on the same controller is gone) or which has expired is taken over, and
    RV(taken_over) says so. Steps of the run that had it are refused from then on.
options:
  state:
    description:
      - V(held) takes the lock for O(run).
      - V(renewed) gives a sign of life for a lock that O(run) holds, and fails where it does not hold it any more.
      - V(released) gives it back; with an empty O(run) it is removed whoever holds it, unless that is a run which is at work
        on the machine of O(owner).
    type: str
    choices: [held, renewed, released]
    default: held
  root:
    description: The state directory of the application on the host; C(~) is the connecting user's home.
    type: str
    required: true
  application:
    description: Name of the application.
    type: str
    required: true
  run:
    description: Id of the run.
    type: str
    required: true
  owner:
    description:
      - Who asks - user, host, machine, process, action, and alive, the processes that may hold a lock.
      - What is not given of it is that of this playbook, on the controller; nothing is where O(owner) is not given.
    type: dict
    default: {}
  ttl:
    description: Seconds without a sign of life after which the lock expires.
    type: float
    default: 900
  observe:
    description: For V(held), return also what M(rollout_host_info) does, without its services and Compose's version.
    type: bool
    default: false
  wait:
    description: Seconds to wait for a lock that somebody else holds.
    type: float
    default: 0
  force:
    description: For V(released) with an empty O(run), remove the lock of a run that is at work too.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
author: [ktrdr]
"""

EXAMPLES = r"""
- name: Take the lock
  lock:
    root: /var/lib/rollout/ktrdr
    application: ktrdr
    run: 20261123-a1b2
    owner: {user: alice, host: laptop, action: rollout}

- name: Remove it, whoever holds it
  lock:
    state: released
    root: /var/lib/rollout/ktrdr
    application: ktrdr
    run: ""
"""

RETURN = r"""
taken_over:
  description: A sentence about the lock that was taken over; empty where there was none.
  type: str
  returned: when held
released:
  description: Who held the lock that was removed; empty where there was none.
  type: str
  returned: when released
holder:
  description: The run that holds the lock.
  type: str
  returned: when somebody else holds it
host:
  description: What M(rollout_host_info) returns.
  type: dict
  returned: when observed
fenced:
  description: What took the lock away, C(guard) or C(run).
  type: str
  returned: when it was lost
"""

from ansible.module_utils.rollout.agent import module as frame


def main() -> None:
    """Say that the action of the same name does it."""
    frame.documented("lock")


if __name__ == "__main__":
    main()
