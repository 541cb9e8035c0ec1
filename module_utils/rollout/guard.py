"""The guard of a host: unless the controller confirms in time, it brings the stable release back (I8).

It runs on the host, with the engine and the standard library alone, and acts on state, not on signals: on what the
ledger says. The entry ``armed`` arms it; ``confirmed`` and ``reverted`` disarm it, each by one append.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import time
from pathlib import Path
from typing import Any, Callable, Optional

from ansible.module_utils.rollout import archive, hold, machine
from ansible.module_utils.rollout import lock as locks
from ansible.module_utils.rollout.archive import PACKAGE
from ansible.module_utils.rollout.engine import Engine
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.switch import Switch

POLL_S = 1.0
START_S = 20.0
RETRY_S = 10.0
RETRIES = 180


@functools.cache
def program() -> bytes:
    """The guard as one file for `python3`: this package as far as it is loaded, and a start.

    Modules reach a host for one run only; the guard outlives it.
    """
    loaded = {
        name: (inspect.getsource(module), module.__spec__.loader.get_code(name))  # type: ignore[union-attr]
        for name, module in sorted(sys.modules.items())
        if name.startswith(PACKAGE + ".") and name.rpartition(".")[2] not in archive.CONTROLLERS
    }
    return archive.pack(loaded, f"from {PACKAGE}.guard import main\n\nmain()\n", small=False)


def stand_by(store: Store, application: str, run: str) -> None:
    """Have a guard at hand on this host for as long as `run` holds its lock: whoever arms it then waits for no program to start.

    systemd starts its own.
    """
    if _holds(store, run) and not alive(store) and machine.keeper(application) != machine.SYSTEMD:
        store.write_guard(program())
        machine.detach(store.guard, store.root / "guard.log", run)


def arm(store: Store, application: str, run: str, name: str, timeout: float) -> None:
    """Arm the guard of this host for `run`, once, before anything is switched to the release in directory `name`.

    Raises:
        RolloutError: no guard came to life; then nothing may be switched.
    """
    armed = store.ledger().armed
    if not timeout or (armed and armed["run"] == run and alive(store)):
        return
    store.write_guard(program())
    keeper = machine.keeper(application)
    facts = {"name": name, "release": store.manifest(name)["release"], "timeout": timeout, "keeper": keeper}
    store.append("armed", run, **facts, **machine.clock().mark())
    store.trigger()
    if keeper == machine.SYSTEMD and _came(store):
        return
    if not alive(store):
        machine.detach(store.guard, store.root / "guard.log")
    if not _came(store):
        raise RolloutError(
            f"The guard of this host does not start: python3 {store.guard} says why. Without it nothing is switched.",
            gate="guard",
        )


def alive(store: Store) -> bool:
    """Whether a guard is at work on this host."""
    with store.mutex(".guard", 0) as free:
        return not free


def _came(store: Store) -> bool:
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        if alive(store):
            return True
        time.sleep(0.005)
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
    while True:
        armed = store.ledger().armed
        if armed is None and _holds(store, run):
            time.sleep(POLL_S)
            continue
        if armed is None:
            with store.mutex(".step", RETRY_S) as alone:
                # Whoever arms holds this mutex: what is read here cannot change before the trigger is gone.
                if alone and store.ledger().armed is None:
                    store.untrigger()
                    leave()
                    return
            continue
        rest = locks.left(armed, float(armed["timeout"]), machine.clock())
        if rest > 0 or not _mine(store, armed):
            time.sleep(POLL_S)
            continue
        try:
            with store.mutex(".step", RETRY_S) as alone:
                if not alone or store.ledger().armed != armed:
                    continue
                revert(store, engine, armed)
        except Exception as error:  # whatever it is, the host must not stay half-way
            failures += 1
            _say(f"Try {failures}: {error}")
            if failures >= RETRIES:
                raise
        time.sleep(RETRY_S if failures else 0)


def _holds(store: Store, run: str) -> bool:
    """Whether a run holds the lock of this host."""
    try:
        found = store.lock()
    except RolloutError:
        return False
    return found is not None and found["run"] == run and not locks.expired(found, machine.clock())


def _mine(store: Store, armed: dict[str, Any]) -> bool:
    """Whether nobody else is at work here: the run that armed, or one that is gone."""
    try:
        found = store.lock()
    except RolloutError:
        found = None
    return found is None or found["run"] == armed["run"] or locks.expired(found, machine.clock())


def revert(store: Store, engine: Engine, armed: dict[str, Any]) -> None:
    """Bring this host's stable release back, hold its gates, and record that.

    The gates decide only what the ledger says of them (``fault``): there is nothing else to go back to.

    Raises:
        RolloutError: the engine does not do it.
    """
    run, stable = str(armed["run"]), store.ledger().stable
    target = store.manifest(armed["name"])
    stacks, fault = list(target["stacks"]), ""
    for stack in reversed(stacks):
        if stable:
            _switch(store, engine, target, stack, stable.name, run).switch(False, wait=False)
        else:
            _switch(store, engine, target, stack, armed["name"], run).remove(False)
    for stack in stacks:
        if not stable:
            break
        try:
            if _switch(store, engine, target, stack, stable.name, run).switch(True)["changed"]:
                fault = fault or f"stack {stack} is not wholly on {stable.release}"
        except RolloutError as error:
            fault = fault or str(error)
    store.append("reverted", run, name=stable.name if stable else "", by="guard", fault=fault)
    hold.release(store, run, False)
    back = stable.release if stable else "nothing"
    _say(f"Run {run} was not confirmed in {armed['timeout']:.0f} s: {back} runs again. {fault}")


def _say(text: str) -> None:
    """Into the guard's log, which is in the state directory: that its disk is full must not end the guard."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _switch(store: Store, engine: Engine, target: dict[str, Any], stack: str, name: str, run: str) -> Switch:
    return Switch(store, engine, target["application"], stack, name, run)


def state(store: Store) -> Optional[dict[str, Any]]:
    """The armed guard for people: run, fires_in (seconds), alive; None where none is armed."""
    armed = store.ledger().armed
    if armed is None:
        return None
    rest = locks.left(armed, float(armed["timeout"]), machine.clock())
    return {"run": armed["run"], "fires_in": round(rest, 1), "alive": alive(store), "keeper": armed.get("keeper", "")}


def main() -> None:
    """Run as a program: ``python3 guard.pyz [RUN]``, beside the ledger. One at a time; a second one ends at once.

    It stands by for the run, or ends at once where nothing is armed.
    """
    store, run = Store(str(Path(sys.argv[0]).resolve().parent)), "".join(sys.argv[1:])
    with contextlib.ExitStack() as alone:
        # Longer than anybody takes who only looks whether a guard is alive.
        if not alone.enter_context(store.mutex(".guard", 2)):
            return
        try:
            watch(store, Engine(), run, alone.close)
        except (RolloutError, OSError) as error:
            sys.exit(f"The guard gives up: {error}")
