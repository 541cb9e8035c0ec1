from __future__ import annotations

import builtins
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.module_utils.rollout import notify
from receiver import receiver

MESSAGE = notify.Message("ROLLOUT SUCCEEDED: v1", "Run r1.", "success")
NOBODY = "json://user:canary-password@127.0.0.1:1/canary-path"
NOT_TAKEN = "JSON (URL {} of rollout_notify_urls) did not take it: is it there, is the URL right?"


def test_sent():
    with receiver() as one:
        assert notify.send([one.url], MESSAGE, 10) == []
    (got,) = one.got
    assert (got["title"], got["message"], got["type"]) == ("ROLLOUT SUCCEEDED: v1", "Run r1.", "success")


@pytest.mark.parametrize("kind", ["success", "warning", "failure"])
def test_kinds_and_a_message_without_a_body(kind):
    with receiver() as one:
        assert notify.send([one.url], notify.Message("Title", "", kind), 10) == []
    assert (one.got[0]["message"], one.got[0]["type"]) == ("Title", kind)


@pytest.mark.parametrize("status", [401, 500])
def test_a_receiver_that_does_not_want_it(status):
    with receiver(status) as one:
        assert notify.send([one.url], MESSAGE, 10) == [NOT_TAKEN.format(1)]
    assert len(one.got) == 1


def test_each_receiver_for_itself():
    with receiver() as well, receiver(0) as slow, receiver(500) as ill:
        urls = [slow.url, NOBODY, "not a url", "unknown://canary-host", slow.url, ill.url, well.url]
        unsent = notify.send(urls, MESSAGE, 2)
    assert unsent == [
        "JSON (URL 1 of rollout_notify_urls) did not take it within 2 s.",
        NOT_TAKEN.format(2),
        "URL 3 of rollout_notify_urls is none that Apprise knows.",
        "URL 4 of rollout_notify_urls is none that Apprise knows.",
        "JSON (URL 5 of rollout_notify_urls) did not take it within 2 s.",
        NOT_TAKEN.format(6),
    ]
    assert "canary" not in " ".join(unsent)
    assert len(well.got) == 1


def test_no_receiver_waits_for_another():
    with receiver(0) as slow:
        # It answers nobody before both have come.
        both = threading.Barrier(2, slow.over.set)
        slow.got = type("Got", (list,), {"append": lambda self, message: both.wait(60)})()
        assert notify.send([slow.url, slow.url], MESSAGE, 60) == []


def test_the_limit_is_for_all_of_them(monkeypatch):
    # 900 s pass while they are started, so none is left for either; each would be answered after a minute.
    now = iter([0.0])
    monkeypatch.setattr(notify, "time", SimpleNamespace(monotonic=lambda: next(now, 900.0)))
    with receiver(0) as slow:
        unsent = notify.send([slow.url, slow.url], MESSAGE, 900)
    assert unsent == [f"JSON (URL {number} of rollout_notify_urls) did not take it within 900 s." for number in (1, 2)]


def test_nobody_to_tell():
    assert notify.send([], MESSAGE, 10) == []


def test_without_apprise(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name == "apprise":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert notify.send(["json://x"], MESSAGE, 10) == [notify.MISSING]
    assert notify.send([], MESSAGE, 10) == []


def test_the_url_is_in_no_process_list():
    seen = []
    with receiver(0) as slow:
        real = slow.got.append

        def look(message):
            real(message)
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    seen.append((process / "cmdline").read_bytes() + (process / "environ").read_bytes())
                except OSError:
                    continue
            slow.over.set()

        slow.got = type("Got", (list,), {"append": lambda self, message: look(message)})()
        assert notify.send([slow.url], MESSAGE, 20) == []
    assert len(seen) > 2
    assert not any(b"canary-password" in line for line in seen)
