"""Callback of the growth benchmark: how long each task of each play took, and what of it ran on how many hosts."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: growth_tasks
type: aggregate
short_description: Times of tasks, as JSON lines
description:
  - Writes a line for each task into the file that the environment variable GROWTH_TASKS names.
"""


class CallbackModule(CallbackBase):
    """A task lasts until the next one begins: the controller's own work between them belongs to it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "growth_tasks"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._tasks: list[dict[str, Any]] = []
        self._play, self._since = "", time.monotonic()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """What comes before the first task is a row of its own."""
        self._play = play.get_name()
        self._begin("(play starts)", "")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Close the one before."""
        self._begin(task.get_name(), str(task.action))

    def v2_runner_on_ok(self, result: Any) -> None:
        """A host has done it."""
        self._tasks[-1]["done"] += 1

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A host has tried it."""
        self._tasks[-1]["done"] += 1

    def v2_runner_on_skipped(self, result: Any) -> None:
        """A host has found that it need not."""
        self._tasks[-1]["skipped"] += 1

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write them all."""
        self._begin("(end)", "")
        lines = "".join(json.dumps(task) + "\n" for task in self._tasks[:-1])
        Path(os.environ["GROWTH_TASKS"]).write_text(lines, encoding="utf-8")

    def _begin(self, task: str, action: str) -> None:
        now = time.monotonic()
        if self._tasks:
            self._tasks[-1]["wall"] = round(now - self._since, 3)
        self._since = now
        self._tasks.append({"play": self._play, "task": task, "action": action, "done": 0, "skipped": 0})
