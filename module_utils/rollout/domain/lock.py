"""Who may work on a host, and for how long. Pure.

The lock of a run is one document on each host. Its age is measured on that host's own clock, which runs on while the
host sleeps and is never set (CLOCK_BOOTTIME): a wall clock that jumps changes nothing. After a reboot time counts from
the boot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Optional

from ansible.module_utils.rollout.domain.units import span
from ansible.module_utils.rollout.errors import Refusal, RolloutError

FREE, OWN, HELD, EXPIRED, DEAD = "free", "own", "held", "expired", "dead"
Document = Mapping[str, Any]
OTHER_RUN = Refusal(
    "Locks",
    "Another run holds the lock: {who}. Its last sign of life was {quiet} ago; the lock expires in {rest} unless that run renews "
    "it. Wait for it (-e rollout_lock_wait=600), or if you know that it is dead: ansible-playbook playbooks/unlock.yml",
    "wait, or let the run wait by itself with `-e rollout_lock_wait=600`; after the colon stands `run … (rollout) of "
    "alice@laptop from 10.0.0.3, since …`",
)
TAKEN_OVER = Refusal(
    "Locks",
    "The lock of {who}, was taken over: {why}.",
    "go on: an interrupted run was there. `its process is dead`, or `it gave no sign of life until its lock expired`",
)


@dataclass(frozen=True)
class Clock:
    """A moment on one host: the id of its present boot, and seconds since then."""

    boot: str
    seconds: float

    def mark(self) -> dict[str, Any]:
        """The moment as data."""
        return {"boot": self.boot, "clock": round(self.seconds, 3)}


def elapsed(mark: Document, now: Clock) -> float:
    """Seconds from `mark` until now; after a reboot, those since the boot."""
    return max(0.0, now.seconds - float(mark["clock"])) if mark["boot"] == now.boot else now.seconds


def left(mark: Document, limit: float, now: Clock) -> float:
    """Seconds until `limit` seconds after `mark`; negative once they are over."""
    return limit - elapsed(mark, now)


def document(owner: Document, run: str, ttl: float, since: str, now: Clock, source: str = "") -> dict[str, Any]:
    """A lock as it is written.

    Args:
        owner: user, host, machine and process on the controller, and the action.
        ttl: seconds after the last heartbeat until it expires.
        since: a wall-clock time, for people.
        source: the address from which the owner reached this host, where known.
    """
    facts = {key: str(owner.get(key, "")) for key in ("user", "host", "machine", "process", "action")}
    return {**facts, "source": source, "run": run, "ttl": ttl, "since": since, "heartbeat": now.mark()}


def judge(found: Optional[Document], run: str, owner: Document, alive: Iterable[str], now: Clock) -> str:
    """What the lock that was found means to `run`: FREE, OWN, HELD, EXPIRED, or DEAD.

    An owner on another machine than the one who asks cannot be known to be dead: its lock has to expire.
    """
    if found is None:
        return FREE
    if found.get("run") == run:
        return OWN
    if expired(found, now):
        return EXPIRED
    return DEAD if dead(found, owner, alive) else HELD


def dead(found: Document, owner: Document, alive: Iterable[str]) -> bool:
    """Whether the owner of a lock worked on the same machine as `owner`, and is gone from there."""
    # An owner that did not know its own process cannot be missed.
    return _near(found, owner) and found["process"] not in set(alive)


def at_work(found: Document, owner: Document, alive: Iterable[str]) -> str:
    """The id of the process that has a lock, where it is on the same machine as `owner` and lives; otherwise empty."""
    near = _near(found, owner) and found["process"] in set(alive)
    return str(found["process"]).partition(":")[0] if near else ""


def _near(found: Document, owner: Document) -> bool:
    return bool(found.get("machine") and found.get("machine") == owner.get("machine") and found.get("process"))


def expired(found: Document, now: Clock) -> bool:
    """Whether the owner has given no sign of life for too long."""
    return left(found["heartbeat"], float(found["ttl"]), now) <= 0


def whole(found: Any) -> bool:
    """Whether it is a lock that this tool wrote."""
    try:
        texts = [found["run"], found["since"], found["heartbeat"]["boot"]]
        return (
            all(text and isinstance(text, str) for text in texts)
            and min(float(found["ttl"]), float(found["heartbeat"]["clock"])) >= 0
        )
    except (TypeError, KeyError, ValueError, OverflowError):
        return False


def who(found: Document) -> str:
    """The owner in a few words."""
    source = f" from {found['source']}" if found.get("source") else ""
    action = f" ({found['action']})" if found.get("action") else ""
    whose = f"{found.get('user') or '?'}@{found.get('host') or '?'}"
    return f"run {found['run']}{action} of {whose}{source}, since {found.get('since') or '?'}"


def refusal(found: Document, now: Clock) -> RolloutError:
    """The error that the second run reads; fact ``holder`` is the run that has the lock."""
    quiet, rest = elapsed(found["heartbeat"], now), left(found["heartbeat"], float(found["ttl"]), now)
    return OTHER_RUN(who=who(found), quiet=span(quiet), rest=span(rest), facts={"holder": found["run"]})


def taken_over(found: Document, how: str) -> str:
    """The sentence for a lock that was taken over."""
    why = "its process is dead" if how == DEAD else "it gave no sign of life until its lock expired"
    return TAKEN_OVER.text(who=who(found), why=why)
