"""The ledger of a host: what was staged, switched, confirmed, reverted. Pure.

One JSON object a line, appended and never changed. Order comes from ``seq``, never from ``at`` (a wall-clock time
for people). A last line that power loss tore is reported and passed over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Iterator, Mapping, Optional

from ansible.module_utils.rollout.domain.lock import Clock, left
from ansible.module_utils.rollout.errors import Refusal

EVENTS = (
    "staged",
    "armed",
    "switching",
    "stopping",
    "switched",
    "confirmed",
    "reverting",
    "reverted",
    "removed",
    "ended",
    "stuck",
    "barred",
    "quiesced",
    "job",
    "ran",
    "backup",
    "dropped",
    "restoring",
    "restored",
)
# What is told of the data of an application: jobs that were begun (`job`) and have ended (`ran`), backups that were taken and
# removed (`dropped`), restores that were begun and have ended; and `quiesced`, that what writes was stopped.
DATA = ("quiesced", "job", "ran", "backup", "dropped", "restoring", "restored")
# The entries after which a run has something to finish or to take back.
_OPENING = ("quiesced", "job", "restoring")
# Of how many restarts of a service the seconds are kept in mind.
RESTARTS = 5

OUT_OF_ORDER = Refusal(
    "The engine and the ledger of a host",
    "The ledger is damaged: entry {entry} comes after entry {before}. Restore ledger.jsonl from a backup, or move it away to "
    "start anew.",
    "restore `ledger.jsonl` from a backup. If you move it away, the host knows no stable release until the next rollout",
)
ENTRY_LOST = Refusal(
    "The engine and the ledger of a host",
    "The ledger of host {host} is damaged: entry {entry} is gone, so what it says of the releases there may be wrong. Restore "
    "ledger.jsonl from a backup, or move it away to start anew.",
    "restore `ledger.jsonl` from a backup. If you move it away, the host knows no stable release until the next rollout",
)
NEVER_STABLE = Refusal(
    "The rollback",
    "{tag} is not a stable release of host {host}, so it cannot be rolled back to. Stable releases there: {stable}. Any other "
    "one comes by rollout.yml, also one whose files rollout_keep has removed.",
    "choose one of the stable releases, or bring it with `rollout.yml`",
)
NOTHING_EARLIER = Refusal(
    "The rollback",
    "There is no earlier stable release on host {host} to roll back to. Stable releases there: {stable}.{choice}",
    "use `rollout.yml` if there was one release only. After a rollback to the first one, `-e sha=…` goes to a later one again",
)
NOT_ON_HOST = Refusal(
    "The rollback",
    "Host {host} has no stable release {release} to go back to. Stable releases there: {stable}. Choose one that all hosts have "
    "with -e sha=…",
    "choose a release that all hosts have, or use `rollout.yml`: the host was added later, or lost its state",
)


@dataclass(frozen=True)
class Stable:
    """A release that every gate on every host held for: ``name`` is its directory, ``release`` its tag.

    ``at`` is the wall-clock time of its confirmation, for people; ``action`` says whether it came by a rollout or a rollback.
    """

    name: str
    release: str
    run: str
    seq: int
    at: str = ""
    action: str = "rollout"


@dataclass
class Ledger:
    """What the entries say together.

    ``history`` is the undo stack: a rollout pushes, a rollback cuts back to its target, so that two rollbacks go two
    releases back and never to and fro. ``known`` are all stable releases whose directories were not removed, oldest
    confirmation first. ``armed`` is the entry of the guard that waits, ``closed`` the one that ended the last run,
    ``behind`` the hosts that the last confirmed run left out, ``took`` the seconds of each service's last restarts.
    ``confirmed`` are all confirmations in their order, those of removed releases too, ``reverts`` how often a run or the guard
    (``by``) took one back. ``ended`` is the entry of the last step that a guard ended, because it hung when its time was over.
    ``stuck`` is why the guard that acts has not brought the stable release back yet, ``barred`` the entry of one that left
    everything as it is, since the data has changed. ``data`` are the entries of `DATA`.
    """

    history: list[Stable] = field(default_factory=list)
    known: list[Stable] = field(default_factory=list)
    staged: list[str] = field(default_factory=list)
    open: list[dict[str, Any]] = field(default_factory=list)
    armed: Optional[dict[str, Any]] = None
    closed: Optional[dict[str, Any]] = None
    ended: Optional[dict[str, Any]] = None
    stuck: str = ""
    barred: Optional[dict[str, Any]] = None
    data: list[dict[str, Any]] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    took: dict[str, list[float]] = field(default_factory=dict)
    confirmed: list[Stable] = field(default_factory=list)
    reverts: dict[str, int] = field(default_factory=lambda: {"run": 0, "guard": 0})
    last_seq: int = 0
    torn: bool = False
    # The number of the first entry that was there once, or 0. A torn one has none: the next one takes its number.
    lost: int = 0

    @property
    def stable(self) -> Optional[Stable]:
        """The release that this host returns to."""
        return self.history[-1] if self.history else None

    @property
    def previous(self) -> Optional[Stable]:
        """The stable release before the present one."""
        return self.history[-2] if len(self.history) > 1 else None

    @property
    def interrupted(self) -> Optional[dict[str, Any]]:
        """The last step of a run that neither confirmed nor reverted, or None."""
        # A stop is a part of the step before it.
        return next((entry for entry in reversed(self.open) if entry["event"] != "stopping"), None)

    @property
    def guarded(self) -> Optional[str]:
        """The run that the guard ended, where it was the last one."""
        if self.barred:
            return str(self.barred["run"])
        closed = self.closed or {}
        return str(closed["run"]) if closed.get("by") == "guard" and not self.open else None


def line(seq: int, event: str, run: str, at: str, **facts: Any) -> str:
    """One entry as it is appended, newline included."""
    if event not in EVENTS:
        raise ValueError(event)
    return json.dumps({"seq": seq, "event": event, "run": run, "at": at, **facts}, sort_keys=True) + "\n"


def parse(text: str, last_seq: int = 0) -> tuple[list[dict[str, Any]], bool]:
    """The entries of a ledger, or of its end behind entry ``last_seq``, and whether a torn line was passed over that nobody was
    told of: no run has ended since.

    A torn line may stand in the middle too: the entry after it was appended on a new line.

    Raises:
        RolloutError: two entries out of order; then it is not the ledger that was written.
    """
    entries: list[dict[str, Any]] = []
    torn = False
    for raw in text.split("\n"):
        if not raw:
            continue
        try:
            entry = json.loads(raw)
        except ValueError:
            torn = True
            continue
        if not _whole(entry):
            torn = True
            continue
        before = entries[-1]["seq"] if entries else last_seq
        if (entries or last_seq) and entry["seq"] <= before:
            raise OUT_OF_ORDER(entry=entry["seq"], before=before)
        entries.append(entry)
        torn = torn and not _told(entry)
    return entries, torn or (bool(text) and not text.endswith("\n"))


def _told(entry: Mapping[str, Any]) -> bool:
    """Whether a run ended with this entry: it told people what it had found. A guard tells nobody."""
    return entry["event"] in ("confirmed", "reverted") and entry.get("by") != "guard"


def _whole(entry: Any) -> bool:
    if not isinstance(entry, dict) or type(entry.get("seq")) is not int or entry.get("event") not in EVENTS:
        return False
    facts = ("run", "name", "release") if entry["event"] == "confirmed" else ("run",)
    if entry["event"] in ("armed", "stopping"):
        facts = ("run", "name", "boot")
        limit = "timeout" if entry["event"] == "armed" else "seconds"
        if not all(isinstance(entry.get(fact), (int, float)) for fact in (limit, "clock")):
            return False
    if entry["event"] == "stopping" and not isinstance(entry.get("containers"), list):
        return False
    return all(isinstance(entry.get(fact), str) for fact in facts)


def fold(entries: list[dict[str, Any]], torn: bool = False, before: Optional[Ledger] = None) -> Ledger:
    """What all entries together say, with those ``before`` them; what these said stays as it is."""
    old = before or Ledger()
    # Everything else is replaced, and never changed.
    anew: dict[str, Any] = {"open": [*old.open], "data": [*old.data], "confirmed": [*old.confirmed]}
    ledger = replace(old, **anew, took={**old.took}, reverts={**old.reverts})
    ledger.torn = torn or (old.torn and not any(map(_told, entries)))
    for entry in entries:
        if entry["seq"] > ledger.last_seq + 1:
            ledger.lost = ledger.lost or ledger.last_seq + 1
        ledger.last_seq = entry["seq"]
        event, name = entry["event"], entry.get("name", "")
        if event == "staged":
            ledger.staged = [s for s in ledger.staged if s != name] + [name]
        elif event == "removed":
            ledger.staged = [s for s in ledger.staged if s != name]
            ledger.known = [s for s in ledger.known if s.name != name]
            kept = [s for s in ledger.history if s.name != name]
            # Of A, B, A without B one A is left: a rollback never leads to where the host is.
            ledger.history = [s for s, after in zip(kept, [*kept[1:], None]) if not after or s.name != after.name]
        elif event == "confirmed":
            action = "rollback" if entry.get("action") == "rollback" else "rollout"
            stable = Stable(name, entry["release"], entry["run"], entry["seq"], str(entry.get("at") or ""), action)
            ledger.confirmed.append(stable)
            ledger.behind = [str(host) for host in entry.get("behind") or []]
            ledger.history = _confirmed(ledger.history, stable, action == "rollback")
            ledger.known = [s for s in ledger.known if s.name != name] + [stable]
            _close(ledger, entry)
        elif event == "reverted":
            if entry.get("by") != "backup":
                ledger.reverts["guard" if entry.get("by") == "guard" else "run"] += 1
            if not name:
                # Back on nothing: what this run had confirmed here, before another host was lost, is stable no more.
                ledger.history = [s for s in ledger.history if s.run != entry["run"]]
                ledger.known = [s for s in ledger.known if s.run != entry["run"]]
            _close(ledger, entry)
        elif event == "ended":
            ledger.ended = entry
        elif event == "stuck":
            ledger.stuck = str(entry.get("why") or "")
        elif event == "barred":
            # The run stays open: somebody has to say what the data may do.
            ledger.armed, ledger.stuck, ledger.barred = None, "", entry
        elif event in DATA:
            ledger.data.append(entry)
            if event in _OPENING:
                ledger.open.append(entry)
        else:
            if event == "switched":
                _took(ledger.took, entry.get("seconds"))
            ledger.open.append(entry)
            if event == "armed":
                ledger.armed, ledger.stuck = entry, ""
    return ledger


def _close(ledger: Ledger, entry: dict[str, Any]) -> None:
    ledger.open, ledger.armed, ledger.closed, ledger.stuck, ledger.barred = [], None, entry, "", None


def stopping(ledger: Ledger, stack: str, now: Clock) -> dict[str, float]:
    """Container id -> seconds in which it may still end: those of a stack that an open run has told the engine to stop."""
    told = {str(i): left(e, float(e["seconds"]), now) for e in _stops(ledger) if e.get("stack") == stack for i in e["containers"]}
    return {container: seconds for container, seconds in told.items() if seconds > 0}


def _stops(ledger: Ledger) -> Iterator[dict[str, Any]]:
    return (entry for entry in ledger.open if entry["event"] == "stopping")


def incomplete(lost: Mapping[str, int]) -> str:
    """The refusal of a run on a host whose ledger has lost an entry; empty where none has.

    Args:
        lost: host -> as `Ledger.lost`.
    """
    host = next((host for host, number in lost.items() if number), "")
    return ENTRY_LOST.text(host=host, entry=lost[host]) if host else ""


def _took(took: dict[str, list[float]], seconds: Any) -> None:
    for service, number in (seconds if isinstance(seconds, dict) else {}).items():
        if type(number) in (int, float):
            took[service] = [*took.get(service, []), float(number)][-RESTARTS:]


def _confirmed(history: list[Stable], stable: Stable, rollback: bool) -> list[Stable]:
    names = [s.name for s in history]
    if names and names[-1] == stable.name:
        return history[:-1] + [stable]
    if rollback and stable.name in names:
        return history[: len(names) - 1 - names[::-1].index(stable.name)] + [stable]
    return history + [stable]


def retained(ledger: Ledger, keep: int) -> set[str]:
    """Names of the releases to keep: present, previous, and the ``keep`` last confirmed (I3)."""
    names = {s.name for s in ledger.known[-keep:]} if keep > 0 else set()
    return names | {s.name for s in (ledger.stable, ledger.previous) if s}


def rollback_target(histories: dict[str, Ledger], first: str, tag: Optional[str]) -> dict[str, Stable]:
    """For each host the stable release that a rollback brings back.

    The first host of the first wave, ``first``, decides which run is meant: the one before its present release (after an
    interrupted run, anywhere, the present stable one), or with ``tag`` the last one that confirmed that release. Every
    host goes back to what that run confirmed there.

    Raises:
        RolloutError: there is no such release, or a host does not have it; lists those that exist.
    """
    mine = histories[first]
    now = mine.stable.release if mine.stable else ""
    others = [release for release in dict.fromkeys(s.release for s in reversed(mine.known)) if release != now]
    exist = ", ".join([*([f"{now} (the present one)"] if now else []), *others]) or "none"
    if tag:
        found = [s for s in mine.known if s.release == tag] or [
            s
            for s in mine.known
            if s.release.startswith("sha-")
            and tag.startswith("sha-")
            and (s.release.startswith(tag) or tag.startswith(s.release))
        ]
        if not found:
            raise NEVER_STABLE(tag=tag, host=first, stable=exist)
        goal = found[-1]
    elif mine.stable and any(ledger.open for ledger in histories.values()):
        goal = mine.stable
    elif mine.previous:
        goal = mine.previous
    else:
        choice = " For another one than the one before: -e sha=…" if others else ""
        raise NOTHING_EARLIER(host=first, stable=exist, choice=choice)
    targets = {}
    for host, ledger in histories.items():
        same = [s for s in ledger.known if s.release == goal.release]
        # One run may have confirmed two releases: one, and the one before when another host was lost.
        confirmed = [s for s in same if s.run == goal.run] or same
        if not confirmed:
            have = ", ".join(dict.fromkeys(s.release for s in reversed(ledger.known))) or "none"
            raise NOT_ON_HOST(host=host, release=goal.release, stable=have)
        targets[host] = confirmed[-1]
    return targets
