"""Drains a service before its stop: no more work is let in, what it has is waited for. Afterwards work is let in again."""

from __future__ import annotations

from typing import Optional

from ansible.module_utils.rollout.domain import compose, drain, health
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.domain.gate import FORCE, WAIT, Drain
from ansible.module_utils.rollout.io import clock, http
from ansible.module_utils.rollout.verbs import refusals
from ansible.module_utils.rollout.verbs.deployment import Deployment

# How long a service may take until it can be told to take work again, and the pause between two tries.
RESUME_S, RESUME_PAUSE_S = 20.0, 0.5


def stop_intake(asked: Drain) -> Answer:
    """Tell a service to take no more work; what it still does."""
    answer = http.tell(asked.stop, {"draining": True})
    return http.ask(asked.busy) if asked.busy and drain.good(answer) else answer


def resume(asked: Drain) -> str:
    """Tell a service to take work again; why it could not be told, or empty."""
    answer = http.tell(asked.stop, {"draining": False})
    return "" if drain.good(answer) else refusals.NOT_RESUMED.text(trouble=drain.trouble(answer))


def resume_in_time(asked: Drain) -> str:
    """As `resume`, again and again for a while: a service that has just started has to be registered first."""
    ends = clock.monotonic() + RESUME_S
    left = resume(asked)
    while left and clock.monotonic() < ends:
        clock.sleep(RESUME_PAUSE_S)
        left = resume(asked)
    return left


def let_go(
    deployment: Deployment, service: compose.Service, asked: Drain, mode: str, began: float
) -> tuple[str, Optional[Answer]]:
    """Stop a service's intake of work as the mode says, which comes back with what the service had then.

    Args:
        began: since when it is waited for, on the monotonic clock.

    Raises:
        RolloutError: as `idle` does.
    """
    if mode == FORCE:
        return mode, None
    with deployment.phases.phase("drain", service.name, mode):
        if mode != WAIT:
            return mode, stop_intake(asked)
        return mode, idle(deployment, service, drain.Wait(asked, deployment.policy.drain_s, began))


def idle(deployment: Deployment, service: compose.Service, wait: drain.Wait) -> Optional[Answer]:
    """Wait until a service has nothing more to do; what it had. It is told each time: it may have been restarted.

    Raises:
        RolloutError: it still has after its timeout, or does not say; it is left running, and takes work again.
    """
    while True:
        deployment.store.fence()
        now = clock.monotonic()
        state = wait.look(stop_intake(wait.asked), now)
        if state == drain.IDLE:
            return wait.first
        deployment.waits("drain", service, wait.doing, now - wait.started, wait.limit)
        if state == drain.FAIL:
            left = resume(wait.asked)
            said = refusals.LEFT_DRAINING.text(why=wait.why, left=left) if left else refusals.LEFT_RUNNING.text(why=wait.why)
            raise deployment.failure(service, "drain", said, sentence=refusals.NOT_REPLACED)
        clock.sleep(health.next_pause(now - wait.started))
