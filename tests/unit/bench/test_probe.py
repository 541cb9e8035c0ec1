"""What the probe counts, and that it asks in time whatever becomes of its requests."""

from __future__ import annotations

import http.server
import threading
import time

import pytest

from bench.probe import Probe, Sample, failed, longest_outage, slowest


def samples(*told: tuple[float, float, bool]) -> list[Sample]:
    return [Sample(*one) for one in told]


def test_an_outage_lasts_from_the_last_good_answer_to_the_first_one_after():
    found = samples((0.0, 0.01, True), (0.02, 0.03, True), (0.04, 0.05, False), (0.06, 2.06, False), (0.08, 0.59, True))
    assert longest_outage(found) == pytest.approx(0.59 - 0.03)
    assert failed(found) == 2
    assert slowest(found) == pytest.approx(0.51)


def test_the_longest_outage_counts():
    found = samples((0, 0.1, True), (1, 1.1, False), (2, 2.1, True), (3, 3.1, False), (4, 4.1, False), (5, 5.1, True))
    assert longest_outage(found) == pytest.approx(3.0)


def test_order_is_that_of_sending_and_not_of_answers():
    # The first one hangs for its whole limit, the others are answered meanwhile.
    found = samples((0.02, 0.03, True), (0.04, 0.05, True), (0.0, 2.0, False))
    assert longest_outage(found) == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("found", "seconds"),
    [
        ([], 0.0),
        (samples((0, 0.1, True), (1, 1.1, True)), 0.0),
        # No answer at all, none at the beginning, none at the end.
        (samples((0, 0.1, False), (1, 3.0, False)), 3.0),
        (samples((0, 0.1, False), (1, 1.5, True)), 1.5),
        (samples((0, 0.1, True), (1, 1.1, False), (2, 4.0, False)), 3.9),
    ],
)
def test_outages_at_the_edges(found, seconds):
    assert longest_outage(found) == pytest.approx(seconds)


class Service(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        if self.path == "/hangs":
            time.sleep(2)
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *arguments):
        """Quiet."""


@pytest.fixture
def service():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def asked(url: str, seconds: float, limit_s: float) -> list[Sample]:
    with Probe(url, rate=50, limit_s=limit_s) as probe:
        time.sleep(seconds)
    return sorted(probe.samples, key=lambda s: s.sent)


def test_good_answers(service):
    found = asked(f"{service}/", 0.5, 30)
    assert len(found) > 1
    assert failed(found) == 0


def test_a_bad_status_is_a_failed_request(service, monkeypatch):
    monkeypatch.setattr(Service, "status", 503)
    found = asked(f"{service}/", 0.2, 30)
    assert failed(found) == len(found) > 0


def test_requests_that_hang_keep_no_other_one_from_being_sent(service):
    found = asked(f"{service}/hangs", 0.8, 0.5)
    assert failed(found) == len(found)
    assert found[5].sent < found[0].done


def test_nobody_there():
    found = asked("http://127.0.0.1:9/", 0.2, 30)
    assert failed(found) == len(found) > 0
