"""The action of a step (lock, release, stack): hands it to the run's agent on the host, and reads meanwhile how far that is."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shlex
import socket
import threading
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Mapping, Optional

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.rollout.controller import known, rendering
from ansible.module_utils.rollout.controller.exchange import bounded, end_children, step_limit, too_long
from ansible.module_utils.rollout.controller.mounts import STRANGE, unnamed
from ansible.module_utils.rollout.domain import answers, foreign
from ansible.module_utils.rollout.domain.mask import Mask
from ansible.module_utils.rollout.domain.steps import STEPS, secrets
from ansible.module_utils.rollout.errors import Refusal
from ansible.module_utils.rollout.io.package import AGENT, pack
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

SECTION = "The agent of a run"
NOT_ENDED = Refusal(
    SECTION,
    "The step {step} did not end: {said}.",
    "look at `journalctl --dmesg` there: somebody, or the kernel for want of memory, killed its process. Then run again",
)
NO_PYTHON = Refusal(
    SECTION,
    "No step can run on this host: it has no {python}. Install Python 3.9 or newer there (apt-get install python3), or name one "
    "in ansible_python_interpreter.",
    "do it; `playbooks/prepare.yml` needs it too",
)
OLD_PYTHON = Refusal(
    SECTION,
    "No step can run on this host: its Python {python} is too old. Install 3.9 or newer there, and name it in "
    "ansible_python_interpreter.",
    "install it beside the system's own, which stays as it is",
)
NOT_WHOLE = Refusal(
    SECTION,
    "No step can run on this host: its Python lacks the module {module}. Install the whole of it there (on Debian python3, not "
    "python3-minimal).",
    "`apt-get install python3` there",
)
NO_MEMFD = Refusal(
    SECTION,
    "No step can run on this host: its Python ({python}) has no memfd_create. Name another Python there, 3.9 or newer and built "
    "for Linux, in ansible_python_interpreter.",
    "the agent lives in a file without a name, so that nothing of it stays on the host",
)
# The words with which agent/door.py refuses a step.
REFUSED = {"old": OLD_PYTHON, "module": NOT_WHOLE, "memfd": NO_MEMFD}
_UNNAMED = dict.fromkeys(("python", "module"), "?")
# Seconds that a step needs at most before it does what its own timeout is for: for the mutex of another step, above all.
BEFORE_S = 300.0
# Characters that are shown of a host's output if it is not an answer.
SHOWN = 400
# With the look itself: once a second at least.
POLL_S = 0.7
# A host that does not answer three times is left alone; the step's own connection says what is wrong.
MISSES = 3


def _mask(params: Mapping[str, Any]) -> Mask:
    """A mask for the secrets of a step."""
    return Mask(secrets(params))


def _read(said: dict[str, Any]) -> Optional[dict[str, Any]]:
    """The answer among all that a command printed."""
    if len(said["stdout"]) > answers.WHOLE:
        raise AnsibleConnectionFailure(too_long())
    return foreign.read(said["stdout"].splitlines())


def _limit(step: str, params: dict[str, Any], longest: float) -> float:
    """Seconds that the host may take: ``longest``, or less if the step itself has less to wait for."""
    if step == "lock":
        return min(longest, BEFORE_S) + float(params["wait"])
    if step == "job":
        # Its jobs, whose deadlines the guard's time covers, may take longer than any other step.
        return max(longest, float(params["confirm_timeout"])) + BEFORE_S
    if step == "stack" and params["confirm_timeout"]:
        # Then its guard acts, whatever the step is at.
        return min(longest, float(params["confirm_timeout"]) + BEFORE_S)
    return longest


class StepAction(ActionBase):
    """The step of the task's name, and beside it a look at its progress."""

    # agent/door.py: the plugins bring it, for nothing of this room knows how a step gets to its host.
    door: ModuleType

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """The agent's answer, or a failure; with ``earlier`` and ``sources`` as the documentation of the steps has them."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        step = self._task.action.rpartition(".")[2]
        of = STEPS[step]
        # Ansible gathers what must not be logged, and fails over a date in it; here every answer is masked.
        arguments = {name: {key: value for key, value in spec.items() if key != "no_log"} for name, spec in of.arguments.items()}
        _checked, params = self.validate_argument_spec(arguments, required_if=of.required_if)
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
            limit = _limit(step, params, step_limit(self._templar, task_vars or {}))
            with bounded(limit, self._connection.transport != "local"):
                result.update(self._ask(step, params, task_vars or {}))
        except AnsibleConnectionFailure as error:
            if not kept:
                raise
            result.update(unreachable=True, msg=str(error))
        finally:
            ended.set()
            if watcher.is_alive():
                # Its look may never end.
                end_children()
        if step == "release" and result.get("failed"):
            result["msg"] = rendering.located(str(result.get("msg")), params["stacks"], params["specs"])
        if step == "release" and params["state"] == "read" and not result.get("failed"):
            result.update(self._sources(params, result, task_vars or {}))
        return {**result, **kept}

    def _sources(self, params: dict[str, Any], read: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """All that a release of these stacks is made of: their sources, with what their services mount. It holds secrets."""
        # Of the stacks that it was asked about alone, and of what their files name.
        mounts = {stack: (read["stacks"].get(stack) or {}).get("mounts") or [] for stack in params["stacks"]}
        strange = [
            STRANGE.text(stack=stack, paths=" and ".join(paths))
            for stack, found in mounts.items()
            if (paths := unnamed(params["stacks"][stack], found))
        ]
        if strange:
            return {"failed": True, "msg": "\n".join(strange)}
        lookup = lookup_loader.get("stack_source", loader=self._loader, templar=self._templar)
        try:
            (found,) = lookup.run([*mounts], task_vars, stacks=params["specs"], bundles=params["stacks"], mounts=mounts)
        except AnsibleError as error:
            return {"failed": True, "msg": str(error)}
        return {"sources": found, "_ansible_no_log": True}

    def _ask(self, step: str, params: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        # What the inventory says of stacks stays here.
        told = {key: value for key, value in params.items() if key != "specs"}
        if step == "release" and self._connection.transport != "local":
            # A path of this machine means nothing there.
            told["stacks"] = {s: {key: one for key, one in said.items() if key != "folder"} for s, said in told["stacks"].items()}
        request = {"step": step, "params": told, "check": bool(self._task.check_mode), "verbose": self._display.verbosity > 2}
        # Vaulted values are text from here on.
        data = json.dumps(request, default=str).encode() + b"\n"
        path = f"{params['root']}/.agent-{params['run'] or 'unlock'}"
        # A run's first word to a host finds no agent there.
        first = (step, params["state"]) == ("lock", "held")
        said = (None if first else self._said_here(path, data)) or self._said(path, data, first, task_vars)
        answer = _read(said)
        if (answer or {}).get("no_agent"):
            said = self._said(path, data, True, task_vars)
            answer = _read(said)
        hide = _mask(params).text
        if answer is None or answer.get("failed"):
            # Other steps of the run had secrets for this host too.
            hide = (known.told(task_vars) | secrets(params)).text
        if answer is None:
            answer = {"failed": True, "msg": self._failure(step, said, task_vars, hide)}
        elif "refused" in answer:
            answer = answers.taken("door", answer, hide)
            answer = (
                answer if "msg" in answer else {"failed": True, "msg": REFUSED[answer["refused"]].text(**{**_UNNAMED, **answer})}
            )
        else:
            answer = answers.taken(answers.name(step, params, request["check"]), answer, hide)
        return answer

    def _said(self, path: str, data: bytes, start: bool, task_vars: dict[str, Any]) -> dict[str, Any]:
        """The door's output on the host: ``rc``, ``stdout``, ``stderr``. With ``start`` it can start an agent."""
        door = Path(str(self.door.__file__)).read_bytes()
        command = [self._python(task_vars), "-ISc", self.door.READ, str(len(door)), path]
        line = f"{self._compute_environment_string()} {shlex.join(command)}".strip()
        sent = door + data + (pack(AGENT, compiled=True) if start else b"")
        return dict(self._low_level_execute_command(line, sudoable=True, in_data=sent))

    def _said_here(self, path: str, data: bytes) -> Optional[dict[str, Any]]:
        """The same of an agent that this process may ask by itself; None if there is none."""
        answer = self.door.ask(path, data.rstrip(b"\n")) if self._is_here() else None
        return (
            None if answer is None else {"rc": not answer, "stdout": answer.decode(), "stderr": "" if answer else self.door.ENDED}
        )

    def _failure(self, step: str, said: dict[str, Any], task_vars: dict[str, Any], hide: Callable[[str], str]) -> str:
        if said["rc"] == 127:
            return NO_PYTHON.text(python=self._python(task_vars))
        lines = (said["stderr"].strip() or said["stdout"].strip() or f"exit status {said['rc']}").splitlines()
        # Far more is masked than is shown, so that no half of a secret stands at the cut.
        return NOT_ENDED.text(step=step, said=hide(lines[-1][: 100 * SHOWN])[:SHOWN].rstrip("."))

    def _is_here(self) -> bool:
        """Whether the step is done on this machine, as this process's user."""
        return self._connection.transport == "local" and not self._connection.become

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
                    facts = answers.progress(look._progress())
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

    def _beside(self) -> StepAction:
        """Another one of this, whose connection and become may be used while the step runs."""
        other = copy.copy(self)
        other._connection = copy.copy(self._connection)
        if self._connection.become:
            other._connection.set_become_plugin(copy.copy(self._connection.become))
        return other
