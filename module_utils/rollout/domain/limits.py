"""Whether services may be waited for longer than a guard waits. Pure."""

from __future__ import annotations

from typing import Sequence

from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.gate import WAIT
from ansible.module_utils.rollout.errors import Refusal

TOO_LATE = Refusal(
    "Compose file and environment",
    "{where} is {seconds:g} s and rollout_confirm_timeout {confirm:g}: the guard would act while the service is still waited "
    "for. Raise rollout_confirm_timeout, or lower that.",
    "raise `rollout_confirm_timeout`: above all that the services of a host may be waited for",
)


def too_late(file: str, services: Sequence[Service], confirm: float, mode: str) -> list[str]:
    """A sentence for each service of a stack that may be waited for longer than a guard waits.

    Args:
        file: the stack's Compose file, for the sentence.
        confirm: seconds after which the guard acts; 0 for never.
        mode: how a service is drained whose gate does not say it.
    """
    waits = [(service.name, "deadline", service.deadline) for service in services if service.released]
    # Of a drain whose gate has no timeout, the run's settings are looked at.
    drained = [(s.name, s.drain) for s in services if s.drain and (s.drain.mode or mode) == WAIT]
    waits += [(name, "drain.timeout", drain.timeout) for name, drain in drained if drain.timeout is not None]
    return [
        TOO_LATE.text(where=f"{file}: x-rollout.{name}.{key}", seconds=seconds, confirm=confirm)
        for name, key, seconds in waits
        if 0 < confirm <= seconds
    ]
