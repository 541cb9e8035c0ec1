"""Event streams that are open when requests move."""

from __future__ import annotations

import http.client
import threading
import time

import pytest
from conftest import PORT, get, run

pytestmark = pytest.mark.nightly


def test_a_stream_that_ends_by_itself_ends_whole(address, one):
    ended = []
    stream = threading.Thread(target=lambda: ended.append(get(address, "/events?seconds=12")))
    stream.start()
    run("rollout.yml", "-e", "sha=bbbbbb2")
    stream.join()
    how, body = ended[0]
    assert how == "ok"
    assert body.count(b"data: ") == 12
    assert body.count(b"sha-aaaaaa1") == 12, "from its beginning to its end from the old one"
    one("sha-bbbbbb2")


def test_a_stream_without_an_end_is_cut_at_the_drain_limit(address, one):
    """bench_connections_seconds is 15 here; the stream goes on until then."""
    seen = []

    def listen():
        connection = http.client.HTTPConnection(address, PORT, timeout=60)
        connection.request("GET", "/events")
        answer = connection.getresponse()
        began = time.monotonic()
        try:
            while line := answer.readline():
                seen.append((time.monotonic() - began, line))
        except (OSError, http.client.HTTPException):
            pass

    stream = threading.Thread(target=listen)
    stream.start()
    said = run("rollback.yml", "-e", "sha=aaaaaa1")
    stream.join(30)
    assert not stream.is_alive(), "the rollback is over, and so is the stream"
    events = [at for at, line in seen if line.startswith(b"data: ")]
    assert events[-1] > 15, "it was left alone until the limit"
    assert "ROLLBACK SUCCEEDED" in said
    one("sha-aaaaaa1")
