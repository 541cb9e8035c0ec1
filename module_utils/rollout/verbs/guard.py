"""The guard of a host: unless the controller confirms in time, it brings the stable release back (I8).

It runs on the host, with the engine and the standard library alone, and acts on state, not on signals: on what the
ledger says. The entry ``armed`` arms it; ``confirmed`` and ``reverted`` disarm it, each by one append.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import sys
from pathlib import Path
from typing import Any, Callable, Optional

from ansible.module_utils.rollout.domain import lock as locks
from ansible.module_utils.rollout.domain import rehearsal
from ansible.module_utils.rollout.domain.data import GATE as DATA
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import clock, machine, masking, package, processes, reserve, throw_away
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import locking, refusals, switch
from ansible.module_utils.rollout.verbs.data import Data
from ansible.module_utils.rollout.verbs.deployment import Deployment

POLL_S = 1.0
START_S = 20.0
RETRY_S = 10.0
RETRIES = 180
END_S = 10.0


@functools.cache
def program() -> bytes:
    """The guard as one file for `python3`: what the agent brought is gone after its run, and the guard outlives it."""
    return package.pack(package.HOST, f"from {package.PACKAGE}.verbs.guard import main\n\nmain()\n")


def stand_by(store: Store, application: str, run: str) -> None:
    """Have a guard at hand on this host for as long as `run` holds its lock: whoever arms it then waits for no program to start.

    systemd starts its own.
    """
    if _holds(store, run) and not alive(store) and machine.keeper(application) != machine.SYSTEMD:
        store.write_guard(program())
        machine.detach(store.guard, store.root / "guard.log", run)


def arm(store: Store, application: str, run: str, name: str, timeout: float, again: bool = False) -> None:
    """Arm the guard of this host for `run`, once, before anything is switched to the release in directory `name`.

    Args:
        again: let its time begin anew if it is armed: backups and jobs must not take that of the switches behind them.

    Raises:
        RolloutError: no guard came to life; then nothing may be switched.
    """
    armed = store.ledger().armed
    if not timeout or (armed and armed["run"] == run and alive(store) and not again):
        return
    store.write_guard(program())
    reserve.keep(store.root)
    keeper = machine.keeper(application)
    manifest = store.manifest(name)
    # All that the guard needs to know of this release: its files may be damaged when it acts.
    facts = {"name": name, "application": application, **{key: manifest[key] for key in ("release", "stacks")}}
    store.append("armed", run, **facts, timeout=timeout, keeper=keeper, **machine.clock().mark())
    store.trigger()
    if keeper == machine.SYSTEMD and _came(store):
        return
    if not alive(store):
        machine.detach(store.guard, store.root / "guard.log")
    if not _came(store):
        raise refusals.NO_GUARD(program=shlex.quote(str(store.guard)), facts={"gate": "guard"})


def alive(store: Store) -> bool:
    """Whether a guard is at work on this host."""
    with store.mutex(".guard", 0) as free:
        return not free


def _came(store: Store) -> bool:
    ends = clock.monotonic() + START_S
    while clock.monotonic() < ends:
        if alive(store):
            return True
        clock.sleep(0.005)
    return False


def watch(store: Store, engine: Engine, run: str = "", leave: Callable[[], None] = lambda: None) -> None:
    """Wait until the ledger says that nothing is armed; act where that does not come in time.

    Args:
        run: who may still arm it, as long as it holds the lock.
        leave: is called at the end, while nobody can arm it: from then on it is not alive.

    Raises:
        RolloutError: the stable release could not be brought back, again and again.
    """
    failures = 0
    ended: dict[str, Any] = {}
    while True:
        armed = store.ledger().armed
        if armed is None and _holds(store, run):
            clock.sleep(POLL_S)
            continue
        if armed is None:
            with store.mutex(".step", RETRY_S) as alone:
                # Whoever arms holds this mutex: what is read here cannot change before the trigger is gone.
                if alone and store.ledger().armed is None:
                    store.untrigger()
                    leave()
                    break
            continue
        rest = locks.left(armed, float(armed["timeout"]), machine.clock())
        if rest > 0 or not _mine(store, armed):
            clock.sleep(POLL_S)
            continue
        try:
            with store.mutex(".step", RETRY_S) as alone:
                if store.ledger().armed != armed:
                    continue
                if not alone:
                    ended = _end_step(store, armed) or ended
                    continue
                if ended:
                    store.forget_progress()
                    store.append("ended", **ended)
                    ended = {}
                revert(store, engine, armed)
        except Exception as error:  # whatever it is, the host must not stay half-way
            failures += 1
            _say(masking.masked(f"Try {failures}: {error}"))
            _record(store, armed, masking.masked(str(error)))
            if failures >= RETRIES:
                raise
        clock.sleep(RETRY_S if failures else 0)
    store.sweep()


def _record(store: Store, armed: dict[str, Any], why: str) -> None:
    """Have the ledger say why the stable release is not back yet, once for each reason."""
    # On a full disk the log alone says it, if at all.
    with contextlib.suppress(RolloutError, OSError):
        if store.ledger().stuck != why:
            store.append("stuck", str(armed["run"]), why=why, by="guard")


def _end_step(store: Store, armed: dict[str, Any]) -> dict[str, Any]:
    """End the step that hangs on this host behind its time, with all that it started.

    Whose run has lost its time here is not at work: it armed this guard, or holds no lock that is in force (`_mine`).

    Returns:
        What the ledger is to say of it; empty where nothing was ended.
    """
    held = store.step_holder()
    if held is None:
        return {}
    step = store.doing(held.run)
    left = processes.end(held.process, lambda: store.ledger().armed == armed and _mine(store, armed), END_S)
    if left is None:
        return {}
    for one in left:
        _say(f"Process {one.pid} of run {held.run} was killed and does not end (state {one.state}): a disk or a network hangs.")
    return {"run": held.run, "step": step, "process": held.process.pid, "by": "guard"}


def _holds(store: Store, run: str) -> bool:
    """Whether a run holds the lock of this host."""
    try:
        found = store.lock()
    except RolloutError:
        return False
    return found is not None and found["run"] == run and not locks.expired(found, machine.clock())


def _mine(store: Store, armed: dict[str, Any]) -> bool:
    """Whether nobody else is at work here: the run that armed, or one that is gone."""
    return not _other(store, armed)[0]


def _other(store: Store, armed: dict[str, Any]) -> tuple[str, float]:
    """Another run that holds the lock, in a few words, and how many seconds the guard leaves it at most; empty if nobody does.

    While none of its steps is at work here, it has no longer than the run that armed the guard: the lock of the whole fleet lives
    as long as a pull may take, and who took it may be dead.
    """
    try:
        found = store.lock()
    except RolloutError:
        found = None
    if found is None or found["run"] == armed["run"]:
        return "", 0.0
    holder = store.step_holder()
    limit = float(found["ttl"])
    if holder is None or holder.run != found["run"]:
        limit = min(limit, float(armed["timeout"]))
    rest = locks.left(found["heartbeat"], limit, machine.clock())
    return (locks.who(found), round(rest, 1)) if rest > 0 else ("", 0.0)


def revert(store: Store, engine: Engine, armed: dict[str, Any]) -> None:
    """Bring this host's stable release back, with the data that it knows, hold its gates, and record that. If the data forbids
    it, that alone is recorded.

    The gates decide only what the ledger says of them (``fault``): there is nothing else to go back to.

    Raises:
        RolloutError: the engine does not do it.
    """
    masking.learn_releases(store)
    # What a rehearsal left that was killed with its run. It is in nobody's way.
    with contextlib.suppress(RolloutError):
        throw_away.sweep(engine, rehearsal.labelled(store.root))
    run, stable = str(armed["run"]), store.ledger().stable
    # A guard of an earlier version did not say them.
    left = armed if "stacks" in armed else store.manifest(armed["name"])
    name = stable.name if stable else armed["name"]
    back = [Deployment(store, engine, left["application"], stack, name, run) for stack in left["stacks"]]
    try:
        Data(store, engine, left["application"], run, [armed["name"]]).come_back()
    except RolloutError as error:
        if error.facts.get("gate") != DATA:
            raise
        _leave(store, armed, masking.masked(str(error)))
        return
    fault, damaged = "", False
    for deployment in reversed(back):
        try:
            if stable:
                switch.bring_back(deployment)
            else:
                switch.remove(deployment, check=False)
        except RolloutError as error:
            if not error.facts.get("damaged"):
                raise
            # Nothing more can be done without those files, now or later.
            damaged, fault = True, fault or str(error)
    for deployment in back if stable and not damaged else []:
        try:
            if switch.look(deployment)["changed"]:
                fault = fault or f"stack {deployment.stack} is not wholly on {deployment.release}"
        except RolloutError as error:
            if error.facts.get("away"):
                # It is tried again.
                raise
            fault = fault or masking.masked(str(error))
    store.append("reverted", run, name=stable.name if stable else "", by="guard", fault=fault)
    locking.release(store, run, False)
    again = f"{stable.release} runs again." if stable else "its services were removed."
    _say(f"Run {run} was not confirmed in {armed['timeout']:.0f} s: {'' if damaged else again} {fault}".strip())


def _leave(store: Store, armed: dict[str, Any], fault: str) -> None:
    """Leave everything as it is, since the data forbids the way back, and have the ledger say so: somebody has to decide."""
    run = str(armed["run"])
    store.append("barred", run, name=armed["name"], by="guard", fault=fault)
    locking.release(store, run, False)
    _say(f"Run {run} was not confirmed in {armed['timeout']:.0f} s: {fault}")


def _say(text: str) -> None:
    """Into the guard's log, which is in the state directory: that its disk is full must not end the guard."""
    from ansible.module_utils.rollout.domain.printable import printable  # seldom needed

    with contextlib.suppress(OSError):
        print(printable(text), flush=True)


def state(store: Store) -> Optional[dict[str, Any]]:
    """The armed guard for people: run, fires_in (seconds), alive, keeper, stuck (why it is not done yet), waits_for and waits_s
    (whom it leaves at work, and how many seconds at most; empty and 0 if nobody); None where none is armed."""
    armed = store.ledger().armed
    if armed is None:
        return None
    rest = locks.left(armed, float(armed["timeout"]), machine.clock())
    facts = {"run": armed["run"], "fires_in": round(rest, 1), "alive": alive(store), "keeper": armed.get("keeper", "")}
    who, seconds = _other(store, armed)
    return {**facts, "stuck": store.ledger().stuck, "waits_for": who, "waits_s": seconds}


def main() -> None:
    """Run as a program: ``python3 guard.pyz [RUN]``, beside the ledger. One at a time; a second one ends at once.

    It stands by for the run, or ends at once where nothing is armed.
    """
    store, run = Store(str(Path(sys.argv[0]).resolve().parent)), "".join(sys.argv[1:])
    # Its files are for its user alone.
    os.umask(0o077)
    with contextlib.ExitStack() as alone:
        try:
            store.require_own()
        except RolloutError as error:
            sys.exit(f"The guard does not start: {error}")
        # Longer than anybody takes who only looks whether a guard is alive.
        if not alone.enter_context(store.mutex(".guard", 2)):
            return
        try:
            watch(store, Engine(), run, alone.close)
        except (RolloutError, OSError) as error:
            sys.exit(masking.masked(f"The guard gives up: {error}"))
