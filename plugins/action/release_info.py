"""Asks the registry, or the ledgers, in the controller's own process: nothing is sent anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import ansible.module_utils
from ansible.plugins.action import ActionBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.rollout.controller import target
from ansible.module_utils.rollout.domain.mask import Mask
from ansible.module_utils.rollout.errors import outcome


class ActionModule(ActionBase):
    """The module of this name, without a start of its own."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Find the release."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, params = self.validate_argument_spec(target.ARGUMENTS)
        used: list[str] = []
        found = outcome(lambda: target.find(params, used), self._display.verbosity > 2)
        hide = Mask([*target.secrets(params), *used]).text
        result.update({key: hide(value) if key in ("msg", "exception") else value for key, value in found.items()})
        return result
