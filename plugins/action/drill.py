"""The action drill: documented in library/drill.py."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.rollout.agent import door
from ansible.module_utils.rollout.controller.step_action import StepAction


class ActionModule(StepAction):
    """Takes its step from its name."""

    door = door
