"""Refusals of a host, its engine and its files. Together here, since several files of the room say the same."""

from __future__ import annotations

from ansible.module_utils.rollout.errors import Refusal

NOT_INSTALLED = Refusal(
    "The engine and the ledger of a host",
    "Docker is not installed: run ansible-playbook playbooks/prepare.yml, or install it.",
    "type `ansible-playbook playbooks/prepare.yml`, or install Docker by hand",
)
ENGINE_SILENT = Refusal(
    "The engine and the ledger of a host",
    "The Docker engine does not answer ({said}): start it with 'systemctl start docker', or run ansible-playbook "
    "playbooks/prepare.yml.",
    "type `systemctl start docker`; look at `journalctl --unit docker`",
)
NOT_ALLOWED = Refusal(
    "The engine and the ledger of a host",
    "User {user} is not allowed to use Docker: add the user to group docker (sudo usermod --append --groups docker {user}, then "
    "log out and back in), or set ansible_become.",
    "type `sudo usermod --append --groups docker USER`, then log out and back in",
)
ENGINE_TOO_OLD = Refusal(
    "The engine and the ledger of a host",
    "Docker Engine {version} is too old: 20.10 or newer is needed. Upgrade it, or run ansible-playbook playbooks/prepare.yml.",
    "upgrade it, or type `ansible-playbook playbooks/prepare.yml`",
)
NO_COMPOSE = Refusal(
    "The engine and the ledger of a host",
    "Docker Compose v2 is missing.{old} Install the Compose plugin ('docker compose version' must work), or run ansible-playbook "
    "playbooks/prepare.yml.",
    "install the plugin, so that `docker compose version` works. `Only Compose v1 (docker-compose) is there.` may stand in the "
    "middle: v1 is not enough",
)
STATE_UNWRITABLE = Refusal(
    "Host",
    "The state directory {path} is not writable ({reason}): run ansible-playbook playbooks/prepare.yml, or set rollout_dir to a "
    "directory of your own.",
    "type `ansible-playbook playbooks/prepare.yml`, or set `rollout_dir`",
)
LEDGER_UNREADABLE = Refusal(
    "The engine and the ledger of a host",
    "The ledger {path} cannot be read ({reason}).",
    "type `ansible-playbook playbooks/prepare.yml`: the connecting user must own the state directory",
)
LEDGER_UNWRITABLE = Refusal(
    "Host",
    "The ledger {path} cannot be written: {reason}.",
    "make room on the disk, or type `ansible-playbook playbooks/prepare.yml` if the directory has another owner",
)
FAILED = Refusal(
    "Host",
    "{doing} failed: {said}",
    "read docker's own message, which follows. `Checking docker-compose.….yml` and `Reading docker-compose.….yml`: Compose does "
    "not accept the file, `--check --diff` shows it. Anything else (`Tagging an image`, `Listing containers`, `Inspecting image "
    "…`): the engine refuses, look at `journalctl --unit docker`",
)
NOT_PULLED = Refusal(
    "Host",
    "Image {image} could not be pulled: {said}",
    "fix what docker's message names. The host itself must reach the registry; one without TLS needs "
    "`engine_insecure_registries` and `playbooks/prepare.yml`",
)
NOT_TRUSTED = Refusal(
    "Host",
    "Image {image} could not be pulled: {said}. Docker on this host does not trust the certificate of {registry}: put that of "
    "its CA into /etc/docker/certs.d/{registry}/ca.crt.",
    "put the certificate of the registry's CA (PEM) on the host as `/etc/docker/certs.d/HOST/ca.crt`; docker needs no restart",
)
NO_LOGIN = Refusal(
    "Host",
    "Registry {registry} does not let user {user} pull {image} on this host: {said}. Check rollout_registry_username and "
    "rollout_registry_password (vaulted), and whether that user may read the image.",
    "check `rollout_registry_username` and `rollout_registry_password`, and whether that user may read the image. The middle is "
    "docker's message",
)
NO_HELPER = Refusal(
    "Host",
    "Image {image} could not be pulled: {said}. Docker's settings on this host name a credential helper for {registry}, and it "
    "does not work in a rollout: {why}. Let it work without a desktop session, or log in without it (docker login).",
    "the helper lacks a program or a desktop session: `docker-credential-… get` on that host, over SSH, says the same. Without a "
    "helper, `docker login` writes into `~/.docker/config.json`",
)
RELEASE_UNWRITABLE = Refusal(
    "Host",
    "Release {name} cannot be written to {path}: {reason}.",
    "make room on the disk, or type `ansible-playbook playbooks/prepare.yml` if the directory has another owner",
)
RELEASE_INCOMPLETE = Refusal(
    "Host",
    "Release {name} is incomplete: {path} cannot be read ({reason}). Roll that release out again, which stages it anew beside "
    "this, or choose another one.",
    "roll that release out again, or choose another one: its directory was damaged. About a retained release that nobody needs "
    "this is a note only",
)
STEP_BUSY = Refusal(
    "Locks",
    "Another step of a rollout has been at work on this host for over {seconds:.0f} s. Look for it (fuser {path}), then run "
    "again.",
    "type `fuser` with the file that it names: a step of a killed run has not ended",
)
OTHER_STACK_FAILED = Refusal(
    "Locks",
    "It was left as it is, because another stack of this host failed.",
    "look at the paragraph about the stack that failed; this one needs no repair",
)
LOCK_LOST = Refusal(
    "Locks",
    "Run {run} no longer holds the lock of this host: {other}, took it over. Nothing more is done here by this run.",
    "wait for the verdict of the other run: yours was interrupted for too long, so the other one is in charge",
)
LOCK_GONE = Refusal(
    "Locks",
    "The lock of run {run} is gone from this host ({path}): somebody unlocked it. Nothing more is done here by this run.",
    "look at `ansible-playbook status.yml`, then run again: somebody ran `unlock.yml`",
)
GUARD_ACTED = Refusal(
    "Locks",
    "The guard of this host acted before the run was confirmed, and brought the stable release back: the run took longer than "
    "rollout_confirm_timeout. Raise rollout_confirm_timeout, or find out what took so long.",
    "raise `rollout_confirm_timeout`, or find out what took so long",
)
GUARD_ENDED = Refusal(
    "Locks",
    "The guard of this host acted before the run was confirmed, and brought the stable release back. A step of this run was "
    "still at work when its time was over ({step}; process {process}), so the guard ended it first. Find out what hung, or raise "
    "rollout_confirm_timeout.",
    "find out what hung: the step that the brackets name, the engine (`journalctl --unit docker`), or a disk. Raise "
    "`rollout_confirm_timeout` if the step was only slow",
)
GUARD_BARRED = Refusal(
    "Locks",
    "The guard of this host acted before the run was confirmed. It left everything as it is, since a job has changed the data: "
    "the run took longer than rollout_confirm_timeout.",
    "type one of the two commands that follow. Raise `rollout_confirm_timeout`, or find out what took so long",
)
LOCK_UNREADABLE = Refusal(
    "Locks",
    "The lock {path} cannot be read ({reason}).",
    "type `ansible-playbook playbooks/prepare.yml`: the connecting user must own the state directory",
)
LOCK_DAMAGED = Refusal(
    "Locks",
    "The lock {path} is damaged: ansible-playbook playbooks/unlock.yml removes it.",
    "type `ansible-playbook playbooks/unlock.yml`",
)
NO_SERVICE = Refusal(
    "Anything else",
    "{file} has no service {service}; it has {services}.",
    "name one of the services that the compose file has (`torch_check`)",
)
CARD_HELD = Refusal(
    "Gate start",
    "the card was not free {seconds:.0f} s after the old container was stopped{full}: it is held by {holder}. End that process, "
    "or raise rollout_gpu_release_timeout",
    "type `nvidia-smi` on that host and end the process `pid … (…)`, or raise `rollout_gpu_release_timeout`",
)
