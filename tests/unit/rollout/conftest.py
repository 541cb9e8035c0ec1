from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain.mask import Mask
from ansible.module_utils.rollout.io import masking
from ansible.module_utils.rollout.io.store import Store


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch):
    """Each test is a process of its own, which knows no secret."""
    monkeypatch.setattr(masking, "_mask", Mask())


@pytest.fixture
def told(monkeypatch):
    """What a host says of itself, all of it."""
    found = []
    monkeypatch.setattr(Store, "tell", lambda self, **facts: found.append(facts))
    return found
