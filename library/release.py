#!/usr/bin/python
"""Ansible module: a release on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: A release on a host
description:
  - A release is the digest of each image, the compose files and the environment, kept together in one directory.
  - Nothing that runs is touched; that is what M(stack) does.
options:
  state:
    description:
      - V(read) has Compose read the stacks where they would lie, and writes nothing that stays.
      - V(staged) makes the release ready on the host. It is validated, its images are pulled by digest, their torch
        contract is proven in a throw-away container, and its directory is written. With O(name), a release that is
        there already is made sure of instead, without a registry where its images are still there.
      - V(proven) holds every gate of the release in O(name) once more and changes nothing. GPUs are proven again, since a
        card can be lost in a running container.
      - V(stable) records that every gate on every host held, then removes releases outside the retention. With O(prove) it
        holds the gates of this host before, as V(proven) does.
      - V(abandoned) records that the host is back on its stable release, the one in O(name).
    type: str
    choices: [read, staged, proven, stable, abandoned]
    default: staged
  root:
    description: The state directory of the application on the host; C(~) is the connecting user's home.
    type: str
    required: true
  application:
    description: Name of the application; the Compose projects are named after it.
    type: str
    required: true
  run:
    description: Id of the run, for the ledger.
    type: str
    required: true
  name:
    description: The release's directory. Needed for all but the first staging.
    type: str
    default: ""
  release:
    description: The release's tag, for example V(sha-abc1234); for V(read) what stands for it.
    type: str
  images:
    description: Reference to what M(release_info) found.
    type: dict
    default: {}
  stacks:
    description: >-
      Stack to its source, as P(stack_source#lookup) collects it. Of a release that is there already the names are enough.
    type: dict
    default: {}
  specs:
    description: For V(read), C(rollout_stacks). It stays on the controller, which adds the files that services mount.
    type: dict
    default: {}
  replace:
    description: Kept services that are restarted where they differ; V(*) for all.
    type: list
    elements: str
    default: []
  allow_short_secrets:
    description: Accept secrets of under four characters. They are not hidden in what is printed.
    type: bool
    default: false
  adopt:
    description:
      - Take over what runs in the Compose projects of all stacks and was not started by this tool, as C(adopt) of a stack does
        for one of them. It is recorded as the release C(adopted-DATE), the first stable one of the host.
    type: bool
    default: false
  action:
    description: For V(stable), whether the release came by a rollout or a rollback.
    type: str
    choices: [rollout, rollback]
    default: rollout
  keep:
    description: For V(stable), how many stable releases to keep; the present and the previous one stay in any case.
    type: int
    default: 5
  prove:
    description: For V(stable), whether to hold every gate first. Right where this host is the run's only one.
    type: bool
    default: false
  calm:
    description: >-
      For V(proven), and V(stable) with O(prove), whether no service may have crashed since it was started. Right where nothing
      is switched.
    type: bool
    default: false
  watch:
    description: >-
      For V(proven), and V(stable) with O(prove), the seconds for which all gates are held again and again first.
    type: float
    default: 0
  unlock:
    description: For V(proven) and V(stable), whether to give the host's lock back too, as a run does that has no other host.
    type: bool
    default: false
  behind:
    description: For V(stable), the hosts that the run left out.
    type: list
    elements: str
    default: []
  registry:
    description: The registry to log in to for the pull; only with O(username).
    type: str
    default: ""
  registries:
    description: Further registries to log in to, name to username and password.
    type: dict
    default: {}
  username:
    description: User for the registry. The login lasts as long as the pull and leaves nothing on the host.
    type: str
    default: ""
  password:
    description: Password or read-only token for the registry.
    type: str
    default: ""
  torch_timeout:
    description: Seconds that one torch check may take.
    type: float
    default: 60
  present:
    description: For V(staged) with O(name), stage its images and files anew, with the environment and secrets of O(stacks).
    type: bool
    default: false
  confirm_timeout:
    description: For V(staged), the seconds after which the guard acts; a service that may be waited for longer is refused.
    type: float
    default: 0
  drain:
    description: For V(staged), how the run drains a service whose gate does not say it.
    type: str
    choices: [wait, checkpoint, force]
    default: checkpoint
  data:
    description: For V(staged) with O(name), what the data may do in a rollback across a job that is not compatible.
    type: str
    choices: ["", keep, restore]
    default: ""
  backup:
    description: With O(data=restore), the backup to bring back; none for those from before the jobs that are crossed.
    type: str
    default: ""
  first:
    description: For V(staged), the stacks whose jobs with C(run_on=first) this host runs for all others.
    type: list
    elements: str
    default: []
  rerun:
    description: For V(staged), jobs with C(rerun=false) that were killed half-way and may run again.
    type: list
    elements: str
    default: []
  done:
    description: For V(staged), jobs that were killed half-way and are known to have done all that they should.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: [ktrdr]
"""

EXAMPLES = r"""
- name: Stage the release
  release:
    root: /var/lib/rollout/ktrdr
    application: ktrdr
    run: 20261123-a1b2
    release: sha-abc1234
    images: "{{ found.images }}"
    stacks: "{{ lookup('stack_source', 'core', stacks=rollout_stacks) }}"

- name: Confirm it
  release:
    state: stable
    root: /var/lib/rollout/ktrdr
    application: ktrdr
    run: 20261123-a1b2
    name: sha-abc1234
"""

RETURN = r"""
name:
  description: The release's directory on this host.
  type: str
  returned: when staged
to_pull:
  description: Compressed bytes that had to be pulled.
  type: int
  returned: when staged
adopted:
  description: >-
    The release that records what ran here before the first rollout, as the ledger has it - name (of its directory), release, run,
    seq, at, action.
  type: dict
  returned: when staged, where something was taken over (in check mode, would be)
pulled:
  description: Compressed bytes that came, of all images.
  type: int
  returned: when staged, not in check mode
preview:
  description:
    - What the release would change - services (stack, service, action, why, old and new digest, gap in seconds as its last
      restarts had it), to_pull, free (bytes), settled (whether a look at the gates is all that the host needs).
    - And of which run it is - action, run, release, stable (what the release would replace; empty where nothing); left, the
      stacks with containers that are no longer in O(stacks), and their Compose projects; variables, the names of those of the
      C(.env) file that differ from the stable release's; barred, the secrets among them that a kept service has, so that there
      is not a way back to the former ones.
    - And where there are any - jobs, those that will run on this host (stack, job, when, compatible, deadline, why); backups,
      what may be backed up before them; quiet, the services that stop meanwhile;
      restore, the backups that are brought back.
  type: dict
  returned: when staged, in check mode
stacks:
  description: >-
    Stack to images (service to reference), mounts (path, kind, service, target, read_only) and warnings (Compose's own).
  type: dict
  returned: when read
here:
  description: The references for which the host needs no registry.
  type: list
  elements: str
  returned: when read
sources:
  description: O(stacks), as they were read, with the files that their services mount. It holds secrets, and is not printed.
  type: dict
  returned: when read
ready:
  description: Whether the release is there, whole, and was stable before, so that staging it would do nothing.
  type: bool
  returned: when staged
services:
  description: What M(stack) returns, of all stacks.
  type: list
  elements: dict
  returned: when proven, and when stable with O(prove)
rehearsed:
  description: The services that were tried beside what runs (stack, service, seconds).
  type: list
  elements: dict
  returned: when staged, not in check mode, if the release was never stable
torch:
  description: The verdict on each image whose contract was proven.
  type: dict
  returned: when staged
removed:
  description: Releases that were removed.
  type: list
  elements: str
  returned: when stable
left:
  description: A sentence for each old release that could not be removed, or holds what no rollout wrote.
  type: list
  elements: str
  returned: when stable
unlocked:
  description: Whether the host's lock was given back, as O(unlock) asked for.
  type: bool
  returned: when proven or stable
"""

from ansible.module_utils.rollout.agent import module as frame


def main() -> None:
    """Say that the action of the same name does it."""
    frame.documented("release")


if __name__ == "__main__":
    main()
