from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain import ending
from ansible.module_utils.rollout.domain.ending import NEVER_RESTARTED, WAITED_FOR

DONE, HEALTHY, STARTED = ({"condition": f"service_{word}"} for word in ("completed_successfully", "healthy", "started"))


def config(condition, **spec):
    """A stack whose service web depends on migrate."""
    return {"services": {"web": {"image": "w", "depends_on": {"migrate": condition}}, "migrate": {"image": "m", **spec}}}


@pytest.mark.parametrize(
    ("document", "gate", "found"),
    [
        # Another service waits for its end.
        (config(DONE), None, ("before", WAITED_FOR)),
        (config(DONE, restart="no", ports=[80]), {"health": "tcp://h:1"}, ("before", WAITED_FOR)),
        # It is never restarted, and others depend on it.
        (config(STARTED, restart="no"), None, ("before", NEVER_RESTARTED)),
        (config(STARTED, restart="no"), {"compatible": True, "deadline": 5}, ("before", NEVER_RESTARTED)),
        (config(STARTED), None, None),
        (config(STARTED, restart="always"), None, None),
        # What a service has that stays.
        (config(HEALTHY, restart="no"), None, None),
        (config(STARTED, restart="no", ports=[80]), None, None),
        (config(STARTED, restart="no", healthcheck={"test": "x"}), None, None),
        (config(STARTED, restart="no"), {"health": "tcp://h:1"}, None),
        (config(STARTED, restart="no"), {"keep": True}, None),
        (config(STARTED, restart="no"), {"keep": False}, None),
        # Its own key says it, whatever else does.
        (config(STARTED), {"job": "after"}, ("after", "")),
        (config(DONE), {"job": "after"}, ("after", "")),
        (config(DONE), {"job": False}, None),
        (config(STARTED, restart="no"), {"job": False}, None),
        # Of a gate that cannot be meant others tell.
        (config(STARTED, restart="no"), [1], None),
    ],
)
def test_what_is_a_job(document, gate, found):
    assert ending.jobs(document, {"migrate": gate}).get("migrate") == found
    assert "web" not in ending.jobs(document, {"migrate": gate})


def test_nobody_depends_on_it():
    assert ending.jobs({"services": {"once": {"restart": "no"}}}, {}) == {}


def test_a_kept_service_is_none_unless_its_end_is_waited_for():
    assert ending.jobs(config(STARTED, restart="no"), {}, ["migrate"]) == {}
    assert list(ending.jobs(config(DONE), {}, ["migrate"])) == ["migrate"]


def test_what_is_not_in_the_file_is_none():
    assert ending.jobs({"services": {"web": {"depends_on": {"gone": DONE}}}}, {"other": {"job": "before"}}) == {}
