"""The frame of every module: its errors become one sentence, caught once."""

from __future__ import annotations

from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rollout.engine import Engine
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.steps import STEPS, STORE, outcome

__all__ = ["STORE", "run", "step"]


def run(verb: Callable[[AnsibleModule], dict[str, Any]], arguments: dict[str, Any], **options: Any) -> None:
    """Make the module, run ``verb`` on it and leave with what it returns or with its sentence."""
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True, **options)
    result = outcome(lambda: verb(module), module._verbosity > 2)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


def step(name: str) -> None:
    """Run a step of a run as a module of its own, where no agent takes it."""
    found = STEPS[name]

    def verb(module: AnsibleModule) -> dict[str, Any]:
        return found.act(Store(module.params["root"]), Engine(), module.params, module.check_mode)

    run(verb, found.arguments, required_if=found.required_if)
