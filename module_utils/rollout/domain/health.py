"""When a service passes its gate, when it fails, and what it waits for. Pure.

Good samples in a row over a window, immediate failure on a crash, and the service's own deadline: health that flaps
does not pass, a slow start does not fail early.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.domain.changes import Container
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.errors import Refusal

# What Docker calls a container that has ended, and may be about to start again.
ENDED_STATES = ("exited", "dead", "removing", "restarting")
PASS, FAIL, WAIT = "pass", "fail", "wait"
ENDED = Refusal(
    "Gate container",
    "it ended with exit status {status}{killed} ({state})",
    "look at the log below it; `, killed` is exit status 137",
)
ENDED_WELL = Refusal(
    "Gate container",
    "it ended by itself, with exit status 0 ({state}); if that is what it is for, write job: before, or after, in its x-rollout",
    "write `job: before` (a migration) or `job: after` (a cache to warm): see [jobs](your-own-stack.md#jobs)",
)
OUT_OF_MEMORY = Refusal(
    "Gate container",
    "it was killed: out of memory",
    "look at the memory of the host, and at `mem_limit` of the service",
)
CRASHED = Refusal(
    "Gate container",
    "it crashed and was restarted {times} times",
    "look at the log below it",
)
NOT_STARTED = Refusal(
    "Gate container",
    "it could not be started: {error}",
    "fix what docker's message names: a port, a device, a mount",
)
OTHER_IMAGE = Refusal(
    "Gate container",
    "it runs image {image}, not the released {released}",
    "find out who else starts containers of this project",
)
BAD_STATUS = Refusal(
    "Gate health",
    "{url}: HTTP {status}{reason}",
    "find out why that URL answers so",
)
NO_ANSWER = Refusal(
    "Gate health",
    "an answer from {url} ({reason})",
    "check that the service listens, and on that port",
)
UNTRUSTED = Refusal(
    "Gate health",
    "an answer from {url} with a certificate that is trusted ({reason})",
    "give the gate `ca`, the path of the CA's PEM file on that host, or `insecure: true`; the name in the URL must be in the "
    "certificate",
)
NO_CONNECTION = Refusal(
    "Gate health",
    "a connection to {url} ({reason})",
    "check that the service listens on that port; docker's own proxy accepts and closes at once if it does not",
)
NO_PLACE = Refusal(
    "Gate health",
    "an address to ask {url} at ({why})",
    "put the service into a network that the host reaches, publish the port and ask 127.0.0.1, or use `exec`",
)
COMMAND_FAILED = Refusal(
    "Gate health",
    "exit status 0 of the command {command} in its container, which ends with {status} ({reason})",
    "run it by hand: `docker exec CONTAINER COMMAND`",
)
COMMAND_LATE = Refusal(
    "Gate health",
    "the command {command} in its container to end within {seconds:.0f} s",
    "run it by hand, and give it a time limit of its own: a rollout does not end it",
)
COMMAND_STAYS = Refusal(
    "Gate health",
    "the end of the command {command} in its container, which was asked before and still runs",
    "give the command a time limit of its own: it is not run twice at once",
)
NAMES_OTHER = Refusal(
    "Gate health",
    "{url} to name {release} (it names {other})",
    "look at what answers: the wrong build, or a URL of another service",
)
NAMES_NONE = Refusal(
    "Gate health",
    "{url} to name {release} ({why})",
    "let the answer have a JSON field `release` in at most 64 KiB, or remove `names_release`",
)
HEALTH_CHECK = Refusal(
    "Gate health",
    "Docker's health check ({state})",
    "look at the health check of the image",
)
NOT_RUNNING = Refusal(
    "Gate health",
    "a running container (it is {state})",
    "type `docker ps --all` on that host; `its container` means that there is none",
)
IN_A_ROW = Refusal(
    "Gate health",
    "{number} good answers in a row",
    "find out why health comes and goes, or give a longer `deadline`",
)


# Seconds between the starts of two commands in one container.
EXEC_S = 1.0


@dataclass
class Gate:
    """The gate of one service, fed with samples until it says PASS or FAIL (``fatal`` then says why, unless it is the deadline).

    ``expected`` is the release that the health answers must name where they name one; ``image_id`` what the
    container must run. A ``fresh`` container must never have been restarted. ``asked`` is when its command was last run in it.
    Times are monotonic seconds.
    """

    service: Service
    image_id: Optional[str]
    expected: Optional[str]
    started: float
    fresh: bool = True
    good: int = 0
    good_since: float = 0.0
    restarts: Optional[int] = None
    container_id: Optional[str] = None
    waiting_for: str = "its container"
    fatal: str = ""
    asked: Optional[float] = None

    def due(self, now: float) -> bool:
        """Whether the service may be asked again: a command costs more than a URL, and is run once a second at most."""
        return self.asked is None or now - self.asked >= EXEC_S

    def sample(self, container: Optional[Container], answers: list[Answer], now: float) -> str:
        """Take one observation; ``waiting_for`` then says what is missing or wrong, as the end of a sentence."""
        self.fatal = self._fatal(container)
        if self.fatal:
            self.waiting_for = self.fatal
            return FAIL
        missing = "its container" if container is None else self._missing(container, answers)
        if missing:
            self.good = 0
            self.waiting_for = missing
        else:
            if not self.good:
                self.good_since = now
            self.good += 1
            self.waiting_for = IN_A_ROW.text(number=self.service.successes)
            if self.good >= self.service.successes and now - self.good_since >= self.service.window:
                return PASS
        return FAIL if now - self.started >= self.service.deadline else WAIT

    def pause(self, now: float) -> float:
        """Seconds until the next sample: not beyond the end of the window, where good answers fill it."""
        if not self.due(now):
            return max(EXEC_S - (now - (self.asked or 0.0)), 0.001)
        rest = self.good_since + self.service.window - now if self.good else 0.0
        usual = next_pause(now - self.started, bool(self.good))
        return min(usual, max(rest, 0.001)) if rest > 0 else usual

    def _fatal(self, container: Optional[Container]) -> str:
        if container is None:
            return ""
        if self.restarts is None or self.container_id != container.id:
            self.restarts, self.container_id = 0 if self.fresh else container.restarts, container.id
        # Of one that runs it says that a process in it was killed, perhaps long ago: it stays until the next start.
        if container.oom and (self.fresh or container.status != "running"):
            return OUT_OF_MEMORY.text()
        if container.status in ENDED_STATES:
            if container.exit_code == 0 and container.status == "exited":
                return ENDED_WELL.text(state=container.status)
            killed = ", killed" if container.exit_code == 137 else ""
            return ENDED.text(status=container.exit_code, killed=killed, state=container.status)
        if container.status == "created" and container.error:
            return NOT_STARTED.text(error=container.error)
        if container.restarts > self.restarts:
            return CRASHED.text(times=container.restarts)
        if self.image_id and container.image_id != self.image_id:
            return OTHER_IMAGE.text(image=container.image_id[:19], released=self.image_id[:19])
        return ""

    def _missing(self, container: Container, answers: list[Answer]) -> str:
        if container.status != "running":
            return NOT_RUNNING.text(state=container.status)
        if container.health == "unhealthy":
            return self._bad(answers) or HEALTH_CHECK.text(state="unhealthy")
        if not (self.service.health or self.service.exec):
            return "" if container.health in ("healthy", "none") else HEALTH_CHECK.text(state=container.health)
        return self._bad(answers)

    def _bad(self, answers: list[Answer]) -> str:
        return bad_answer(answers, self.expected, self.service.names_release)


def bad_answer(answers: list[Answer], expected: Optional[str], must_name: bool = False) -> str:
    """The first of the answers that is not good, as a noun phrase; empty where all are.

    An answer that names another release than ``expected`` is bad; with ``must_name`` one that names none is too.
    """
    for answer in answers:
        if answer.fault is not None:
            if answer.fault:
                return answer.fault
            continue
        if answer.status is None:
            return NO_ANSWER.text(url=answer.url, reason=answer.reason)
        if not 200 <= answer.status < 300:
            return BAD_STATUS.text(url=answer.url, status=answer.status, reason=f" {answer.reason}" if answer.reason else "")
        if expected and must_name and not answer.release:
            return NAMES_NONE.text(url=answer.url, release=expected, why=answer.cut or "it names no release")
        if expected and answer.release and not same_release(answer.release, expected):
            return NAMES_OTHER.text(url=answer.url, release=expected, other=answer.release)
    return ""


def same_release(one: str, other: str) -> bool:
    """Whether two release names mean the same commit, one perhaps in a longer form."""
    if one == other:
        return True
    both_sha = one.startswith("sha-") and other.startswith("sha-") and min(len(one), len(other)) >= 11
    return both_sha and (one.startswith(other) or other.startswith(one))


def next_pause(elapsed: float, good: bool = False) -> float:
    """Seconds until the next sample: 30 ms at first, growing to a quarter of a second; again 30 ms once answers are good."""
    return 0.03 if good else min(0.25, max(0.03, elapsed / 30))
