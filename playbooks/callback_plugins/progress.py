"""The stdout callback of rollout, rollback and status: a line for each step of each host, and what is under way."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Optional

import ansible.module_utils
from ansible import context
from ansible.plugins.callback.default import CallbackModule as Default

# The decisions live beside the modules.
ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.rollout.controller import playbooks, results
from ansible.module_utils.rollout.controller.screens import last, steps
from ansible.module_utils.rollout.domain.printable import inline

DOCUMENTATION = """
name: progress
type: stdout
short_description: One line for each step of each host, and what is under way
description:
  - For the playbooks of this project; with C(-v), and for every other playbook, it is Ansible's own.
  - C(ANSIBLE_STDOUT_CALLBACK=default) gets Ansible's own back altogether.
extends_documentation_fragment: [default_callback]
"""

# What fails without failing the run at once, because the run has a verdict for it.
TOLD = ("release", "stack", "job", "drill", "backup")
# Seconds between two lines about the same step, where lines cannot be written over.
LOG_S = 10.0


class CallbackModule(Default):
    """Ansible's own, until a playbook of ours begins without C(-v)."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "progress"

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Be calm for our own playbooks."""
        name = playbooks.own(playbook._file_name)
        if not name or self._display.verbosity:
            super().v2_playbook_on_start(playbook)
            return
        calm = Calm(self._display, name)
        for method in (one for one in dir(calm) if one.startswith("v2_")):
            setattr(self, method, getattr(calm, method))


class Calm:
    """Steps as they end, and meanwhile what each host is at."""

    def __init__(self, display: Any, playbook: str) -> None:
        self._display = display
        self._check = bool(context.CLIARGS.get("check"))
        # The callback `rollout` has its last screen, whatever it ends by.
        self._told = playbook in playbooks.WHOLE
        self._play: Any = None
        self._began: dict[tuple[str, str], float] = {}
        self._errors: dict[str, str] = {}
        self._screen = False
        self.live = Live(display, sys.stdout.isatty())

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Keep the wave's name until there is a line below it."""
        self._play = play
        self.live.header = play.get_name()

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Note when a step begins."""
        self._began[host.get_name(), task._uuid] = time.monotonic()

    def v2_runner_on_ok(self, result: Any) -> None:
        """A step has ended well."""
        content = result.result
        if result.task.action in playbooks.SHOWN and not content.get("at_once"):
            self._screen = True
        if not content.get("results"):
            self._step(result)
        self._over(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """So has one of a loop."""
        self._step(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A step has failed: its first words now, the whole at the end."""
        # A step that brings a release on: the run goes on without it, the operator reads of it all the same.
        told = not ignore_errors or result.task.action in TOLD
        if told and not result.result.get("results"):
            self.v2_runner_item_on_failed(result)
        self._over(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """So has one of a loop."""
        content, host = result.result, result.host.get_name()
        given = results.variables(self._play, result.host, content)
        message = results.sentence({**content, "msg": content.get("msg") or content.get("stderr")}, given)
        # The end of a run says its verdict itself.
        if not self._screen:
            self._errors.setdefault(host, message)
            # Whole at the end; a line will do here.
            first = steps.cut(f"FAILED: {message.splitlines()[0]}", max(20, min(self._display.columns, 80) - len(host) - 16))
            self._line(host, first, result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host is lost."""
        host = result.host.get_name()
        self._errors.setdefault(host, str(result.result.get("msg") or "it could not be reached"))
        self._line(host, "lost: it could not be reached", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Nothing was done: nothing to tell."""
        self._over(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """What ended the run before it could tell its own verdict, whole and once."""
        self.live.close()
        if not self._screen and not self._told:
            for host, error in self._errors.items():
                text = f"\n{host}: {last.below(error)}"
                self._display.display(steps.wrapped(text, self._display.columns) if sys.stdout.isatty() else text)

    def _nothing(self, *_of_ansible: Any, **_more: Any) -> None:
        """Hosts' own lines and the plan say it, or it is of no interest to the operator."""

    v2_playbook_on_task_start = v2_playbook_on_handler_task_start = _nothing
    v2_playbook_on_no_hosts_matched = v2_playbook_on_no_hosts_remaining = v2_playbook_on_include = _nothing
    v2_runner_item_on_skipped = v2_on_file_diff = _nothing

    def _step(self, result: Any) -> None:
        # What would be done, the plan has said.
        if self._check:
            return
        for line, seconds in steps.done_lines(result.task.action, result.result):
            self._line(result.host.get_name(), line, result, seconds)

    def _over(self, result: Any) -> None:
        # Also of a step that had nothing to tell at its end.
        self.live.over(result.host.get_name())

    def _line(self, host: str, line: str, result: Any, seconds: Optional[float] = None) -> None:
        began = self._began.get((host, result.task._uuid))
        if seconds is None and began:
            seconds = time.monotonic() - began
        # Durations below 50 ms are left out.
        took = f"{seconds:7.1f} s" if seconds and seconds >= 0.05 else ""
        width = min(self._display.columns, 80) - 1
        # The next of a loop begins here.
        self._began[host, result.task._uuid] = time.monotonic()
        self.live.ended(host, steps.step(host, inline(line), took, width, sys.stdout.isatty()))


class Live:
    """What hosts are at: written over on a terminal, as a line now and then in a log.

    Steps send it to a socket, whose path they find in the environment.
    """

    def __init__(self, display: Any, terminal: bool) -> None:
        self._display, self._terminal = display, terminal
        self._lock = threading.Lock()
        self._lines: dict[str, str] = {}
        self._drawn = 0
        self._closed = False
        self._rates: dict[tuple[str, str], steps.Rate] = {}
        self._logged: dict[str, float] = {}
        self.header = ""
        self._directory = ""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._directory = tempfile.mkdtemp(prefix="rollout-")
            self._socket.bind(f"{self._directory}/progress")
        except OSError:
            # A full disk, or a path longer than a socket's may be: steps are told as they end, and nothing between.
            self.close()
            return
        os.environ["ROLLOUT_PROGRESS"] = f"{self._directory}/progress"
        # A run that is refused or interrupted never gets to its statistics.
        atexit.register(self.close)
        threading.Thread(target=self._listen, daemon=True).start()

    def ended(self, host: str, line: str) -> None:
        """A host has done a step: a line that stays."""
        with self._lock:
            self._erase()
            self._lines.pop(host, None)
            self._head()
            self._display.display(line.rstrip())
            self._draw()

    def over(self, host: str) -> None:
        """A host's step has ended: what it was at is no more."""
        with self._lock:
            if host in self._lines:
                self._erase()
                del self._lines[host]
                self._draw()

    def close(self) -> None:
        """Leave nothing behind."""
        os.environ.pop("ROLLOUT_PROGRESS", None)
        with self._lock:
            self._closed = True
            self._erase()
            self._lines.clear()
        # Without it a read that is under way would go on for ever.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _listen(self) -> None:
        # A closed socket ends it; what cannot be read is a look that was lost.
        while True:
            try:
                datagram = self._socket.recv(2**16)
            except OSError:
                return
            with contextlib.suppress(LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
                self._take(json.loads(datagram))

    def _take(self, facts: dict[str, Any]) -> None:
        host, now = str(facts["host"]), time.monotonic()
        rate = None
        if facts.get("step") == "pull" and facts.get("done"):
            rate = self._rates.setdefault((host, str(facts["what"])), steps.Rate()).add(now, int(facts["done"]))
        line = inline(f"  {host}  … {steps.now_at(facts, rate)}")
        with self._lock:
            if self._closed:
                return
            if self._terminal:
                self._erase()
                self._head()
                self._lines[host] = steps.cut(line, self._display.columns - 1)
                self._draw()
            elif now - self._logged.get(host, float("-inf")) >= LOG_S:
                self._logged[host] = now
                self._head()
                self._display.display(line)

    def _head(self) -> None:
        if self.header:
            self._display.display(self.header)
            self.header = ""

    def _erase(self) -> None:
        if self._drawn:
            sys.stdout.write("\r\x1b[2K" + "\x1b[1A\x1b[2K" * (self._drawn - 1))
            sys.stdout.flush()
        self._drawn = 0

    def _draw(self) -> None:
        if self._lines:
            sys.stdout.write("\n".join(self._lines.values()))
            sys.stdout.flush()
            self._drawn = len(self._lines)
