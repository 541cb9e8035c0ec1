"""Callback: shows the last screen of a playbook as the very last thing, keeps stdout for a document, and hears the times."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any, Mapping, Optional, TextIO

import ansible.module_utils
from ansible import constants, context
from ansible.plugins.callback import CallbackBase
from ansible.utils.vars import load_extra_vars

# The decisions live beside the modules.
ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.rollout.controller import broken, interrupted, owner, playbooks, results, signals, terminal
from ansible.module_utils.rollout.controller.report import document as run_document
from ansible.module_utils.rollout.controller.report import write
from ansible.module_utils.rollout.controller.report.times import Times
from ansible.module_utils.rollout.controller.screens import last, steps
from ansible.module_utils.rollout.domain import verdict
from ansible.module_utils.rollout.domain.printable import printable

DOCUMENTATION = """
name: rollout
type: aggregate
short_description: The last screen of a run as the very last thing
description:
  - What the action C(show) or C(run_report) hands over is printed after the recap; the plan at once.
  - With C(-e format=json) that text is a document for a program, and stdout is kept for it alone; what people read goes to
    stderr.
  - A run that Ansible ends early, or that is interrupted, has its verdict and its report from here; every other one writes its
    report itself, with the times that are noted here.
  - Such a run ends by SIGTERM, and by SIGHUP where that is not ignored, as by Ctrl-C.
"""

# In these, or in no wave, nothing that runs is changed.
UNTOUCHED = (None, "stage", "settle")


class CallbackModule(CallbackBase):
    """Keeps the last screen until the playbook has ended, and the times of a run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "rollout"
    # A list of callbacks of the operator's own does not leave it out.
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self) -> None:
        super().__init__()
        terminal.guard(self._display)
        self._verb = ""
        self._told, self._process = False, os.getpid()
        self._stdout: Optional[TextIO] = None
        self._aside = False
        self._ending: list[Any] = []
        self._begin()

    def _begin(self) -> None:
        """Know nothing yet of a run: a playbook may have several, and a command several playbooks."""
        self._play: Any = None
        self._screen = self._run = self._release = ""
        self._lost: list[str] = []
        self._errors: dict[str, str] = {}
        self._touched = False
        self._times = Times.heard = Times()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Keep stdout for a document, and be there when a run is interrupted."""
        self._begin()
        self._told = False
        name, typed = playbooks.own(playbook._file_name), load_extra_vars(playbook._loader)
        self._aside = playbooks.document(typed, constants.DEFAULT_STDOUT_CALLBACK)
        if name in playbooks.WATCH and typed.get("format") == "json":
            sys.stdout.flush()
            self._stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
            os.dup2(2, 1)
        self._verb = playbooks.verb(name)
        if name:
            # Ansible has nothing to say to someone who interrupts it, and of a broken file it says too little.
            self._ending = terminal.ending(self._display)
            atexit.register(self._interrupted)
        if self._verb:
            signals.interrupt()

    def _interrupted(self) -> None:
        if self._told or not self._play or os.getpid() != self._process:
            return
        self._told = True
        fault = next((broken.sentence(error) for error in self._ending if isinstance(error, BaseException)), "")
        # One that has its screen has its verdict: what was interrupted is that others are told.
        if not self._screen and fault and self._verb:
            self._end_early({"": fault})
        elif not self._screen and fault:
            self._screen = fault
        elif not self._screen and self._verb:
            self._interrupt()
        # The terminal may be what went away.
        with contextlib.suppress(OSError):
            self._tell()

    def _interrupt(self) -> None:
        safe = _check() or not (self._touched or self._times.wave not in UNTOUCHED)
        now = (
            verdict.UNTOUCHED
            if safe
            else "what runs now, ansible-playbook status.yml says. A host that was switched goes on with the next run, or back "
            "by itself when its guard's time is over"
        )
        self._screen = f"{self._verb.upper()} INTERRUPTED: {now}."
        # One that had not begun has no id, and did nothing.
        if self._run:
            if not _check():
                self._screen += f" {self._give_back()}"
            self._report(run_document.interrupted(self._run, self._verb, _check(), self._release, self._screen, owner.who()))

    def _end_early(self, errors: Mapping[str, str]) -> None:
        self._screen = last.ended_early(self._verb, errors, self._touched)
        # Of one that touched something only the hosts could say how it ended.
        if not self._touched:
            run = time.strftime("%Y%m%dT%H%M%SZ-none", time.gmtime(self._times.started))
            self._report(run_document.ended_early(run, self._verb, _check(), errors, owner.who()))

    def _give_back(self) -> str:
        return interrupted.give_back(sys.argv, next(iter(context.CLIARGS.get("args") or ()), None), self._run)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A run ends where the next one begins."""
        if self._screen and play.get_name() in run_document.FIRST:
            self._tell()
            self._begin()
        # Before it nothing has begun that could be interrupted.
        self._play = self._play if play.get_name() == playbooks.KNOW else play
        self._times.play(play.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        """Take what a task hands over."""
        content, action = result.result, result.task.action
        self._done(result)
        if action in playbooks.SHOWN and content.get("at_once"):
            self._print(content["msg"])
        elif action in playbooks.SHOWN:
            self._screen = str(content["msg"])
        if action == "release_info":
            self._release = str(content.get("release") or "")
        # Of our own tasks alone: a host's answer may hold facts too.
        run = content.get("ansible_facts", {}).get("rollout_run") if action in constants._ACTION_SET_FACT else None
        if run_document.is_run(run):
            self._run = str(run)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note what a step did before it failed, and why."""
        self._done(result)
        if not ignore_errors:
            content = result.result
            given = results.variables(self._play, result.host, content)
            self._errors.setdefault(result.host.get_name(), results.sentence(content, given))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Remember a lost host: a run that loses all of them never reaches its report."""
        self._done(result)
        self._lost.append(result.host.get_name())
        message = str(result.result.get("msg") or "it became unreachable")
        self._errors.setdefault(result.host.get_name(), message)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The playbook's only run ends here, or its last one."""
        self._told = True
        if self._stdout and self._screen:
            with self._stdout as out:
                print(printable(self._screen), file=out)
            return
        if not self._screen and self._verb and self._errors:
            self._end_early(self._errors)
        elif not self._screen and self._lost:
            self._screen = (
                f"Unreachable: {', '.join(dict.fromkeys(self._lost))}. Ansible's message above says why; "
                "then: ansible-playbook status.yml"
            )
        self._tell()

    def _tell(self) -> None:
        if self._screen:
            self._print("\n" + self._screen)

    def _report(self, document: dict[str, Any]) -> None:
        """The report of a run that did not come to write it itself."""
        place = write.write({**document, **self._times.known()})
        self._screen = "\n\n".join(part for part in (self._screen, place) if part)

    def _print(self, text: str) -> None:
        fitted = steps.wrapped(text, self._display.columns) if sys.stdout.isatty() else text
        self._display.display(fitted, stderr=self._aside)

    def _done(self, result: Any) -> None:
        # A step that is cut off says nothing of what it did.
        if self._times.wave not in UNTOUCHED and not _check():
            self._touched = True
        self._times.step(result.host.get_name(), result.result)

    # One of a loop has nothing more to hand over.
    v2_runner_item_on_ok = v2_runner_item_on_failed = _done


def _check() -> bool:
    return bool(context.CLIARGS.get("check"))
