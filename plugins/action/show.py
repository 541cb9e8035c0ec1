"""Shows a text for people: the result's ``msg``, whichever callbacks are loaded."""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase

ARGUMENTS = {"text": {"type": "str", "required": True}, "at_once": {"type": "bool", "default": False}}


class ActionModule(ActionBase):
    """The text, readable in every callback; this project's own shows it as the very last thing."""

    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Hand the text over."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, params = self.validate_argument_spec(ARGUMENTS)
        shown = {"at_once": True} if params["at_once"] else {}
        return {**result, **shown, "msg": params["text"], "changed": False, "_ansible_verbose_always": True}
