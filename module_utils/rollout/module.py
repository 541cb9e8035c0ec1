"""The frame of every module: its errors become one sentence, caught once."""

from __future__ import annotations

import traceback
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rollout.errors import RolloutError


def run(verb: Callable[[AnsibleModule], dict[str, Any]], arguments: dict[str, Any], **options: Any) -> None:
    """Make the module, run ``verb`` on it and leave with what it returns or with its sentence."""
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True, **options)
    try:
        result = verb(module)
    except RolloutError as error:
        module.fail_json(msg=str(error), **error.facts)
    except OSError as error:
        module.fail_json(msg=f"{error.strerror or error} ({error.filename or 'no file'}).")
    except Exception as error:  # whatever it is, the operator reads a sentence, and -vvv the rest
        module.fail_json(
            msg=f"Unexpected {type(error).__name__}: {error}. This is a defect of the rollout; run again with -vvv.",
            exception=traceback.format_exc() if module._verbosity > 2 else None,
        )
    module.exit_json(**result)


# How every module names the state directory and the application.
STORE = {
    "root": {"type": "path", "required": True},
    "application": {"type": "str", "required": True},
}
