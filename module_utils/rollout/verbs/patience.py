"""Waits for an engine that is away: an upgrade or a crash of it says nothing of a release."""

from __future__ import annotations

from typing import Any, Callable

from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import clock
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store

# Seconds for which the engine may be away during one step, all in all; how often; and the pause between two looks.
ENGINE_S, TIMES, PAUSE_S = 120.0, 3, 0.5


def patient(store: Store, engine: Engine, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``act`` returns. If the engine is away meanwhile, it is waited for, and all is done again: that converges.

    Raises:
        RolloutError: as ``act`` does; also if the engine stays away, or goes again and again.
    """
    left = ENGINE_S
    for _time in range(TIMES):
        try:
            return act()
        except RolloutError as error:
            if not error.facts.get("away"):
                raise
            began = clock.monotonic()
            while not engine.answers():
                waited = clock.monotonic() - began
                store.fence()
                if waited >= left:
                    raise
                store.tell(step="engine", what="engine", waiting_for="its answer", elapsed=round(waited, 1), deadline=left)
                clock.sleep(PAUSE_S)
            left -= clock.monotonic() - began
    return act()
