"""Shows the Compose projects that were found, and writes the inventory of those that are asked for; on the controller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping, Optional

import ansible.module_utils
from ansible import context
from ansible.plugins.action import ActionBase

_ROOT = Path(__file__).resolve().parents[2]
ansible.module_utils.__path__.append(str(_ROOT / "module_utils"))

from ansible.module_utils.rollout.controller import adopted_folder, adopted_inventory, adopting, adoption
from ansible.module_utils.rollout.controller.screens import adoption as told
from ansible.module_utils.rollout.controller.screens import projects
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.errors import RolloutError

ARGUMENTS = {
    "project": {"type": "list", "elements": "str", "default": []},
    "into": {"type": "str", "default": ""},
    "overwrite": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """The screen of what was found, and of what was written."""

    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Show, and write."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, params = self.validate_argument_spec(ARGUMENTS)
        variables = task_vars or {}
        hosts = [str(one) for one in variables.get("ansible_play_hosts_all") or ()]
        hostvars = variables.get("hostvars") or {}
        found, faults = {}, {}
        for host in hosts:
            # Ansible's own texts are of classes of its own.
            answer = json.loads(json.dumps(hostvars[host].get("adopt_found") or {}, default=str))
            if "projects" in answer and not answer.get("failed"):
                found[host] = adopting.with_profiles(host, answer)
            else:
                if answer.get("unreachable"):
                    faults[host] = f"it cannot be reached; ansible {host} -m ping, with the same -i, says why"
                    continue
                said = str(answer.get("module_stderr") or "").strip().partition("\n")[0]
                faults[host] = " ".join(filter(None, [str(answer.get("msg") or "it did not answer"), said and f"({said})"]))
        names = adoption.named(params["project"])
        parts, good = [projects.screen(found, faults, names)], not faults
        for name in names:
            text, written = self._write(name, found, params, hostvars)
            parts.append(text)
            good = good and written
        if not names:
            parts.append(told.further(found, context.CLIARGS.get("inventory") or ()))
        elif faults:
            parts.append(told.incomplete(faults))
        text = "\n\n".join(part for part in parts if part)
        return {**result, "msg": text, "good": good, "changed": False, "_ansible_verbose_always": True}

    def _write(
        self, name: str, found: Mapping[str, Any], params: Mapping[str, Any], hostvars: Mapping[str, Any]
    ) -> tuple[str, bool]:
        """Write the inventory of a project: what is said of it, and whether it is there."""
        into = Path(params["into"]).expanduser().absolute() if params["into"] else _ROOT / "inventory"
        try:
            read = Faults()
            here: dict[str, Any] = {}
            for host, answer in found.items():
                facts = next((one for one in answer["projects"] if one["name"] == name), None)
                with read.gather():
                    if facts:
                        here[host] = adopting.adopt(host, facts, answer["files"])
            read.refuse()
            if not here:
                raise told.NO_PROJECT(name=name, known=told.names(found))
            stacks = adopted_inventory.stacks(name, here)
            connections = {host: self._connection_of(hostvars[host]) for host in here}
            files = adopted_inventory.texts(name, stacks, connections)
            secret = adopted_inventory.encrypted(stacks)
            closed = self._encrypt(files, secret)
            before = adopted_folder.write(into, name, files, bool(params["overwrite"]))
        except RolloutError as error:
            return told.refused(name, str(error)), False
        folder = into / name
        shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
        return told.written(str(shown), stacks, files, secret, closed, before), True

    def _connection_of(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """How a host is reached, as its inventory and the command line say."""
        names = (*adopted_inventory.CONNECTION, *adopted_inventory.PASSWORDS)
        given = {name: variables[name] for name in names if name in variables}
        typed = {"ansible_connection": context.CLIARGS.get("connection"), "ansible_user": context.CLIARGS.get("remote_user")}
        typed["ansible_become"] = context.CLIARGS.get("become") or None
        # `smart` and `ssh` are what Ansible takes anyway.
        good = {name: value for name, value in typed.items() if value and value not in ("smart", "ssh")}
        return json.loads(json.dumps({**good, **given}, default=str))  # type: ignore[no-any-return]

    def _encrypt(self, files: dict[str, tuple[bytes, int]], names: list[str]) -> bool:
        """Encrypt these files if Ansible was given a password for a vault; whether it was."""
        vault = getattr(self._loader, "_vault", None)
        if not vault or not vault.secrets:
            return False
        for name in names:
            content, _mode = files[name]
            files[name] = (bytes(vault.encrypt(content)), 0o600)
        return True
