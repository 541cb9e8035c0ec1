"""A gate's command in a running container, through the engine."""

from __future__ import annotations

import shlex
from typing import Sequence

from ansible.module_utils.rollout.domain import health
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.io import clock, masking
from ansible.module_utils.rollout.io.docker_command import last_words
from ansible.module_utils.rollout.io.engine import Engine

# Seconds that a command may take, and characters of it and of its last line that are shown.
LIMIT_S = 5.0
WORDS = 300


def ask(engine: Engine, container: str, command: Sequence[str], late: set[str]) -> Answer:
    """Run it; whatever it does, and that it could not be run, is an answer.

    Args:
        late: containers whose command was not waited for any longer; it is kept here.
    """
    shown = _cut(masking.masked(shlex.join(command)))
    # The engine goes on with a command whose caller has left: a second one beside it would be one more each time.
    if container in late and _runs(engine, container, command):
        return Answer(shown, None, fault=health.COMMAND_STAYS.text(command=shown))
    late.discard(container)
    began = clock.monotonic()
    code, out, err = engine.run(["exec", container, *command], timeout=LIMIT_S)
    # 124 is also what `timeout` ends with, in the container.
    if code == 124 and clock.monotonic() - began >= LIMIT_S:
        late.add(container)
        return Answer(shown, None, fault=health.COMMAND_LATE.text(command=shown, seconds=LIMIT_S))
    said = _cut(last_words(f"{out}\n{err}", 1)) if code else ""
    return Answer(shown, None, fault=health.COMMAND_FAILED.text(command=shown, status=code, reason=said) if code else "")


def _runs(engine: Engine, container: str, command: Sequence[str]) -> bool:
    for found in engine.inspect("container", [container]):
        for one in found.get("ExecIDs") or []:
            told = engine.get(f"/exec/{one}/json", "Looking at a command") or {}
            process = told.get("ProcessConfig") or {}
            if told.get("Running") and [process.get("entrypoint"), *(process.get("arguments") or [])] == list(command):
                return True
    return False


def _cut(text: str) -> str:
    return text if len(text) <= WORDS else f"{text[:WORDS]} …"
