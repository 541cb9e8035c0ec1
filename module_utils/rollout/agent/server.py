"""The agent of a run on a host: takes its steps one by one, so that each costs no start of Python and no load of this package.

It keeps nothing that a step needs: killed at any time, the next step finds another one. It has the secrets of its steps in
memory, so it does not outlive its run: it ends with the run's lock, when nobody hears its answer any more, or ten seconds after
its last step. A run that waits longer between two steps starts another one.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any, Callable, Optional

from ansible.module_utils.rollout.agent.steps import ACTS
from ansible.module_utils.rollout.domain import answers
from ansible.module_utils.rollout.domain.steps import secrets
from ansible.module_utils.rollout.errors import RolloutError, outcome
from ansible.module_utils.rollout.io import masking
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import guard

IDLE_S = 10.0
LOOK_S = 1.0


class Agent:
    """Serves a socket until the run is over."""

    def __init__(self, idle_s: float = IDLE_S, is_ours: Callable[[socket.socket], bool] = lambda connection: True) -> None:
        self.engine, self.idle_s, self.is_ours = Engine(), idle_s, is_ours
        self.mutex, self.at_work, self.over, self.last = threading.Lock(), 0, False, time.monotonic()
        # Of the steps that are at work: set, they end at their next look at the lock.
        self.halts: set[threading.Event] = set()

    def serve(self, listener: socket.socket, leave: Callable[[Callable[[], bool]], bool] = lambda taken: not taken()) -> None:
        """Take connections, each with one step, until the lock was given back or nobody came in ``idle_s``.

        Args:
            leave: ends the agent for whoever looks for it, unless what it is given takes a connection after all; whether it did.
        """
        while True:
            self._take(listener, LOOK_S)
            idle = not self.at_work and (self.over or time.monotonic() - self.last > self.idle_s)
            if idle and leave(lambda: self._take(listener, 0.0)):
                return

    def _take(self, listener: socket.socket, seconds: float) -> bool:
        listener.settimeout(seconds)
        try:
            connection, _address = listener.accept()
        except (BlockingIOError, socket.timeout):
            return False
        if not self.is_ours(connection):
            connection.close()
            return False
        self.take(connection)
        return True

    def take(self, connection: socket.socket) -> threading.Thread:
        """Do the step that comes on a connection, beside others."""
        with self.mutex:
            self.at_work += 1
        # A thread each: whether two steps exclude one another, the state directory says.
        found = threading.Thread(target=self._answer, args=(connection,), daemon=True)
        found.start()
        return found

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        request: dict[str, Any] = {}
        answer: dict[str, Any] = {}
        heard = True
        try:
            with connection, connection.makefile("rb") as file:
                line = file.readline()
                # A door that starts another run's agent only looks whether this one is alive.
                if not line:
                    return
                request = json.loads(line)
                answer = _masked(request, outcome(lambda: self._do(request), request["verbose"]))
                # Whoever asked may be gone; the step is done all the same.
                try:
                    connection.sendall(json.dumps(answer, default=str).encode() + b"\n")
                except OSError:
                    heard = False
        finally:
            with self.mutex:
                self.at_work -= 1
                self.last = time.monotonic()
                released = (request.get("step"), request.get("params", {}).get("state")) == ("lock", "released")
                self.over = self.over or released or bool(answer.get("unlocked")) or not heard
            # After the answer has been sent, so that nobody waits for this.
            if _switches_next(request, answer):
                # Where it cannot, arming says why.
                with contextlib.suppress(OSError, RolloutError):
                    guard.stand_by(Store(request["params"]["root"]), request["params"]["application"], request["params"]["run"])

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        params = request["params"]
        store = Store(params["root"])
        store.require_own()
        masking.learn(*secrets(params))
        masking.learn_releases(store)
        if _goes_back(request):
            # A step that the run began over a connection that was lost goes on, though nobody hears its answer.
            for begun in tuple(self.halts):
                begun.set()
        halted = threading.Event()
        self.halts.add(halted)
        try:
            return ACTS[request["step"]](store.halting(halted), self.engine, params, request["check"])
        finally:
            self.halts.discard(halted)


def _masked(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """The part of an answer that the controller takes, without the secrets of other releases, which it does not know."""
    return answers.taken(answers.name(request["step"], request["params"], request["check"]), answer, masking.masked)


def _goes_back(request: dict[str, Any]) -> bool:
    """Whether a step is one of the way back."""
    params = request["params"]
    return request["step"] == "stack" and not request["check"] and (params["state"] == "absent" or not params["wait"])


def _switches_next(request: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Whether a step was the last one before a switch: it staged the release, or found it there and not wholly at work."""
    if answer.get("failed") or (request.get("step"), request.get("params", {}).get("state")) != ("release", "staged"):
        return False
    return not request["check"] or bool(answer["ready"] and not answer["preview"]["settled"])


def serve(
    first: socket.socket,
    listener: Optional[socket.socket],
    leave: Callable[[Callable[[], bool]], bool],
    is_ours: Callable[[socket.socket], bool],
) -> None:
    """Take the step of a connection, and those that follow.

    Args:
        listener: where the others come; None if there are none.
        leave: as `Agent.serve` has it.
        is_ours: whether this user is at the other end of a connection.
    """
    agent = Agent(is_ours=is_ours)
    step = agent.take(first)
    if listener is None:
        step.join()
        return
    with listener:
        agent.serve(listener, leave)
