"""The action compose_project_info: it asks a host again, for the files that its Compose files name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.rollout.controller import adopting, adoption
from ansible.module_utils.rollout.controller.module_action import ModuleAction


class ActionModule(ModuleAction):
    """The module, run until all files of the projects that are asked for are here, or cannot be."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """What the host answers, with the files of every round."""
        result = super().run(tmp, task_vars)
        for _round in range(adoption.ROUNDS):
            names = adoption.named(self._task.args.get("project"))
            more = adopting.wanted(str((task_vars or {}).get("inventory_hostname")), result, names)
            if not more:
                break
            self._task.args = {**self._task.args, "files": more}
            again = super().run(tmp, task_vars)
            if again.get("failed"):
                return again
            result["files"] = {**{path: {"why": adoption.ABSENT} for path in more}, **again["files"], **result["files"]}
        return result
