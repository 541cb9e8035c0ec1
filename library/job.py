#!/usr/bin/python
"""Ansible module: the jobs of a release on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: job
short_description: Run the jobs of a release on a host, once
description:
  - A job is a service that ends by itself (a migration). It runs in the release's image, with its files, environment and
    networks, behind its own deadline; exit status 0 passes.
  - What the ledger knows to have run with the same image, configuration and environment is not run again.
  - Works alone on the host, and only while O(run) holds the host's lock. In check mode nothing is done.
options:
  state:
    description:
      - V(quiesced) stops the services that may write, after it has armed the host's guard.
      - V(restored) brings back, before a rollback, what was backed up before the jobs that it crosses (O(data=restore)), after it
        has backed up the present; and it finishes a restore that a killed run began.
      - V(saved) backs up the kept services that ask for it.
      - V(still) sees that nothing runs again of what was stopped.
      - V(before) runs the jobs that come before anything is switched; V(after) those that come once everything is.
      - V(passed) records that services on any host meet what was done to the data, from now on.
      - V(back) is for the way back. It restores the backup that the run took before it changed the data, as long as no released
        service was started since, and fails otherwise.
    type: str
    choices: [quiesced, restored, saved, still, before, passed, after, back]
    default: before
  root:
    description: The state directory of the application on the host; C(~) is the connecting user's home.
    type: str
    required: true
  application:
    description: Name of the application; the Compose projects are named after it and their stacks.
    type: str
    required: true
  run:
    description: Id of the run, for the ledger.
    type: str
    required: true
  name:
    description: The release's directory, as M(release) returned it.
    type: str
    required: true
  stacks:
    description: Names of all stacks of the host, in the order of their waves.
    type: list
    elements: str
    required: true
  first:
    description: The stacks whose jobs with C(run_on=first) this host runs for all others.
    type: list
    elements: str
    default: []
  rerun:
    description: Jobs with C(rerun=false) that were killed half-way and may run again.
    type: list
    elements: str
    default: []
  done:
    description: Jobs that were killed half-way and are known to have done all that they should.
    type: list
    elements: str
    default: []
  jobs:
    description: For V(saved), the jobs that run on any host before the switch; empty where only what is saved each time is.
    type: list
    elements: str
    default: []
  data:
    description: >-
      For V(restored) of a rollback across a job that is not compatible, what its data may do. V(restore) brings back what was
      backed up before that job.
    type: str
    choices: ["", keep, restore]
    default: ""
  backup:
    description: With O(data=restore), the backup to bring back; none for those from before the jobs that are crossed.
    type: str
    default: ""
  ttl:
    description: First give a sign of life for the lock, and again while a job runs. Zero gives none.
    type: float
    default: 0
  confirm_timeout:
    description: The seconds after which the guard acts that is armed before what writes is stopped. Zero arms none.
    type: float
    default: 0
  drain:
    description: For V(quiesced), how a service is drained whose gate does not say it.
    type: str
    choices: [wait, checkpoint, force]
    default: checkpoint
  drain_timeout:
    description: For V(quiesced), the seconds that V(wait) may take, where the gate does not say otherwise.
    type: float
    default: 300
attributes:
  check_mode:
    support: full
author: [ktrdr]
"""

EXAMPLES = r"""
- name: Run the jobs that come first
  job:
    state: before
    root: /var/lib/rollout/ktrdr
    application: ktrdr
    stacks: [core]
    name: sha-abc1234
    run: 20261123-a1b2
"""

RETURN = r"""
quiet:
  description: The services that were stopped, each with its stack.
  type: list
  elements: dict
  returned: when quiesced
backups:
  description: The backups that were taken, as the ledger has them.
  type: list
  elements: dict
  returned: when saved, or restored
restored:
  description: The backups that were restored - backup, stack, service, at, bytes, age in seconds.
  type: list
  elements: dict
  returned: when restored, or back
jobs:
  description: The jobs that ran - stack, job, code, seconds, and log, the last lines of what each wrote.
  type: list
  elements: dict
  returned: success
service:
  description: The job that failed.
  type: str
  returned: failure of a job
gate:
  description: What failed - job, backup, data, guard, drain, or a gate of a kept service that a job needs.
  type: str
  returned: failure
log:
  description: The last lines that the job wrote.
  type: str
  returned: failure of a job
begun:
  description: What was begun on the host - quiet (what writes was stopped) or job (data may have changed).
  type: str
  returned: failure, where something was begun
saved:
  description: The ids of the backups of this run.
  type: list
  elements: str
  returned: failure, where there are any
"""

from ansible.module_utils.rollout.agent import module as frame


def main() -> None:
    """Say that the action of the same name does it."""
    frame.documented("job")


if __name__ == "__main__":
    main()
