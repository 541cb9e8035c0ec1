from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.module_utils.rollout import beside, engine, gates, gpu, switch


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A gate waits in no time: its clock goes on by what it sleeps."""
    now = SimpleNamespace(time=0.0)

    def sleep(seconds):
        now.time += seconds

    for module in (switch, gates, beside, engine, gpu):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.time, sleep=sleep))
    return now
