"""The frame of every module: its errors become one sentence, caught once."""

from __future__ import annotations

from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rollout.domain.steps import STEPS, STORE
from ansible.module_utils.rollout.errors import Refusal, outcome
from ansible.module_utils.rollout.io import masking

__all__ = ["STORE", "documented", "run"]


NO_ACTION = Refusal(
    "The agent of a run",
    "Ansible did not find the action plugin of {name}: start in the project's directory, or set ANSIBLE_ACTION_PLUGINS to its "
    "plugins/action.",
    "the `ansible.cfg` of the directory where you start is the one that counts",
)


def run(verb: Callable[[AnsibleModule], dict[str, Any]], arguments: dict[str, Any], **options: Any) -> None:
    """Make the module, run ``verb`` on it and leave with what it returns or with its sentence."""
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True, **options)
    result = outcome(lambda: verb(module), module._verbosity > 2)
    result = {key: masking.masked(value) if key in ("msg", "exception") else value for key, value in result.items()}
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


def documented(name: str) -> None:
    """Fail, as a module that documents the action of its name and does nothing itself."""

    def refuse(_module: AnsibleModule) -> dict[str, Any]:
        raise NO_ACTION(name=name)

    run(refuse, STEPS[name].arguments)
