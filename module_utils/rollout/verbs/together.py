"""Does one thing to several stacks of a host, at once where that is wanted."""

from __future__ import annotations

import threading
from typing import Any, Callable, Sequence

from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.store import Store

One = Callable[[Store, str], "dict[str, Any]"]


def together(one: One, store: Store, stacks: Sequence[str], at_once: bool) -> dict[str, Any]:
    """What ``one`` does to each stack (changed, services and, where it has them, phases and clock), as one result.

    Raises:
        RolloutError: the first that failed; the others have ended then, at their next look at the lock or by themselves.
    """
    if not at_once or len(stacks) < 2:
        return _joined([one(store, stack) for stack in stacks], False)
    halted = threading.Event()
    failed: list[BaseException] = []

    def guarded(stack: str) -> dict[str, Any]:
        try:
            return one(store.halting(halted), stack)
        except BaseException as error:
            # In the order in which they fell: the first one is the cause.
            failed.append(error)
            halted.set()
            raise

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(stacks)) as pool:
        futures = [pool.submit(guarded, stack) for stack in stacks]
    if failed:
        first = failed[0]
        if isinstance(first, RolloutError):
            others = [e.facts.get("phases") or [] for e in failed[1:] if isinstance(e, RolloutError)]
            first.facts["phases"] = sum(others, first.facts.get("phases") or [])
        raise first
    return _joined([future.result() for future in futures], True)


def _joined(results: Sequence[dict[str, Any]], at_once: bool) -> dict[str, Any]:
    joined: dict[str, Any] = {
        "changed": any(result["changed"] for result in results),
        "services": [service for result in results for service in result["services"]],
    }
    phases, clock = [], 0.0
    for result in results:
        # By the clock of its own stack; one after another, that began when the one before it had ended.
        began = 0.0 if at_once else clock
        phases += [_later(phase, began) for phase in result.get("phases", [])]
        clock = max(clock, began + result.get("clock", 0.0))
    return {**joined, "phases": phases, "clock": round(clock, 3)}


def _later(phase: dict[str, Any], seconds: float) -> dict[str, Any]:
    return {**phase, **{key: round(phase[key] + seconds, 3) for key in ("from", "to") if phase[key] is not None}}
