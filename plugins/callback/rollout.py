"""Callback: prints the last screen of a run, whole and once, as the very last thing."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any, Mapping

from ansible import context
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: rollout
type: aggregate
short_description: Print the last screen of a run
description:
  - A task that returns the fact C(rollout_screen) hands over the text; it is printed after the recap.
"""

# What must run whole or not at all.
WHOLE = ("rollout.yml", "rollback.yml")


class CallbackModule(CallbackBase):
    """Keeps the screen until the playbook has ended."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "rollout"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._screen = ""
        self._lost: list[str] = []

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Refuse to run a part: it would leave out the lock, the gates or the confirmation."""
        name = Path(playbook._file_name).name
        part = partial(context.CLIARGS) if name in WHOLE else ""
        if part:
            verb = name.removesuffix(".yml").upper()
            self._display.display(
                f"{verb} REFUSED: nothing was touched. {part} would run a part of {name}, and leave out the lock, a gate or the "
                "confirmation: run it whole. For a part of the fleet there is --limit.",
            )
            raise SystemExit(2)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Take the screen where a task hands it over."""
        facts = result.result.get("ansible_facts") if hasattr(result, "result") else result._result.get("ansible_facts")
        if isinstance(facts, dict) and facts.get("rollout_screen"):
            self._screen = str(facts["rollout_screen"])

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Remember a lost host: a run that loses all of them never reaches its report."""
        self._lost.append((result.host if hasattr(result, "host") else result._host).get_name())

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print it."""
        if not self._screen and self._lost:
            self._screen = (
                f"Unreachable: {', '.join(dict.fromkeys(self._lost))}. Ansible's message above says why; "
                "then: ansible-playbook status.yml"
            )
        if self._screen:
            self._display.display("\n" + (wrapped(self._screen, self._display.columns) if sys.stdout.isatty() else self._screen))


def partial(arguments: Mapping[str, Any]) -> str:
    """The option that would run a part of the playbook; empty where it runs whole."""
    if arguments.get("start_at_task"):
        return "--start-at-task"
    if [tag for tag in arguments.get("tags") or [] if tag != "all"]:
        return "--tags"
    return "--skip-tags" if arguments.get("skip_tags") else ""


def wrapped(text: str, columns: int) -> str:
    """Sentences broken between words; tables and logs, which are indented, as they are."""
    return "\n".join(
        line
        if line.startswith(" ") or len(line) <= columns
        else textwrap.fill(line, columns, break_long_words=False, break_on_hyphens=False)
        for line in text.split("\n")
    )
