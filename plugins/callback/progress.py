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
_HERE = str(Path(__file__).resolve().parents[2] / "module_utils")
if _HERE not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_HERE)

from ansible.module_utils.rollout import progress, results

DOCUMENTATION = """
name: progress
type: stdout
short_description: One line for each step of each host, and what is under way
description:
  - For the playbooks of this project; with C(-v), and for every other playbook, it is Ansible's own.
  - C(ANSIBLE_STDOUT_CALLBACK=default) gets Ansible's own back altogether.
extends_documentation_fragment: [default_callback]
"""

OURS = ("rollout.yml", "rollback.yml", "status.yml", "gpu_check.yml", "unlock.yml")
# Whose last screen, whatever it ends by, the callback `rollout` has.
WHOLE = ("rollout.yml", "rollback.yml")
# What fails without failing the run at once, because the run has a verdict for it.
TOLD = ("release", "stack")
# Seconds between two lines about the same step, where lines cannot be written over.
LOG_S = 10.0


class CallbackModule(Default):
    """Steps as they end, and meanwhile what each host is at."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "progress"

    def __init__(self) -> None:
        super().__init__()
        self._calm = False
        self._check = False
        self._told = False
        self._began: dict[tuple[str, str], float] = {}
        self._errors: dict[str, str] = {}
        self._screen = False
        self._live: Optional[Live] = None

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Be calm for our own playbooks, and listen to what hosts say of themselves."""
        self._calm = Path(playbook._file_name).name in OURS and self._display.verbosity == 0
        self._check = bool(context.CLIARGS.get("check"))
        self._told = Path(playbook._file_name).name in WHOLE
        if not self._calm:
            super().v2_playbook_on_start(playbook)
            return
        self._live = Live(self._display, sys.stdout.isatty())

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Keep the wave's name until there is a line below it."""
        self._play = play
        if not self._calm:
            super().v2_playbook_on_play_start(play)
            return
        if self._live:
            self._live.header = play.get_name()

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Note when a step begins."""
        self._began[host.get_name(), task._uuid] = time.monotonic()
        if not self._calm:
            super().v2_runner_on_start(host, task)

    def _task_start(self, task: Any, prefix: Optional[str] = None) -> None:
        if not self._calm:
            super()._task_start(task, prefix)

    def v2_runner_on_ok(self, result: Any) -> None:
        """A step has ended well."""
        if not self._calm:
            super().v2_runner_on_ok(result)
            return
        facts = _content(result).get("ansible_facts")
        self._screen = self._screen or bool(isinstance(facts, dict) and ({"rollout_screen", "rollout_report"} & set(facts)))
        if not _content(result).get("results"):
            self._step(result)
        self._over(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """So has one of a loop."""
        if self._calm:
            self._step(result)
        else:
            super().v2_runner_item_on_ok(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A step has failed: its first words now, the whole at the end."""
        if not self._calm:
            super().v2_runner_on_failed(result, ignore_errors)
            return
        # A step that brings a release on: the run goes on without it, the operator reads of it all the same.
        told = not ignore_errors or str(result.task.action) in TOLD
        if told and not _content(result).get("results"):
            self._failed(result)
        self._over(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """So has one of a loop."""
        if self._calm:
            self._failed(result)
        else:
            super().v2_runner_item_on_failed(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host is lost."""
        if self._calm:
            self._errors.setdefault(_host(result), str(_content(result).get("msg") or "it could not be reached"))
            self._line(_host(result), "lost: it could not be reached", result)
        else:
            super().v2_runner_on_unreachable(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Nothing was done: nothing to tell."""
        if self._calm:
            self._over(result)
        else:
            super().v2_runner_on_skipped(result)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        """Nothing was done: nothing to tell."""
        if not self._calm:
            super().v2_runner_item_on_skipped(result)

    def v2_on_file_diff(self, result: Any) -> None:
        """The plan shows the differences."""
        if not self._calm:
            super().v2_on_file_diff(result)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """A wave that the inventory has no hosts for is none."""
        if not self._calm:
            super().v2_playbook_on_no_hosts_matched()

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        """The hosts' own lines have said it."""
        if not self._calm:
            super().v2_playbook_on_no_hosts_remaining()

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Of no interest to the operator."""
        if not self._calm:
            super().v2_playbook_on_include(included_file)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """What ended the run before it could tell its own verdict, whole and once."""
        if self._live:
            self._live.close()
        if not self._calm:
            super().v2_playbook_on_stats(stats)
        elif not self._screen and not self._told:
            for host, error in self._errors.items():
                text = f"\n{host}: {error}"
                self._display.display(progress.wrapped(text, self._display.columns) if sys.stdout.isatty() else text)

    def _step(self, result: Any) -> None:
        # What would be done, the plan has said.
        if self._check:
            return
        for line, seconds in progress.done_lines(str(result.task.action), _content(result)):
            self._line(_host(result), line, result, seconds)

    def _over(self, result: Any) -> None:
        # Also of a step that had nothing to tell at its end.
        if self._live:
            self._live.over(_host(result))

    def _failed(self, result: Any) -> None:
        content, host = _content(result), _host(result)
        given = results.variables(self._play, _of(result), content)
        message = results.sentence({**content, "msg": content.get("msg") or content.get("stderr")}, given)
        # The end of a run says its verdict itself.
        if not self._screen:
            self._errors.setdefault(host, message)
            # Whole at the end; a line will do here.
            first = progress.cut(f"FAILED: {message.splitlines()[0]}", max(20, min(self._display.columns, 80) - len(host) - 16))
            self._line(host, first, result)

    def _line(self, host: str, line: str, result: Any, seconds: Optional[float] = None) -> None:
        began = self._began.get((host, result.task._uuid))
        if seconds is None and began:
            seconds = time.monotonic() - began
        # Nobody wants to read of nothing.
        took = f"{seconds:7.1f} s" if seconds and seconds >= 0.05 else ""
        width = min(self._display.columns, 80) - 1
        # The next of a loop begins here.
        self._began[host, result.task._uuid] = time.monotonic()
        if self._live:
            self._live.ended(host, progress.step(host, line, took, width, sys.stdout.isatty()))


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
        self._rates: dict[tuple[str, str], progress.Rate] = {}
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
            rate = self._rates.setdefault((host, str(facts["what"])), progress.Rate()).add(now, int(facts["done"]))
        line = progress.printable(f"  {host}  … {progress.now_at(facts, rate)}")
        with self._lock:
            if self._closed:
                return
            if self._terminal:
                self._erase()
                self._head()
                self._lines[host] = progress.cut(line, self._display.columns - 1)
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


def _content(result: Any) -> dict[str, Any]:
    # Ansible 2.19 and later have it public.
    return dict(result.result if hasattr(result, "result") else result._result)


def _of(result: Any) -> Any:
    return result.host if hasattr(result, "host") else result._host


def _host(result: Any) -> str:
    return str(_of(result).get_name())
