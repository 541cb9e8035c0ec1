from __future__ import annotations

import json

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.rollout.agent.steps import ACTS
from ansible.module_utils.rollout.domain import answers
from ansible.module_utils.rollout.domain.steps import STEPS
from ansible.module_utils.rollout.errors import outcome
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import restage, settle, stage


@pytest.fixture
def run():
    """Do a step as an agent does, with arguments as a task has them."""

    def call(step, check=False, /, **arguments):
        known = STEPS[step]
        checked = ArgumentSpecValidator(known.arguments, required_if=known.required_if).validate(arguments)
        if checked.error_messages:
            return {"failed": True, "msg": checked.error_messages[0]}
        params = checked.validated_parameters
        said = json.loads(json.dumps(outcome(lambda: ACTS[step](Store(params["root"]), Engine(), params, check)), default=str))
        # The controller believes all of it, as it is; a test's own verb may answer anything.
        if all(verb.__module__.startswith("ansible.") for verb in (settle.prove, settle.confirm, stage.stage, restage.restage)):
            assert answers.taken(answers.name(step, params, check), said) == said
        return said

    return call
