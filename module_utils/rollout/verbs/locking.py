"""The verbs of the lock: hold it, give it back."""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import Any, Iterator, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import lock as locks
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import clock, machine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import refusals

PAUSE_S = 2.0


def hold(
    store: Store, run: str, owner: Mapping[str, Any], alive: Sequence[str], ttl: float, wait: float, check: bool
) -> dict[str, Any]:
    """Take this host's lock for `run`, or renew it.

    Args:
        owner: user, host, machine, process, action of the one who asks.
        alive: processes on the owner's machine that may hold a lock.
        ttl: seconds without a sign of life after which the lock expires.
        wait: seconds to wait for one that is held.

    Returns:
        changed (it was not held before), taken_over (a sentence, or empty).

    Raises:
        RolloutError: somebody else holds it; says who, from where, since when. Fact ``fenced`` where `run` had it before.
    """
    ends = clock.monotonic() + wait
    while True:
        word, found = _try(store, run, owner, alive, ttl, check)
        if word != locks.HELD or found is None:
            taken = locks.taken_over(found, word) if found and word != locks.OWN else ""
            if not check:
                store.sweep()
            return {"changed": word != locks.OWN, "taken_over": taken}
        if clock.monotonic() >= ends:
            raise locks.refusal(found, machine.clock())
        clock.sleep(PAUSE_S)


@contextlib.contextmanager
def changing(store: Store) -> Iterator[None]:
    """Keep everybody else from taking, renewing or removing the lock.

    Raises:
        RolloutError: somebody has been at it for too long.
    """
    with store.mutex(".lock", 30) as got:
        if not got:
            raise refusals.LOCK_CHANGING(path=shlex.quote(str(store.root / ".lock")))
        yield


def _try(
    store: Store, run: str, owner: Mapping[str, Any], alive: Sequence[str], ttl: float, check: bool
) -> tuple[str, Optional[dict[str, Any]]]:
    if check:
        found = store.lock()
        return locks.judge(found, run, owner, alive, machine.clock()), found
    with changing(store):
        found = store.lock()
        now = machine.clock()
        word = locks.judge(found, run, owner, alive, now)
        if word != locks.HELD:
            since = found["since"] if found and word == locks.OWN else machine.now()
            source = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
            store.write_lock(locks.document(owner, run, ttl, since, now, source))
        return word, found


def renew(store: Store, run: str, ttl: float, check: bool) -> dict[str, Any]:
    """Give a sign of life for a lock that `run` holds; without another one it expires after `ttl` seconds.

    Raises:
        RolloutError: it does not hold it any more.
    """
    if check:
        return {"changed": False}
    with changing(store):
        store.fence(run)
        store.write_lock({**(store.lock() or {}), "ttl": ttl, "heartbeat": machine.clock().mark()})
    return {"changed": False}


def release(store: Store, run: str, check: bool, owner: Mapping[str, Any] = {}, force: bool = False) -> dict[str, Any]:
    """Give the lock back: that of `run`, or with an empty `run` whoever's it is.

    Args:
        owner: who asks, as `hold` has it, with alive: a run that is at work beside it keeps its lock, but for ``force``.

    Returns:
        changed, released: who held it, or empty.

    Raises:
        RolloutError: a run that is at work has it.
    """
    if not store.lock_path.exists():
        return {"changed": False, "released": ""}
    with changing(store):
        try:
            found = store.lock()
            process = locks.at_work(found, owner, map(str, owner.get("alive", []))) if found and not (run or force) else ""
            held = locks.who(found) if found and run in ("", found["run"]) else ""
        except RolloutError:
            # A damaged one is nobody's: only a person takes it away.
            process = ""
            held = "" if run else "a run that its damaged file does not name"
        if process:
            raise refusals.STILL_RUNNING(process=process, who=held)
        if held and not check:
            store.remove_lock()
            store.sweep()
        return {"changed": bool(held), "released": held}
