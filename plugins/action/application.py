"""The action application: documented in library/application.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.rollout.controller.module_action import ModuleAction
from ansible.module_utils.rollout.controller.owner import owner


class ActionModule(ModuleAction):
    """Takes its module from its name. An owner of the lock is this playbook, but for what the task says of it."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """The module, with the whole owner."""
        given = self._task.args.get("owner")
        self._task.args = {**self._task.args, "owner": {**owner(), **(given if isinstance(given, dict) else {})}}
        return super().run(tmp, task_vars)
