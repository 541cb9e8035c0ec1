# What the modules use of Ansible, so that mypy can be strict about them.
from typing import Any, NoReturn

class AnsibleModule:
    params: dict[str, Any]
    check_mode: bool
    _verbosity: int
    def __init__(self, argument_spec: dict[str, Any], supports_check_mode: bool = ..., **options: Any) -> None: ...
    def fail_json(self, msg: str, **facts: Any) -> NoReturn: ...
    def exit_json(self, **result: Any) -> NoReturn: ...
