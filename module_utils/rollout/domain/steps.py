"""The steps of a run on a host: what each takes. The modules of the same names document them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from ansible.module_utils.rollout.domain.data import WAYS
from ansible.module_utils.rollout.domain.gate import CHECKPOINT, MODES

# How every step names the state directory and the application.
STORE: dict[str, dict[str, Any]] = {
    "root": {"type": "str", "required": True},
    "application": {"type": "str", "required": True},
}


@dataclass(frozen=True)
class Step:
    """The arguments of a step: its argument spec as Ansible writes it, and the options that others require."""

    arguments: dict[str, dict[str, Any]]
    required_if: list[tuple[Any, ...]] = field(default_factory=list)


STEPS = {
    "lock": Step(
        {
            **STORE,
            "state": {"type": "str", "choices": ["held", "renewed", "released"], "default": "held"},
            "run": {"type": "str", "required": True},
            "observe": {"type": "bool", "default": False},
            "owner": {"type": "dict", "default": {}},
            "ttl": {"type": "float", "default": 900},
            "wait": {"type": "float", "default": 0},
            "force": {"type": "bool", "default": False},
        },
    ),
    "release": Step(
        {
            **STORE,
            "state": {"type": "str", "choices": ["read", "staged", "proven", "stable", "abandoned"], "default": "staged"},
            "run": {"type": "str", "required": True},
            "name": {"type": "str", "default": ""},
            "release": {"type": "str"},
            "images": {"type": "dict", "default": {}},
            "stacks": {"type": "dict", "default": {}, "no_log": True},
            # For `read`; it is not sent to a host.
            "specs": {"type": "dict", "default": {}, "no_log": True},
            "replace": {"type": "list", "elements": "str", "default": []},
            "allow_short_secrets": {"type": "bool", "default": False},
            "adopt": {"type": "bool", "default": False},
            "action": {"type": "str", "choices": ["rollout", "rollback"], "default": "rollout"},
            "keep": {"type": "int", "default": 5},
            "prove": {"type": "bool", "default": False},
            "calm": {"type": "bool", "default": False},
            "watch": {"type": "float", "default": 0},
            "unlock": {"type": "bool", "default": False},
            "behind": {"type": "list", "elements": "str", "default": []},
            "registry": {"type": "str", "default": ""},
            "registries": {"type": "dict", "default": {}, "no_log": True},
            "username": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "torch_timeout": {"type": "float", "default": 60},
            "present": {"type": "bool", "default": False},
            "confirm_timeout": {"type": "float", "default": 0},
            "drain": {"type": "str", "choices": list(MODES), "default": CHECKPOINT},
            "first": {"type": "list", "elements": "str", "default": []},
            "rerun": {"type": "list", "elements": "str", "default": []},
            "done": {"type": "list", "elements": "str", "default": []},
            "data": {"type": "str", "choices": list(WAYS), "default": ""},
            "backup": {"type": "str", "default": ""},
        },
        [("state", "stable", ("name",)), ("state", "proven", ("name",))],
    ),
    "backup": Step(
        {
            **STORE,
            "state": {"type": "str", "choices": ["taken"], "default": "taken"},
            "run": {"type": "str", "required": True},
            "stacks": {"type": "list", "elements": "str", "required": True},
            "services": {"type": "list", "elements": "str", "default": []},
            "confirm_timeout": {"type": "float", "default": 0},
        },
    ),
    "stack": Step(
        {
            **STORE,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "stack": {"type": "list", "elements": "str", "required": True},
            "earlier": {"type": "list", "elements": "dict", "default": []},
            "name": {"type": "str", "required": True},
            "run": {"type": "str", "required": True},
            "wait": {"type": "bool", "default": True},
            "ttl": {"type": "float", "default": 0},
            "confirm_timeout": {"type": "float", "default": 0},
            "together": {"type": "bool", "default": True},
            "replace": {"type": "list", "elements": "str", "default": []},
            "gpu_release_timeout": {"type": "float", "default": 60},
            "torch_timeout": {"type": "float", "default": 60},
            "drain": {"type": "str", "choices": list(MODES), "default": CHECKPOINT},
            "drain_timeout": {"type": "float", "default": 300},
        },
    ),
    "job": Step(
        {
            **STORE,
            "state": {
                "type": "str",
                "choices": ["quiesced", "restored", "saved", "still", "before", "passed", "after", "back"],
                "default": "before",
            },
            "run": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "stacks": {"type": "list", "elements": "str", "required": True},
            "first": {"type": "list", "elements": "str", "default": []},
            "rerun": {"type": "list", "elements": "str", "default": []},
            "done": {"type": "list", "elements": "str", "default": []},
            "jobs": {"type": "list", "elements": "str", "default": []},
            "data": {"type": "str", "choices": list(WAYS), "default": ""},
            "backup": {"type": "str", "default": ""},
            "ttl": {"type": "float", "default": 0},
            "confirm_timeout": {"type": "float", "default": 0},
            "drain": {"type": "str", "choices": list(MODES), "default": CHECKPOINT},
            "drain_timeout": {"type": "float", "default": 300},
        },
    ),
    "drill": Step(
        {
            **STORE,
            "state": {"type": "str", "choices": ["proven", "restored"], "default": "proven"},
            "run": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "stack": {"type": "list", "elements": "str", "required": True},
            "registry": {"type": "str", "default": ""},
            "registries": {"type": "dict", "default": {}, "no_log": True},
            "username": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "confirm_timeout": {"type": "float", "default": 0},
            "drain": {"type": "str", "choices": list(MODES), "default": CHECKPOINT},
        },
    ),
}


def secrets(params: Mapping[str, Any]) -> list[Any]:
    """The secrets that a step is given: a login's, and those of stacks."""
    given = params.get("stacks") or {}
    # A job is told their names alone.
    stacks = given.values() if isinstance(given, Mapping) else ()
    known = [stack.get(key) for stack in stacks if isinstance(stack, Mapping) for key in ("secrets", "hidden")]
    logins = [login.get("password") for login in (params.get("registries") or {}).values()]
    return [params.get("password"), *logins, *known]
