from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain.answer import Answer, document, read_answer
from ansible.module_utils.rollout.domain.health import bad_answer

URL = "http://127.0.0.1:8000/health"
RELEASE = "sha-abc1234"


@pytest.mark.parametrize(
    ("body", "release", "reason"),
    [
        ({"release": RELEASE, "status": "healthy"}, RELEASE, "healthy"),
        ({"release": 7, "reason": "no database", "status": "unhealthy"}, None, "no database"),
        ({"detail": "not found"}, None, "not found"),
        ({"detail": [1]}, None, ""),
        ({"reason": "cause " * 99}, None, "cause " * 49 + "cause …"),
        ({"reason": "x" * 301}, None, "…"),
        ({"release": "x" * 201}, "…", ""),
        ({"reason": "half a pair: \ud800"}, None, "half a pair: ?"),
        ([1], None, ""),
        (None, None, ""),
        ("text", None, ""),
    ],
)
def test_read_answer(body, release, reason):
    assert read_answer(URL, 200, body) == Answer(URL, 200, release, reason)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("/login", "/login"),
        ("https://user:canary@sso.example/login?token=canary#canary", "https://sso.example/login"),
        ("https://sso.example/" + "x" * 200, "…"),
    ],
)
def test_a_redirect_is_bad_and_says_where_it_points(location, said):
    answer = read_answer(URL, 302, {"reason": "moved"}, location)
    assert bad_answer([answer], None) == f"{URL}: HTTP 302 (a redirect to {said}, not followed)"
    assert read_answer(URL, 200, None, location) == Answer(URL, 200)


@pytest.mark.parametrize("body", [b"[" * 101 + b"]" * 101, b'{"a":' * 100000, b"9" * 21, b"", b"\xff", b"{"])
def test_no_document(body):
    with pytest.raises(ValueError, match=r"."):
        document(body)


def test_a_document_may_be_as_deep_as_the_limit():
    found = document(b"[" * 99 + b"-1" + b"]" * 99)
    for _level in range(99):
        (found,) = found
    assert found == -1


def test_operations_are_bounded():
    assert read_answer(URL, 200, {"operations": ["op-1", 2, "x" * 999]}).operations == ("op-1", "2", "…")
