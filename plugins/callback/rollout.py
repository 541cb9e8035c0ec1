"""Callback: shows the plan of a run at once, its last screen as the very last thing, and keeps a report of it."""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Mapping, NoReturn, Optional, TextIO

import ansible.module_utils
from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, test_loader
from ansible.utils.vars import load_extra_vars

# The decisions live beside the modules.
_ROOT = Path(__file__).resolve().parents[2]
_SPECS = _ROOT / "roles/fleet/meta/argument_specs.yml"
if str(_ROOT / "module_utils") not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(str(_ROOT / "module_utils"))

from ansible.module_utils.rollout import (
    agent,
    inventory,
    machine,
    preview,
    progress,
    report,
    results,
    run_document,
    run_page,
    target,
)
from ansible.module_utils.rollout.files import write_atomic

DOCUMENTATION = """
name: rollout
type: aggregate
short_description: Plan, last screen and report of a run
description:
  - A task that returns the fact C(rollout_screen) hands over the text; it is printed after the recap. C(rollout_report) hands
    over that of a run with the run's document.
  - What hosts have previewed is shown as the plan as soon as all of them have, and before any of them goes on.
  - With C(-e format=json) that text is a document for a program, and stdout is kept for it alone; what people read goes to
    stderr.
  - Each run of rollout.yml and rollback.yml, also in check mode, when it fails and when it is interrupted, leaves a report in
    reports/, or in the directory that the environment variable ROLLOUT_REPORTS names; empty, it leaves none.
  - Such a run ends by SIGTERM, and by SIGHUP where that is not ignored, as by Ctrl-C.
"""

# Seconds into a wave after which the report is prepared: its templates take a while, and nobody waits for it then.
AHEAD_S = 0.5
# What must run whole or not at all.
WHOLE = ("rollout.yml", "rollback.yml")
# Reports that the list of runs has, the newest ones: each is read for it at the end of a run.
LISTED = 200
# What has a document for programs.
WATCH = ("status.yml", "gpu_check.yml")
# What the other playbooks take.
TAKEN = {**dict.fromkeys(WATCH, ("format", "strict")), "unlock.yml": ("force",)}
# In these, or in no wave, nothing that runs is changed.
UNTOUCHED = (None, "stage", "settle")


class CallbackModule(CallbackBase):
    """Shows the plan at once, and keeps screen and report until the playbook has ended."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "rollout"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._verb = self._ours = ""
        self._play: Any = None
        self._plays = 0
        self._told, self._process = False, os.getpid()
        self._stdout: Optional[TextIO] = None
        self._ahead: Optional[threading.Timer] = None
        self._begin()
        # What every worker process would load for itself again: they are forked from this one.
        self._warm = (list(filter_loader.all()), list(test_loader.all()), agent, target)

    def _begin(self) -> None:
        """Know nothing yet of a run: a playbook may have several."""
        self._screen = self._tag = self._run = self._release = ""
        self._lost: list[str] = []
        # Of the present task: its hosts in their order, what they previewed, and whether one of them refused.
        self._hosts: list[str] = []
        self._previews: dict[str, dict[str, Any]] = {}
        self._refused = False
        self._errors: dict[str, str] = {}
        self._touched = False
        self._document: Optional[dict[str, Any]] = None
        self._events: list[dict[str, Any]] = []
        self._waves: list[dict[str, Any]] = []
        self._wave: Optional[str] = None
        self._started, self._clock = time.time(), time.monotonic()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Refuse to run a part: it would leave out the lock, the gates or the confirmation. Keep stdout for a document."""
        # Workers are forked from this process: a collection there would copy every page that it looks at.
        gc.freeze()
        name = Path(playbook._file_name).name
        self._ours = name if name in (*WHOLE, *TAKEN) else ""
        typed = load_extra_vars(playbook._loader)
        if name in WATCH and typed.get("format") == "json":
            sys.stdout.flush()
            self._stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
            os.dup2(2, 1)
        if name not in WHOLE:
            if self._ours and (wrong := inventory.mistyped(typed, _settings(typed, playbook._loader), TAKEN[name])):
                self._refuse(wrong)
            return
        part = partial(context.CLIARGS)
        self._verb = name.removesuffix(".yml")
        if part:
            part = (
                f"{part} would run a part of {name}, and leave out the lock, a gate or the confirmation: run it whole. For a "
                "part of the fleet there is --limit."
            )
        if part or (part := inventory.mistyped(typed, _settings(typed, playbook._loader))):
            self._refuse(part)
        # Ansible has nothing to say to whoever interrupts it.
        atexit.register(self._interrupted)
        for number in (signal.SIGTERM, signal.SIGHUP):
            # Whoever uses nohup wants the run to go on.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _as_interrupt)

    def _refuse(self, why: str) -> NoReturn:
        head = f"{self._verb.upper()} REFUSED: nothing was touched. " if self._verb else ""
        self._display.display(self._fitted(head + why))
        self._told = True
        raise SystemExit(2)

    def _interrupted(self) -> None:
        if self._told or not self._plays or os.getpid() != self._process:
            return
        if self._document:
            # It has its verdict: what was interrupted is that others are told.
            self._tell()
            return
        safe = _check() or not (self._touched or self._wave not in UNTOUCHED)
        now = (
            report.UNTOUCHED
            if safe
            else "what runs now, ansible-playbook status.yml says. A host that was switched goes on with the next run, or back "
            "by itself when its guard's time is over"
        )
        head = f"{self._verb.upper()} INTERRUPTED: {now}."
        # One that had not begun has no id, and did nothing.
        if self._run:
            self._document = run_document.interrupted(self._run, self._verb, _check(), self._release, head, machine.who())
        screen = "\n\n".join(part for part in (head, self._report()) if part)
        # The terminal may be what went away.
        with contextlib.suppress(OSError):
            self._display.display("\n" + self._fitted(screen))

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Refuse an inventory without hosts, which Ansible takes for success. A later play may be a wave that has none."""
        if self._ours and self._plays == 1:
            given = ", ".join(str(one) for one in context.CLIARGS.get("inventory") or []) or "that ansible.cfg names"
            self._refuse(
                f"The inventory {given} has no host in the groups {', '.join(inventory.WAVES)}: "
                "ansible-inventory --graph, with the same -i, shows what it has."
            )

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A wave ends where the next play begins, and a run where the next one does."""
        self._plays, self._play = self._plays + 1, play
        if self._document and play.get_name() in run_document.FIRST:
            self._tell()
            self._begin()
        now = self._now()
        self._wave = run_document.wave(play.get_name())
        if self._waves and self._waves[-1]["to"] is None:
            self._waves[-1]["to"] = now
        if self._wave:
            self._waves.append({"name": self._wave, "from": now, "to": None, "busy": False})

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Show the plan, once the hosts have previewed it; where one of them refuses, its reason is told instead."""
        found = {} if self._refused else {host: self._previews[host] for host in self._hosts if host in self._previews}
        self._hosts, self._previews, self._refused = [], {}, False
        if found:
            self._display.display(self._fitted(preview.screen(found, bool(context.CLIARGS.get("diff")), self._tag)))

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Hosts answer in any order, and begin in that of the play. While the first ones switch, the report is prepared."""
        self._hosts.append(host.get_name())
        if self._ahead is None and self._wave not in UNTOUCHED:
            # Not at once: Ansible forks a worker for each host now.
            self._ahead = threading.Timer(AHEAD_S, run_page.ready)
            self._ahead.daemon = True
            self._ahead.start()

    def v2_runner_on_ok(self, result: Any) -> None:
        """Take what a task hands over."""
        content = _content(result)
        self._done(result)
        if "preview" in content and _action(result) == "release":
            self._previews[_host(result)] = content
        if _action(result) == "release_info":
            self._tag, self._release = str(content.get("tag") or ""), str(content.get("release") or "")
        facts = content.get("ansible_facts")
        if not isinstance(facts, dict):
            return
        self._run = str(facts.get("rollout_run") or self._run)
        if facts.get("rollout_report"):
            self._document = dict(facts["rollout_report"]["document"])
            self._screen = str(facts["rollout_report"]["screen"])
        if facts.get("rollout_screen"):
            self._screen = str(facts["rollout_screen"])

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Note what a step did when."""
        self._done(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note what a step did before it failed, and why."""
        self._done(result)
        self._refused = True
        if not ignore_errors:
            content = _content(result)
            given = results.variables(self._play, _of(result), content)
            self._errors.setdefault(_host(result), results.sentence(content, given))

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """So of one in a loop."""
        self._done(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Remember a lost host: a run that loses all of them never reaches its report."""
        self._done(result)
        self._lost.append(_host(result))
        self._refused = True
        self._errors.setdefault(_host(result), str(_content(result).get("msg") or "it became unreachable"))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The playbook's only run ends here, or its last one."""
        self._told = True
        # What is left goes with the process: taking it to pieces at the end costs a third of a second.
        gc.freeze()
        if self._stdout and self._screen:
            with self._stdout as out:
                print(self._screen, file=out)
            return
        self._tell()

    def _tell(self) -> None:
        """Print the screen, and write the report."""
        if not self._screen and self._verb and self._errors:
            self._screen = report.ended_early(self._verb, self._errors, self._touched)
        elif not self._screen and self._lost:
            self._screen = (
                f"Unreachable: {', '.join(dict.fromkeys(self._lost))}. Ansible's message above says why; "
                "then: ansible-playbook status.yml"
            )
        place = self._report()
        screen = "\n\n".join(part for part in (self._screen, place) if part)
        if screen:
            self._display.display("\n" + self._fitted(screen))

    def _fitted(self, text: str) -> str:
        return progress.wrapped(text, self._display.columns) if sys.stdout.isatty() else text

    def _done(self, result: Any) -> None:
        content = _content(result)
        # A step that is cut off says nothing of what it did.
        if self._wave not in UNTOUCHED and not _check():
            self._touched = True
        if content.get("phases") and "preview" not in content:
            if self._wave:
                self._waves[-1]["busy"] = True
            self._events += run_document.events(_host(result), self._wave or "", content, self._now())

    def _report(self) -> str:
        reports = Path(os.environ.get("ROLLOUT_REPORTS", _ROOT / "reports"))
        document = self._whole()
        if not document or str(reports) in ("", "."):
            return ""
        directory = reports / document["run"]
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(directory / "report.json", json.dumps(document, indent=1))
            write_atomic(directory / "report.html", run_page.page(document))
            write_atomic(reports / "index.html", run_page.index(_summaries(reports)))
        except OSError as error:
            return f"The report could not be written: {error.strerror} ({error.filename or reports})."
        except Exception as error:  # the verdict must be told whatever becomes of its report
            return f"The report could not be written: {type(error).__name__}: {error}. This is a defect of the rollout."
        here = Path.cwd()
        return f"Report: {directory.relative_to(here) if directory.is_relative_to(here) else directory}/report.html"

    def _whole(self) -> Optional[dict[str, Any]]:
        """The run's document with its times; None where there was no run, or nothing is known of how it ended."""
        document = self._document
        if not document and self._verb and self._errors and not self._touched:
            run = time.strftime("%Y%m%dT%H%M%SZ-none", time.gmtime(self._started))
            document = run_document.ended_early(run, self._verb, _check(), self._errors, machine.who())
        if not document:
            return None
        # Plays in which no host did anything are none.
        waves = [wave for wave in self._waves if wave.pop("busy")]
        return {
            **document,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._started)),
            "seconds": self._now(),
            "waves": [{**wave, "to": self._now() if wave["to"] is None else wave["to"]} for wave in waves],
            "events": self._events,
        }

    def _now(self) -> float:
        return round(time.monotonic() - self._clock, 2)


def _as_interrupt(_number: int, _frame: Any) -> None:
    # Ansible's own handler, which ends its workers first.
    os.kill(os.getpid(), signal.SIGINT)


def _check() -> bool:
    return bool(context.CLIARGS.get("check"))


def _summaries(reports: Path) -> list[dict[str, Any]]:
    found = []
    # By their ids, which begin with the time.
    for file in sorted(reports.glob("*/report.json"), reverse=True)[:LISTED]:
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            found.append({**run_page.summary(document), "run": document["run"]})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # not one of ours, or half of one
    return found


def _content(result: Any) -> dict[str, Any]:
    # Ansible 2.19 and later have it public.
    return dict(result.result if hasattr(result, "result") else result._result)


def _action(result: Any) -> str:
    return str((result.task if hasattr(result, "task") else result._task).action)


def _of(result: Any) -> Any:
    return result.host if hasattr(result, "host") else result._host


def _host(result: Any) -> str:
    return str(_of(result).get_name())


def partial(arguments: Mapping[str, Any]) -> str:
    """The option that would run a part of the playbook; empty where it runs whole."""
    if arguments.get("start_at_task"):
        return "--start-at-task"
    if [tag for tag in arguments.get("tags") or [] if tag != "all"]:
        return "--tags"
    return "--skip-tags" if arguments.get("skip_tags") else ""


def _settings(typed: Mapping[str, Any], loader: Any) -> list[str]:
    """The variables that an inventory, or -e, may set; they are read only where one of them was typed."""
    if not any(str(name).startswith("rollout_") for name in typed):
        return []
    # By Ansible's own loader, which will want the file again.
    return list(loader.load_from_file(str(_SPECS))["argument_specs"]["main"]["options"])
