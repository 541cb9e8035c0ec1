from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain import retry

SENT = "Sun, 06 Nov 1994 08:49:37 GMT"


def test_pauses_grow_and_end():
    waited, pauses = 0.0, []
    while (wanted := retry.pause(len(pauses) + 1, waited)) is not None:
        pauses.append(wanted)
        waited += wanted
    assert pauses == [2, 4, 8, 16]


@pytest.mark.parametrize(
    ("tried", "waited", "asked", "wanted"),
    [
        (1, 0, 1, 2),
        (1, 0, 7.5, 7.5),
        (1, 0, 60, 60),
        (1, 0, 61, None),
        (2, 50, 10, 10),
        (2, 50, 11, None),
        (4, 0, 0, 16),
        (5, 0, 0, None),
    ],
)
def test_what_a_registry_asks_for_is_waited_for_within_the_limit(tried, waited, asked, wanted):
    assert retry.pause(tried, waited, asked) == wanted


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 120 ", 120),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10),
        ("Sunday, 06-Nov-94 08:49:47 GMT", 10),
        ("Sun Nov  6 08:49:47 1994", 10),
        ("Sun, 06 Nov 1994 08:49:27 GMT", 0),
        ("Sun, 06 Nov 1994 08:49:47 +0100", 0),
        (None, 0),
        ("", 0),
        ("soon", 0),
        ("-1", 0),
        ("1e9", 0),
        ("9" * 5000, 0),
        ("Sun, 99 Nov 1994 08:49:47 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert retry.after(header, SENT) == seconds


@pytest.mark.parametrize("sent", [None, "", "now", "Sun, 99 Nov 1994 08:49:47 GMT"])
def test_a_date_without_one_to_compare_it_with_is_nothing(sent):
    assert retry.after("Sun, 06 Nov 1994 08:49:47 GMT", sent) == 0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("toomanyrequests: retry-after: 1.5s, allowed: 44000/minute", 1.5),
        ("toomanyrequests: retry-after: 338.711µs, allowed: 44000/minute", 338.711e-6),
        ("toomanyrequests: retry-after: 20ms, allowed: 44000/minute", 0.02),
        ("retry-after: 2m", 120),
        ("Retry-After: 3", 3),
        ("toomanyrequests: You have reached your pull rate limit", 0),
        ("retry-after: " + "9" * 5000, 0),
    ],
)
def test_what_the_message_of_a_pull_asks_for(said, seconds):
    assert retry.after_pull(said) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "said",
    [
        "Error response from daemon: unauthorized: authentication required",
        'error parsing HTTP 403 response body: unexpected end of JSON input: ""',
        "denied: Your authorization token has expired. Reauthenticate and try again.",
        "no basic auth credentials",
        "manifest for r/a:1 not found: manifest unknown: Requested image not found",
        "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
        "no matching manifest for linux/arm64 in the manifest list entries",
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "http: server gave HTTP response to HTTPS client",
    ],
)
def test_what_stays_as_it_is(said):
    assert retry.final(said)


@pytest.mark.parametrize(
    "said",
    [
        "toomanyrequests: You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit",
        "toomanyrequests: Rate exceeded",
        "received unexpected HTTP status: 503 Service Unavailable",
        "unexpected status from HEAD request to https://r/v2/a/manifests/1: 502 Bad Gateway",
        "read tcp 10.0.0.1:1->10.0.0.2:443: read: connection reset by peer",
        "net/http: TLS handshake timeout",
        "Get https://r/v2/: context deadline exceeded",
        "unexpected EOF",
    ],
)
def test_what_another_try_may_mend(said):
    assert not retry.final(said)
