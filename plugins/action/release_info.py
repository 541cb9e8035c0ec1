"""Asks the registry, or the ledgers, in the controller's own process: nothing is sent anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import ansible.module_utils
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase

_HERE = str(Path(__file__).resolve().parents[2] / "module_utils")
if _HERE not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_HERE)

from ansible.module_utils.rollout import target
from ansible.module_utils.rollout.steps import outcome


class ActionModule(ActionBase):
    """The module of this name, without a start of its own."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Find the release."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, params = self.validate_argument_spec(target.ARGUMENTS)
        found = outcome(lambda: target.find(params), self._display.verbosity > 2)
        result.update(remove_values(found, {params["password"]} - {""}))
        return result
