"""Writes the report of a run and shows its last screen, on the controller, whichever callbacks are loaded."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Optional

import ansible.module_utils
from ansible.plugins.action import ActionBase

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.rollout.controller import known
from ansible.module_utils.rollout.controller.report import times, write

ARGUMENTS = {"run": {"type": "dict", "required": True}, "seconds": {"type": "float", "required": True}}
UNHEARD = "When each step began and ended is not known: Ansible did not load the callback rollout, which ansible.cfg enables."


class ActionModule(ActionBase):
    """The verdict of a run, with its report."""

    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Write the report, and hand the verdict over."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, params = self.validate_argument_spec(ARGUMENTS)
        run = dict(params["run"])
        document, screen = run.pop("document"), run.pop("screen")
        heard = times.Times.heard
        if heard:
            document = {**document, **heard.known()}
        else:
            when = times.since(time.time() - params["seconds"], params["seconds"])
            document = {**document, **when, "notes": [*document["notes"], UNHEARD]}
        if not run["good"]:
            hostvars = (task_vars or {}).get("hostvars") or {}
            mask = known.mask(list(hostvars), hostvars, known.names(document))
            document, screen, run["message"] = known.hidden([document, screen, run["message"]], mask)
        place = write.write(document)
        screen = "\n\n".join(part for part in (screen, place) if part)
        # A run that is not good ends in a failure, which shows it.
        return {**result, **run, "msg": screen, "changed": False, "_ansible_verbose_always": run["good"]}
