from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def filters(load):
    return load("plugins/filter/rollout.py").FilterModule().filters()


def test_every_filter_that_roles_use_is_there(filters, root):
    import re

    texts = [p.read_text() for place in ("roles", "playbooks", "inventory") for p in (root / place).rglob("*.yml")]
    used = {name for text in texts for name in re.findall(r"(?:\||map\(')\s*(rollout_[a-z_]+)", text)}
    assert used <= set(filters) | {"rollout_stacks", "rollout_result", "rollout_hosts"}
    assert len(used & set(filters)) >= 10


def test_verdict(filters):
    found = filters["rollout_verdict"]({"h1": {"changed": False}}, [], {"action": "rollout", "run": "r1", "release": "v1"})
    assert (found["verdict"], found["good"]) == ("unchanged", True)
    assert found["screen"].startswith("ROLLOUT UNCHANGED: v1 runs on 1 host already.")
    assert not filters["rollout_verdict"]({}, ["h1"], {"action": "rollout", "run": "r1"})["good"]


def test_status(filters):
    assert "h1: it could not be reached" in filters["rollout_status"]({"h1": filters["rollout_seen"]({})})


def test_problem(filters):
    assert "names no stack" in filters["rollout_problem"]({}, {})
