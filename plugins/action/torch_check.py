"""The action torch_check: documented in library/torch_check.py."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.rollout.controller.module_action import ModuleAction


class ActionModule(ModuleAction):
    """Takes its module from its name."""
