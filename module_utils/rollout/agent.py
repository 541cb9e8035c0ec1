"""The agent of a run on a host: takes its steps one by one, so that each costs no start of Python and no load of this package.

It keeps nothing that a step needs: killed at any time, the next step finds another one. It ends with the run's lock, or when it
was asked nothing for a while.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from typing import Any, Callable

from ansible.module_utils.rollout import guard, net
from ansible.module_utils.rollout.engine import Engine
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.steps import STEPS, outcome

IDLE_S = 120.0
LOOK_S = 1.0


class Agent:
    """Serves a socket until the run is over."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self.engine, self.idle_s = Engine(), idle_s
        self.mutex, self.at_work, self.over, self.last = threading.Lock(), 0, False, time.monotonic()
        self.ahead = False

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
        with self.mutex:
            self.at_work += 1
        # A thread each: whether two steps exclude one another, the state directory says.
        threading.Thread(target=self._answer, args=(connection,), daemon=True).start()
        return True

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        request: dict[str, Any] = {}
        answer: dict[str, Any] = {}
        try:
            with connection, connection.makefile("rb") as file:
                request = json.loads(file.readline())
                answer = outcome(lambda: self._do(request), request["verbose"])
                # Whoever asked may be gone; the step is done all the same.
                with contextlib.suppress(OSError):
                    connection.sendall(json.dumps(answer, default=str).encode() + b"\n")
        finally:
            with self.mutex:
                self.at_work -= 1
                self.last = time.monotonic()
                ahead, self.ahead = self.ahead, True
                released = (request.get("step"), request.get("params", {}).get("state")) == ("lock", "released")
                self.over = self.over or released or bool(answer.get("unlocked"))
            # Behind an answer: until then somebody waits for that.
            if not ahead:
                guard.program()
                net.opener()
            if _switches_next(request, answer):
                # Where it cannot, arming says why.
                with contextlib.suppress(OSError, RolloutError):
                    guard.stand_by(Store(request["params"]["root"]), request["params"]["application"], request["params"]["run"])

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        params = request["params"]
        return STEPS[request["step"]].act(Store(params["root"]), self.engine, params, request["check"])


def _switches_next(request: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Whether a step was the last one before a switch: it staged the release, or found it there and not wholly at work."""
    if answer.get("failed") or (request.get("step"), request.get("params", {}).get("state")) != ("release", "staged"):
        return False
    return not request["check"] or bool(answer["ready"] and not answer["preview"]["settled"])


def serve(listener: socket.socket, directory: str) -> None:
    """Serve, and take the directory of the socket away at the end."""

    def leave(taken: Callable[[], bool]) -> bool:
        try:
            place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            # Somebody cleaned up: nobody finds this agent any more.
            return True
        # A door connects under this lock: who is not in the queue now comes when the socket is gone.
        fcntl.flock(place, fcntl.LOCK_EX)
        try:
            if taken():
                return False
            with contextlib.suppress(OSError):
                os.unlink(directory + "/agent")
            with contextlib.suppress(OSError):
                os.rmdir(directory)
            return True
        finally:
            os.close(place)

    with listener:
        Agent().serve(listener, leave)
