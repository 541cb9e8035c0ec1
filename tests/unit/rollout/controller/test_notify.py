from __future__ import annotations

import builtins
import contextlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import apprise
import pytest
from ansible.module_utils.rollout.controller import notify
from receiver import receiver

MESSAGE = notify.Message("ROLLOUT SUCCEEDED: v1", "Run r1.", "success")
NOBODY = "json://user:canary-password@127.0.0.1:1/canary-path"
NOT_TAKEN = "JSON (URL {} of rollout_notify_urls) did not take it: is it there, is the URL right?"


@pytest.fixture(scope="module", autouse=True)
def loaded():
    """Apprise looks for its plugins at first; on a busy machine that takes longer than a test's limit."""
    assert apprise.Apprise.instantiate("json://localhost")


def test_sent():
    with receiver() as one:
        assert notify.send([one.url], MESSAGE, 60) == []
    (got,) = one.got
    assert (got["title"], got["message"], got["type"]) == ("ROLLOUT SUCCEEDED: v1", "Run r1.", "success")


@pytest.mark.parametrize("kind", ["success", "warning", "failure"])
def test_kinds_and_a_message_without_a_body(kind):
    with receiver() as one:
        assert notify.send([one.url], notify.Message("Title", "", kind), 60) == []
    assert (one.got[0]["message"], one.got[0]["type"]) == ("Title", kind)


def test_what_a_host_says_is_text_also_where_a_receiver_shows_html():
    hostile = notify.Message("v1 <b>", "<img src=//x> **bold** {{ 1 }}", "success")
    with receiver() as one:
        assert notify.send([f"{one.url}&format=html", one.url], hostile, 60) == []
    html, plain = sorted(one.got, key=lambda got: "&lt;" not in got["message"])
    assert "<img" not in html["message"]
    assert "&lt;img" in html["message"]
    assert plain["message"] == hostile.body


@pytest.mark.parametrize("status", [401, 500])
def test_a_receiver_that_does_not_want_it(status):
    with receiver(status) as one:
        assert notify.send([one.url], MESSAGE, 60) == [NOT_TAKEN.format(1)]
    assert len(one.got) == 1


def test_an_answer_that_floods_takes_no_more_memory_than_it_may(monkeypatch):
    """It ends behind 512 MiB: were all of it read, the message would count as taken."""
    monkeypatch.setattr(notify, "_MEMORY", 64 * 2**20)
    sent = 0

    class Flood(BaseHTTPRequestHandler):
        def do_POST(self):
            nonlocal sent
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while sent < 512:
                    self.wfile.write(b" " * 2**20)
                    sent += 1

        def log_message(self, *_arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Flood) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert notify.send([f"json://127.0.0.1:{server.server_port}/"], MESSAGE, 60) == [NOT_TAKEN.format(1)]
        thread.join()
    assert sent < 128


def test_each_receiver_for_itself():
    with receiver() as well, receiver(0) as slow, receiver(500) as ill:
        urls = [slow.url, NOBODY, "not a url", "unknown://canary-host", slow.url, ill.url, well.url]
        unsent = notify.send(urls, MESSAGE, 2)
    assert unsent == [
        "JSON (URL 1 of rollout_notify_urls) did not take it within 2 s.",
        NOT_TAKEN.format(2),
        "URL 3 of rollout_notify_urls is not one that Apprise knows.",
        "URL 4 of rollout_notify_urls is not one that Apprise knows.",
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
    assert notify.send(["json://x"], MESSAGE, 10) == [notify.MISSING.text()]
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
