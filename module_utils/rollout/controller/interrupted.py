"""The end of a run that was interrupted: its locks are given back, by a playbook of its own with the same command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Optional, Sequence

from ansible.module_utils.rollout.errors import Refusal

GIVEN_BACK = Refusal(
    "Locks",
    "Its locks were given back.",
    "go on: the next run need not wait",
)
NOT_GIVEN_BACK = Refusal(
    "Locks",
    "A lock of it may be left: on this machine the next run takes it over; on another one, type: ansible-playbook "
    "playbooks/unlock.yml",
    "run again on the same machine, which knows that the run is dead; from another one remove its locks with `unlock.yml`",
)
# Seconds that it may take, for somebody waits for the prompt.
LIMIT_S = 60.0


def give_back(typed: Sequence[str], playbook: Optional[str], run: str) -> str:
    """Give the locks of a run back; the sentence that says whether they are.

    Args:
        typed: the command line of this process.
        playbook: the argument that names its playbook.
        run: the run's id.
    """
    command = _command(typed, playbook, run)
    environment = {k: v for k, v in os.environ.items() if k != "ROLLOUT_PROGRESS"}
    try:
        # Without pipes: Python that shuts down starts no thread, which could read them. In a session of its own: the signal that
        # ended this run does not reach it, and a question for a password reaches no terminal.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=LIMIT_S,
            start_new_session=True,
            check=False,
        )
        given = bool(command) and done.returncode == 0
    except (OSError, subprocess.SubprocessError, KeyboardInterrupt, IndexError):
        given = False
    return GIVEN_BACK.text() if given else NOT_GIVEN_BACK.text()


def _command(typed: Sequence[str], playbook: Optional[str], run: str) -> list[str]:
    """The same command with the playbook that gives locks back; empty if the line does not name its playbook."""
    words = list(typed)
    if not playbook or playbook not in words[1:]:
        return []
    place = Path(__file__).resolve().parents[3] / "playbooks" / "give_back.yml"
    words[words.index(playbook, 1)] = str(place)
    return [sys.executable, *words, "-e", json.dumps({"interrupted_run": run})]
