"""When a service passes its gate, when it fails, and what it waits for. Pure.

Good samples in a row over a window, immediate failure on a crash, and the service's own deadline: health that flaps
does not pass, a slow start does not fail early.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from ansible.module_utils.rollout.compose import Container, Service

PASS, FAIL, WAIT = "pass", "fail", "wait"


@dataclass(frozen=True)
class Answer:
    """What one URL said: ``status`` is None where nothing answered, then ``reason`` says why.

    ``operations`` is the work at hand, where a drain URL was asked and its answer lists it; ``container`` what a start-first
    service's proxy says of who answered.
    """

    url: str
    status: Optional[int]
    release: Optional[str] = None
    reason: str = ""
    operations: Optional[tuple[str, ...]] = None
    container: str = ""


@dataclass
class Gate:
    """The gate of one service, fed with samples until it says PASS or FAIL (``fatal`` then says why, unless it is the deadline).

    ``expected`` is the release that the health answers must name where they name one; ``image_id`` what the
    container must run. A ``fresh`` container must never have been restarted. Times are monotonic seconds.
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
            self.waiting_for = f"{self.service.successes} good answers in a row"
            if self.good >= self.service.successes and now - self.good_since >= self.service.window:
                return PASS
        return FAIL if now - self.started >= self.service.deadline else WAIT

    def pause(self, now: float) -> float:
        """Seconds until the next sample: not beyond the end of the window, where good answers fill it."""
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
            return "it was killed: out of memory"
        if container.status in ("exited", "dead", "removing", "restarting"):
            killed = ", killed" if container.exit_code == 137 else ""
            return f"it ended with exit status {container.exit_code}{killed} ({container.status})"
        if container.status == "created" and container.error:
            return f"it could not be started: {container.error}"
        if container.restarts > self.restarts:
            return f"it crashed and was restarted {container.restarts} times"
        if self.image_id and container.image_id != self.image_id:
            return f"it runs image {container.image_id[:19]}, not the released {self.image_id[:19]}"
        return ""

    def _missing(self, container: Container, answers: list[Answer]) -> str:
        if container.status != "running":
            return f"a running container (it is {container.status})"
        if container.health == "unhealthy":
            return self._bad(answers) or "Docker's health check (unhealthy)"
        if not self.service.health:
            return "" if container.health in ("healthy", "none") else f"Docker's health check ({container.health})"
        return self._bad(answers)

    def _bad(self, answers: list[Answer]) -> str:
        return bad_answer(answers, self.expected, self.service.names_release)


def bad_answer(answers: list[Answer], expected: Optional[str], must_name: bool = False) -> str:
    """The first of the answers that is not good, as a noun phrase; empty where all are.

    An answer that names another release than ``expected`` is bad; with ``must_name`` one that names none is too.
    """
    for answer in answers:
        if answer.status is None:
            return f"an answer from {answer.url} ({answer.reason})"
        if not 200 <= answer.status < 300:
            return f"{answer.url}: HTTP {answer.status}{' ' + answer.reason if answer.reason else ''}"
        if expected and must_name and not answer.release:
            return f"{answer.url} to name {expected} (it names no release)"
        if expected and answer.release and not same_release(answer.release, expected):
            return f"{answer.url} to name {expected} (it names {answer.release})"
    return ""


def same_release(one: str, other: str) -> bool:
    """Whether two release names mean the same commit, one perhaps in a longer form."""
    if one == other:
        return True
    both_sha = one.startswith("sha-") and other.startswith("sha-") and min(len(one), len(other)) >= 11
    return both_sha and (one.startswith(other) or other.startswith(one))


def read_answer(url: str, status: int, body: Any) -> Answer:
    """Read an answer: the fields ``release``, ``operations`` and, of a bad one, ``reason``, ``detail`` or ``status``."""
    if not isinstance(body, dict):
        return Answer(url, status)
    release = body.get("release")
    reason = next((str(body[k]) for k in ("reason", "detail", "status") if isinstance(body.get(k), str)), "")
    work = body.get("operations")
    operations = tuple(str(one) for one in work) if isinstance(work, list) else None
    return Answer(url, status, release if isinstance(release, str) else None, reason[:300], operations)


def next_pause(elapsed: float, good: bool = False) -> float:
    """Seconds until the next sample: 30 ms at first, growing to a quarter of a second; again 30 ms once answers are good."""
    return 0.03 if good else min(0.25, max(0.03, elapsed / 30))
