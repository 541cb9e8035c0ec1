"""Services that may be waited for longer than a guard waits."""

from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain import limits
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.gate import Drain

LIMIT = (
    "docker-compose.core.yml: x-rollout.web.{key} is {seconds:g} s and rollout_confirm_timeout 900: the guard would act while "
)


@pytest.mark.parametrize(
    ("gate", "confirm", "mode", "key"),
    [
        ({"deadline": 900.0}, 900, "checkpoint", "deadline"),
        ({"deadline": 899.0}, 900, "checkpoint", ""),
        ({"deadline": 5000.0}, 0, "wait", ""),
        ({"deadline": 5000.0, "released": False}, 900, "wait", ""),
        ({"drain": Drain("http://h/", mode="wait", timeout=901.0)}, 900, "force", "drain.timeout"),
        ({"drain": Drain("http://h/", timeout=901.0)}, 900, "wait", "drain.timeout"),
        ({"drain": Drain("http://h/", timeout=901.0)}, 900, "checkpoint", ""),
        ({"drain": Drain("http://h/", mode="force", timeout=901.0)}, 900, "wait", ""),
        # The run's own timeout: `inventory.too_late`.
        ({"drain": Drain("http://h/")}, 900, "wait", ""),
    ],
)
def test_a_service_that_may_be_waited_for_longer_than_the_guard_waits(gate, confirm, mode, key):
    found = limits.too_late("docker-compose.core.yml", [Service("web", "r/web:v", **{"released": True, **gate})], confirm, mode)
    seconds = gate.get("deadline") or (gate["drain"].timeout if gate.get("drain") else 0)
    assert [sentence.startswith(LIMIT.format(key=key, seconds=seconds or 0)) for sentence in found] == [True] * bool(key)
