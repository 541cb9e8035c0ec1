from __future__ import annotations

import sys

from ansible.module_utils.rollout.controller import notify
from receiver import receiver


def test_sent_and_not_sent(run):
    with receiver() as well, receiver(500) as ill:
        result = run("notification", urls=[well.url, ill.url], title="T", body="B", kind="failure")
    assert (result["sent"], len(result["unsent"]), result["changed"]) == (1, 1, False)
    assert (well.got[0]["title"], well.got[0]["type"]) == ("T", "failure")
    assert "canary" not in str(result)


def test_check_mode_sends_nothing(run):
    with receiver() as one:
        result = run("notification", True, urls=[one.url], title="T")
    assert (result["sent"], result["unsent"], one.got) == (0, [], [])


def test_without_apprise_it_is_no_failure(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    result = run("notification", urls=["json://x"], title="T")
    assert result["unsent"] == [notify.MISSING.text()]
