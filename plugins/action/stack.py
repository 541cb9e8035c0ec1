"""Hands a step of a run (lock, release, stack) to the run's agent on the host, and tells meanwhile what the host is at."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shlex
import socket
import sys
import threading
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, Iterator, Optional

import ansible.module_utils
from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase

_HERE = Path(__file__).resolve().parents[2] / "module_utils"
if str(_HERE) not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(str(_HERE))

from ansible.module_utils.rollout.archive import CONTROLLERS, PACKAGE, pack
from ansible.module_utils.rollout.door import ENDED, NO_AGENT, READ, SEND, ask
from ansible.module_utils.rollout.steps import STEPS

# With the look itself: once a second at least.
POLL_S = 0.7
# A host that does not answer three times is left alone; the module's own connection says what is wrong.
MISSES = 3


def package() -> bytes:
    """The package as the agent gets it: a zip file."""
    modules = {}
    for file in sorted((_HERE / "rollout").glob("*.py")):
        if file.stem not in CONTROLLERS:
            name = f"{PACKAGE}.{file.stem}"
            loader = SourceFileLoader(name, str(file))
            modules[name] = (file.read_text(encoding="utf-8"), loader.get_code(name))
    return pack(modules)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a structure, as Ansible hides them: numbers too, and neither None nor a truth value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif value not in (None, "") and not isinstance(value, bool):
        yield str(value)


def _hidden(params: dict[str, Any]) -> set[str]:
    """What nobody is to read in an answer."""
    return set(_texts([params.get("password"), params.get("secrets")]))


# What of a step's answer is names and numbers that the inventory and the registry have given: a short secret, found there by
# chance, would make another name of it.
_PLAIN = ("name", "preview", "to_pull", "phases", "clock", "service", "stack", "gate")


def _masked(answer: dict[str, Any], hidden: set[str]) -> dict[str, Any]:
    """The answer of a step, without what nobody is to read."""
    masked = dict(remove_values(answer, hidden))
    return {**masked, **{key: answer[key] for key in _PLAIN if key in answer}}


def _previewed(params: dict[str, Any]) -> dict[str, list[str]]:
    """The compose files of a preview: they are staged as they are, and not rendered again. None where they hold a secret."""
    texts = list(params["stacks"].values())
    return {"texts": texts} if texts and remove_values(texts, _hidden(params)) == texts else {}


class ActionModule(ActionBase):
    """The step, and beside it a look at its progress."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """As a module of this name would do it; without a listener, nothing more than that."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        step = self._task.action.rpartition(".")[2]
        known = STEPS[step]
        _checked, params = self.validate_argument_spec(known.arguments, required_if=known.required_if)
        # Also where its host is lost: the next wave's step overwrites what this one said.
        kept = {"earlier": params["earlier"]} if params.get("earlier") else {}
        listener = os.environ.get("ROLLOUT_PROGRESS")
        host = str((task_vars or {}).get("inventory_hostname"))
        ended = threading.Event()
        # As a daemon: a host that hangs must not keep the run from its end.
        watcher = threading.Thread(target=self._watch, args=(listener, host, ended), daemon=True)
        if listener and not self._task.check_mode and step != "lock":
            watcher.start()
        try:
            done = self._ask(step, params, task_vars or {})
            result.update(self._execute_module(task_vars=task_vars) if done is None else done)
        except AnsibleConnectionFailure as error:
            if not kept:
                raise
            result.update(unreachable=True, msg=str(error))
        finally:
            ended.set()
        if "preview" in result:
            kept.update(_previewed(params))
        return {**result, **kept}

    def _ask(self, step: str, params: dict[str, Any], task_vars: dict[str, Any]) -> Optional[dict[str, Any]]:
        """What the agent answers; None where there can be none on that host."""
        request = {"step": step, "params": params, "check": bool(self._task.check_mode), "verbose": self._display.verbosity > 2}
        door = (_HERE / "rollout/door.py").read_bytes()
        # The door makes it, and enters no other user's.
        directory = f"/tmp/rollout-{params['run'] or 'unlock'}"  # noqa: S108
        command = [self._python(task_vars), "-ISc", READ, str(len(door)), directory]
        environment = self._compute_environment_string()
        line = f"{environment} {shlex.join(command)}".strip()
        # Vaulted values are text from here on.
        data = json.dumps(request, default=str).encode() + b"\n"
        # A run's first word to a host.
        first = (step, params["state"]) == ("lock", "held")
        ours = command[0] == sys.executable and not environment
        said = None if first and not ours else self._said_here(directory, data, start=first)
        said = said or self._low_level_execute_command(line, sudoable=True, in_data=door + data + (package() if first else b""))
        if said["rc"] == SEND:
            said = self._low_level_execute_command(line, sudoable=True, in_data=door + data + package())
        if said["rc"] in (NO_AGENT, 127):
            self._display.vvv(f"No agent takes the step here: {said['stderr']}")
            return None
        # Before it, and behind, a login may say what it likes.
        lines = (said["stdout"] if not said["rc"] else said["stderr"] or said["stdout"]).strip().splitlines()
        hidden = _hidden(params)
        if said["rc"]:
            words = (lines or [f"exit status {said['rc']}"])[-1].rstrip(".")
            return dict(remove_values({"failed": True, "msg": f"The step {step} did not end: {words}."}, hidden))
        answer = next((line for line in reversed(lines) if line.startswith("{")), "")
        return _masked(json.loads(answer), hidden)

    def _is_here(self) -> bool:
        """Whether the step is done on this machine, as this process's user."""
        return self._connection.transport == "local" and not self._connection.become

    def _said_here(self, directory: str, request: bytes, start: bool) -> Optional[dict[str, Any]]:
        """What the door would print, of an agent that this process may ask by itself, or ``start``; None where there is none."""
        answer = ask(directory, request.rstrip(b"\n"), start) if self._is_here() else None
        if answer is None:
            return None
        return {"rc": 0 if answer else 1, "stdout": answer.decode(), "stderr": "" if answer else ENDED}

    def _python(self, task_vars: dict[str, Any]) -> str:
        """The host's Python: the one that the inventory names, or what is called python3 there."""
        host = task_vars.get("ansible_delegated_vars", {}).get(self._task.delegate_to, task_vars)
        named = str(self._templar.template(host.get("ansible_python_interpreter", "auto")))
        return "python3" if named.startswith("auto") else named

    def _watch(self, listener: str, host: str, ended: threading.Event) -> None:
        look = self._beside()
        misses = 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            while misses < MISSES and not ended.wait(POLL_S):
                try:
                    facts = json.loads(look._progress() or "{}")
                    ours = facts.get("run") == self._task.args.get("run")
                except Exception:  # whatever a connection may raise: it is only a look
                    misses += 1
                    continue
                if ours and not ended.is_set():
                    with contextlib.suppress(OSError):
                        sender.sendto(json.dumps({"host": host, **facts}).encode(), listener)

    def _progress(self) -> str:
        """What the step tells of itself; empty where it has told nothing yet."""
        root = str(self._task.args.get("root"))
        if self._is_here():
            file = Path(root).expanduser() / "progress.json"
            return file.read_text(encoding="utf-8") if file.exists() else ""
        home = '"$HOME"/' if root.startswith("~/") else ""
        there = home + shlex.quote(f"{root.removeprefix('~/')}/progress.json")
        said = self._low_level_execute_command(f"cat {there}", sudoable=True)
        return str(said["stdout"]) if said["rc"] == 0 else ""

    def _beside(self) -> ActionModule:
        """Another one of this, whose connection and become may be used while the module runs."""
        other = copy.copy(self)
        other._connection = copy.copy(self._connection)
        if self._connection.become:
            other._connection.set_become_plugin(copy.copy(self._connection.become))
        return other
