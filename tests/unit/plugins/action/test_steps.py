"""The actions of the steps, as Ansible finds them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.module_utils.rollout.agent import door
from ansible.module_utils.rollout.controller.module_action import ModuleAction
from ansible.module_utils.rollout.controller.step_action import StepAction
from ansible.module_utils.rollout.domain import answers
from ansible.module_utils.rollout.domain.steps import STEPS


@pytest.mark.parametrize("step", STEPS)
def test_each_step_has_its_action(load, step):
    found = load(f"plugins/action/{step}.py").ActionModule
    assert issubclass(found, StepAction)
    assert found.door is door


@pytest.mark.parametrize("module", [name for name in answers.ANSWERS if " " not in name and name != "door"])
def test_each_module_that_a_host_answers_for_has_its_action(load, module):
    assert issubclass(load(f"plugins/action/{module}.py").ActionModule, ModuleAction)


@pytest.mark.parametrize(
    ("args", "known"),
    [
        ({"owner": {"action": "rollback"}}, {"action": "rollback"}),
        ({"owner": {"action": "unlock", "user": "ada", "alive": []}}, {"action": "unlock", "user": "ada", "alive": []}),
        ({}, None),
    ],
)
def test_a_lock_is_asked_for_by_this_playbook(load, monkeypatch, args, known):
    action = load("plugins/action/lock.py").ActionModule
    monkeypatch.setattr(StepAction, "run", lambda self, tmp, task_vars: self._task.args)
    made = action.__new__(action)
    made._task = SimpleNamespace(args=args)
    owner = made.run().get("owner")
    assert (owner is None) is (known is None)
    if known:
        assert set(owner) == {"user", "host", "machine", "process", "alive", "action"}
        assert {key: owner[key] for key in known} == known
