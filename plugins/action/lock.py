"""The action lock: documented in library/lock.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.rollout.agent import door
from ansible.module_utils.rollout.controller.owner import owner
from ansible.module_utils.rollout.controller.step_action import StepAction


class ActionModule(StepAction):
    """Takes its step from its name. An owner is this playbook, but for what the task says of it."""

    door = door

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """The step, with the whole owner."""
        given = self._task.args.get("owner")
        if isinstance(given, dict):
            self._task.args = {**self._task.args, "owner": {**owner(), **given}}
        return super().run(tmp, task_vars)
