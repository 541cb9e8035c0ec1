#!/usr/bin/python
"""Ansible module: a stack on a release."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack
short_description: Bring a stack of a host to a staged release
description:
  - Recreates the services whose image or configuration differs, and waits at each one's gate. A service outside the release (a
    database) is started where it is absent and never restarted.
  - Where a gate has C(start_first), the new container comes first, requests move to it through the proxy, and then the old one
    goes.
  - Works alone on the host, and only while O(run) holds the host's lock.
  - In check mode nothing is changed; the gates of services that already run the release are held all the same.
options:
  state:
    description: V(present) brings the stack to the release; V(absent) removes the release's services, data stays.
    type: str
    choices: [present, absent]
    default: present
  root:
    description: The state directory of the application on the host; C(~) is the connecting user's home.
    type: str
    required: true
  application:
    description: Name of the application; the Compose project is named after it and the stack.
    type: str
    required: true
  stack:
    description: Names of the stacks; with O(together) they are brought there at the same time, otherwise one after another.
    type: list
    elements: str
    required: true
  name:
    description: The release's directory, as M(release) returned it.
    type: str
    required: true
  run:
    description: Id of the run, for the ledger.
    type: str
    required: true
  earlier:
    description: What this run did to services of the host before, as it is to be returned beside this.
    type: list
    elements: dict
    default: []
  wait:
    description: Wait at the gates. Without, services are only started.
    type: bool
    default: true
  ttl:
    description: First give a sign of life for the lock; without another it expires after so many seconds. Zero gives none.
    type: float
    default: 0
  confirm_timeout:
    description:
      - Arm the host's guard before anything is changed. Unless the release is confirmed in that many seconds, the guard
        brings the stable release back. Zero arms none.
    type: float
    default: 0
  together:
    description:
      - Services that do not depend on each other stop and start together. Those that drain by waiting, have a GPU or are replaced
        behind a proxy are one after another in any case.
    type: bool
    default: true
  replace:
    description: Kept services that are restarted where they differ; V(*) for all.
    type: list
    elements: str
    default: []
  gpu_release_timeout:
    description: Seconds that a card may take to be free after its old container was stopped.
    type: float
    default: 60
  torch_timeout:
    description: Seconds that one torch check may take.
    type: float
    default: 60
  drain:
    description:
      - How a service whose gate has C(drain), and no mode there, lets go of its work before it is stopped. V(wait) waits until
        it is idle; V(checkpoint) stops its intake and leaves the rest to its grace period; V(force) stops it within a second.
      - Without O(wait) it is V(checkpoint) for every service.
    type: str
    choices: [wait, checkpoint, force]
    default: checkpoint
  drain_timeout:
    description: Seconds that V(wait) may take, where the gate does not say otherwise.
    type: float
    default: 300
attributes:
  check_mode:
    support: full
author: [ktrdr]
"""

EXAMPLES = r"""
- name: Switch the workers
  stack:
    root: /var/lib/rollout/ktrdr
    application: ktrdr
    stack: workers
    name: sha-abc1234
    run: 20261123-a1b2
"""

RETURN = r"""
earlier:
  description: What O(earlier) had, also where the step failed or its host was lost.
  type: list
  elements: dict
  returned: when given
services:
  description:
    - For each service its action (keep, create, recreate, replace, remove), why, drain (what was waited for), torch, and
      seconds until its gate held.
  type: list
  elements: dict
  returned: success
service:
  description: The service that failed.
  type: str
  returned: failure of a gate
gate:
  description: What failed - gpu, guard, drain, stop, start, or the gate container, health, torch or proxy.
  type: str
  returned: failure of a gate
release:
  description: The release of the container that failed, which is that of O(name) or an earlier one.
  type: str
  returned: failure of a gate, unless nothing was started
fenced:
  description: What took the run's lock away, C(guard) or C(run).
  type: str
  returned: when the run no longer holds the lock of the host
log:
  description: The last lines that the service wrote.
  type: str
  returned: failure of a gate
"""

from ansible.module_utils.rollout.agent import module as frame


def main() -> None:
    """Say that the action of the same name does it."""
    frame.documented("stack")


if __name__ == "__main__":
    main()
