"""The action of a module that runs on a host: of its answer the controller takes what is declared, in bounded time and memory."""

from __future__ import annotations

from typing import Any, Optional

from ansible.module_utils.rollout.controller import known
from ansible.module_utils.rollout.controller.exchange import bounded, step_limit
from ansible.module_utils.rollout.domain import answers
from ansible.plugins.action import ActionBase


class ModuleAction(ActionBase):
    """The module of the task's name. Without this, Ansible takes every key that a host answers, `ansible_facts` too."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """The module's answer, as far as `domain/answers.py` declares it."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        name = self._task.action.rpartition(".")[2]
        try:
            with bounded(step_limit(self._templar, task_vars or {}), self._connection.transport != "local"):
                answer = self._execute_module(task_vars=task_vars)
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
            # Ansible read it, and stumbled.
            return {
                **result,
                "failed": True,
                "msg": answers.FOREIGN.text(step=name, fault=f"it is not one ({type(error).__name__})"),
            }
        raised = answer.pop("exception", None)
        # Ansible makes an object of it.
        text = raised if isinstance(raised, str) else getattr(getattr(raised, "event", None), "formatted_traceback", None)
        answer.update({"exception": text} if text else {})
        key = self._discovered_interpreter_key
        found = {"ansible_facts": {key: self._discovered_interpreter}} if key else {}
        hide = (known.told(task_vars or {}) | self._task.args.get("urls")).text
        return {**result, **answers.taken(name, answer, hide), **found}
