"""The ledger of a host: what was staged, switched, confirmed, reverted. Pure.

One JSON object a line, appended and never changed. Order comes from ``seq``, never from ``at`` (a wall-clock time
for people). A last line that power loss tore is reported and passed over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Mapping, Optional

from ansible.module_utils.rollout.errors import RolloutError

EVENTS = ("staged", "armed", "switching", "switched", "confirmed", "reverting", "reverted", "removed")
# Of how many restarts of a service the seconds are kept in mind.
RESTARTS = 5


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
    (``by``) took one back.
    """

    history: list[Stable] = field(default_factory=list)
    known: list[Stable] = field(default_factory=list)
    staged: list[str] = field(default_factory=list)
    open: list[dict[str, Any]] = field(default_factory=list)
    armed: Optional[dict[str, Any]] = None
    closed: Optional[dict[str, Any]] = None
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
        return self.open[-1] if self.open else None

    @property
    def guarded(self) -> Optional[str]:
        """The run that the guard ended, where it was the last one."""
        closed = self.closed or {}
        return str(closed["run"]) if closed.get("by") == "guard" and not self.open else None


def line(seq: int, event: str, run: str, at: str, **facts: Any) -> str:
    """One entry as it is appended, newline included."""
    if event not in EVENTS:
        raise ValueError(event)
    return json.dumps({"seq": seq, "event": event, "run": run, "at": at, **facts}, sort_keys=True) + "\n"


def parse(text: str, last_seq: int = 0) -> tuple[list[dict[str, Any]], bool]:
    """The entries of a ledger, or of its end behind entry ``last_seq``, and whether a torn line was passed over.

    A torn line may stand in the middle too: the entry after it was appended on a new line.

    Raises:
        RolloutError: two entries out of order; then it is not the ledger that was written.
    """
    entries: list[dict[str, Any]] = []
    torn = bool(text) and not text.endswith("\n")
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
            raise RolloutError(
                f"The ledger is damaged: entry {entry['seq']} comes after entry {before}. "
                "Restore ledger.jsonl from a backup, or move it away to start anew."
            )
        entries.append(entry)
    return entries, torn


def _whole(entry: Any) -> bool:
    if not isinstance(entry, dict) or type(entry.get("seq")) is not int or entry.get("event") not in EVENTS:
        return False
    facts = ("run", "name", "release") if entry["event"] == "confirmed" else ("run",)
    if entry["event"] == "armed":
        facts = ("run", "name", "boot")
        if not all(isinstance(entry.get(fact), (int, float)) for fact in ("timeout", "clock")):
            return False
    return all(isinstance(entry.get(fact), str) for fact in facts)


def fold(entries: list[dict[str, Any]], torn: bool = False, before: Optional[Ledger] = None) -> Ledger:
    """What all entries together say, with those ``before`` them; what these said stays as it is."""
    old = before or Ledger()
    # Everything else is replaced, and never changed.
    ledger = replace(
        old, open=[*old.open], confirmed=[*old.confirmed], took={**old.took}, reverts={**old.reverts}, torn=old.torn or torn
    )
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
            ledger.open, ledger.armed, ledger.closed = [], None, entry
        elif event == "reverted":
            ledger.reverts["guard" if entry.get("by") == "guard" else "run"] += 1
            if not name:
                # Back on nothing: what this run had confirmed here, before another host was lost, is stable no more.
                ledger.history = [s for s in ledger.history if s.run != entry["run"]]
                ledger.known = [s for s in ledger.known if s.run != entry["run"]]
            ledger.open, ledger.armed, ledger.closed = [], None, entry
        else:
            if event == "switched":
                _took(ledger.took, entry.get("seconds"))
            ledger.open.append(entry)
            if event == "armed":
                ledger.armed = entry
    return ledger


def incomplete(lost: Mapping[str, int]) -> str:
    """The refusal of a run on a host whose ledger has lost an entry; empty where none has.

    Args:
        lost: host -> as `Ledger.lost`.
    """
    host = next((host for host, number in lost.items() if number), "")
    if not host:
        return ""
    return (
        f"The ledger of host {host} is damaged: entry {lost[host]} is gone, so what it says of the releases there may be wrong. "
        "Restore ledger.jsonl from a backup, or move it away to start anew."
    )


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

    The first backend host, ``first``, decides which run is meant: the one before its present release (after an
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
            raise RolloutError(
                f"{tag} is not a stable release of host {first}, so it cannot be rolled back to. Stable releases "
                f"there: {exist}. Any other one comes by rollout.yml, also one whose files rollout_keep has removed."
            )
        goal = found[-1]
    elif mine.stable and any(ledger.open for ledger in histories.values()):
        goal = mine.stable
    elif mine.previous:
        goal = mine.previous
    else:
        choice = " For another one than the one before: -e sha=…" if others else ""
        raise RolloutError(
            f"There is no earlier stable release on host {first} to roll back to. Stable releases there: {exist}.{choice}"
        )
    targets = {}
    for host, ledger in histories.items():
        same = [s for s in ledger.known if s.release == goal.release]
        # One run may have confirmed two releases: one, and the one before when another host was lost.
        confirmed = [s for s in same if s.run == goal.run] or same
        if not confirmed:
            have = ", ".join(dict.fromkeys(s.release for s in reversed(ledger.known))) or "none"
            raise RolloutError(
                f"Host {host} has no stable release {goal.release} to go back to. Stable releases there: {have}. "
                "Choose one that all hosts have with -e sha=…"
            )
        targets[host] = confirmed[-1]
    return targets
