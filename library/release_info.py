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
    description: The registry, perhaps with a path, that O(username), O(password), O(insecure) and O(ca) are about.
    type: str
  registries:
    description: Further registries, name to username, password, insecure and ca.
    type: dict
    default: {}
  following:
    description: >-
      References of the images that follow the release, with C(rollout-00-the-tag-of-the-release) where its tag belongs.
    type: list
    elements: str
    default: []
  fixed:
    description: References of other images that are to be resolved.
    type: list
    elements: str
    default: []
  refresh:
    description: Those of O(fixed) that count whatever a host has.
    type: list
    elements: str
    default: []
  floating:
    description: >-
      References of further images, which stay at their digest. Where their tag means another one by now, that is told; a registry
      that does not say it within three seconds is not waited for.
    type: list
    elements: str
    default: []
  files:
    description: The name of the release where no image follows it.
    type: str
    default: ""
  variables:
    description: The variables by which images follow a release, for a sentence.
    type: list
    elements: str
    default: []
  username:
    description: User for the registry; empty for the one with whom docker is logged in to it on the controller, if there is one.
    type: str
    default: ""
  password:
    description: Password or token for the registry.
    type: str
    default: ""
  insecure:
    description: >-
      Ask the registry as an engine asks its insecure-registries - over https with whatever certificate, or else over http.
      Loopback addresses always are.
    type: bool
    default: false
  ca:
    description: PEM file of the CA of the registry's certificate, and of its token service's, beside those of the machine.
    type: path
  platforms:
    description: >-
      Platforms (C(os/arch)) of the hosts. Of an image for several the layers are asked for these only, or for all if none is one.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that one answer of the registry may take; all answers about one image may take ten times that.
    type: float
    default: 20
  ledgers:
    description: For a rollback, host to the C(ledger) that M(rollout_host_info) returned.
    type: dict
    default: {}
  first:
    description: For a rollback, the host whose history decides; the first one of the first wave.
    type: str
  refusal:
    description: Why no release may be chosen at all, found before; it is the answer then.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
author: [ktrdr]
"""

EXAMPLES = r"""
- name: Find out which release is meant
  release_info:
    sha: abc1234
    following:
      - ghcr.io/kpiteira/ktrdr-backend:rollout-00-the-tag-of-the-release
      - ghcr.io/kpiteira/ktrdr-worker-cpu:rollout-00-the-tag-of-the-release
  delegate_to: localhost
"""

RETURN = r"""
release:
  description: The release, for example C(sha-abc1234).
  type: str
  returned: success
tag:
  description: The tag that it was asked for by, C(latest) where a rollout was given none; empty for a rollback to the one before.
  type: str
  returned: success
images:
  description: >-
    For a rollout, reference to digest, revision, the layers of each platform, and whether it follows the release, and counts
    whatever a host has (now).
  type: dict
  returned: success
names:
  description: For a rollback, host to the release directory that it goes back to.
  type: dict
  returned: success
"""

from ansible.module_utils.rollout.agent import module as frame
from ansible.module_utils.rollout.controller import target


def main() -> None:
    """Run the module; the action of the same name asks in the controller's own process instead."""
    frame.run(lambda module: target.find(module.params), target.ARGUMENTS)


if __name__ == "__main__":
    main()
