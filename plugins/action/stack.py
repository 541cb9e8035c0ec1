"""Runs the module of its own name (stack, release) and tells meanwhile what the host is at."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shlex
import socket
import threading
from typing import Any, Optional

from ansible.plugins.action import ActionBase

# With the look itself: once a second at least.
POLL_S = 0.7
# A host that does not answer three times is left alone; the module's own connection says what is wrong.
MISSES = 3


class ActionModule(ActionBase):
    """The module, and beside it a look at its progress once a second."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """As any module runs; where nobody listens, nothing more than that."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        listener = os.environ.get("ROLLOUT_PROGRESS")
        host = str((task_vars or {}).get("inventory_hostname"))
        ended = threading.Event()
        # As a daemon: a host that hangs must not keep the run from its end.
        watcher = threading.Thread(target=self._watch, args=(listener, host, ended), daemon=True)
        if listener and not self._task.check_mode:
            watcher.start()
        try:
            result.update(self._execute_module(task_vars=task_vars))
        finally:
            ended.set()
        return result

    def _watch(self, listener: str, host: str, ended: threading.Event) -> None:
        root = str(self._task.args.get("root"))
        home = '"$HOME"/' if root.startswith("~/") else ""
        file = home + shlex.quote(f"{root.removeprefix('~/')}/progress.json")
        look = self._beside()
        misses = 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            while misses < MISSES and not ended.wait(POLL_S):
                try:
                    said = look._low_level_execute_command(f"cat {file}", sudoable=True)
                    facts = json.loads(said["stdout"]) if said["rc"] == 0 else {}
                    ours = facts.get("run") == self._task.args.get("run")
                except Exception:  # whatever a connection may raise: it is only a look
                    misses += 1
                    continue
                if ours and not ended.is_set():
                    with contextlib.suppress(OSError):
                        sender.sendto(json.dumps({"host": host, **facts}).encode(), listener)

    def _beside(self) -> ActionModule:
        """Another one of this, whose connection and become may be used while the module runs."""
        other = copy.copy(self)
        other._connection = copy.copy(self._connection)
        if self._connection.become:
            other._connection.set_become_plugin(copy.copy(self._connection.become))
        return other
