from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain.urls import host, is_port, is_url, shown, without_user
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("value", ["http://h", "https://h:1/x?y", "http://[fd00::1]:8080/", "http://user:pw@h/"])
def test_urls(value):
    assert is_url(value)
    assert not is_port(value)


@pytest.mark.parametrize("value", ["tcp://db:5432", "tcp://127.0.0.1:1/", "tcp://[fd00::1]:65535"])
def test_ports(value):
    assert is_port(value)
    assert not is_url(value)


@pytest.mark.parametrize(
    "value",
    [None, 7, "", "h:80", "ftp://h", "http://", "http://h:0", "http://h:x", "http://[::1", "tcp://db", "tcp://:1", "tcp://db:0"]
    + ["tcp://db:65536", "tcp://db:1/x", "tcp://db:1?x", "tcp://db:1#x", "tcp://u@db:1", "udp://db:53"],
)
def test_what_cannot_be_asked(value):
    assert not is_url(value)
    assert not is_port(value)


@pytest.mark.parametrize(
    ("url", "seen", "plain", "user"),
    [
        ("http://h/x?a@b:c", "http://h/x?a@b:c", "http://h/x?a@b:c", ""),
        ("http://karl@h/", "http://karl@h/", "http://h/", "karl"),
        ("http://karl:pw@h:1/x", "http://karl:********@h:1/x", "http://h:1/x", "karl:pw"),
        ("https://:p%40w@[::1]:1", "https://:********@[::1]:1", "https://[::1]:1", ":p@w"),
        ("http://a:b@c@h?x", "http://a:********@h?x", "http://h?x", "a:b@c"),
        ("no url", "no url", "no url", ""),
    ],
)
def test_the_user_of_a_url(url, seen, plain, user):
    assert (shown(url), without_user(url)) == (seen, (plain, user))


@given(st.text(alphabet=st.characters(exclude_characters="/?#", codec="utf-8"), min_size=1), st.text())
def test_no_password_is_shown(password, path):
    assert shown(f"http://karl:{password}@h/{path}") == f"http://karl:********@h/{path}"


def test_host():
    assert [host(url) for url in ("http://Web:80/", "tcp://[FD00::1]:1", "x")] == ["web", "fd00::1", ""]
