from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.rollout.domain.changes import Container, container
from ansible.module_utils.rollout.domain.places import addresses, joined, named

WEB = Container("c1", "Web", "i", "r/web", "h", "running", "none", 0, 0, False, "", name="app-core-Web-1")
TWIN, DB = replace(WEB, id="c2", name="app-core-Web-2"), replace(WEB, id="c3", service="db", name="the_db")
GONE = replace(DB, id="c4", status="exited")


@pytest.mark.parametrize(
    ("url", "own", "found"),
    [
        ("http://web:8080/", WEB, WEB),
        ("http://WEB/", TWIN, TWIN),
        ("tcp://app-core-web-1:80", WEB, WEB),
        ("tcp://app-core-web-1:80", TWIN, WEB),
        ("tcp://db:5432", WEB, DB),
        ("tcp://the_db:5432", None, DB),
        ("http://127.0.0.1/", WEB, None),
        ("http://web.example/", WEB, None),
    ],
)
def test_the_container_that_a_url_names(url, own, found):
    assert named(url, own, [WEB, TWIN, GONE, DB]) is found


def test_one_that_does_not_run_is_named_if_no_other_does():
    assert named("tcp://db:1", WEB, [GONE]) is GONE
    gone = replace(WEB, status="exited")
    assert named("tcp://web:1", gone, [TWIN]) is gone, "its own, not its twin"


def inspected(mode, networks):
    return {
        "Id": "c1",
        "Image": "i",
        "State": {"Status": "running"},
        "Config": {"Image": "r/web", "Labels": {}},
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": networks},
    }


@pytest.mark.parametrize(
    ("mode", "networks", "found", "other"),
    [
        ("app_default", {"app_default": {"IPAddress": "172.18.0.3"}}, ("172.18.0.3",), ""),
        (
            "b",
            {"b": {"IPAddress": "10.2.0.1", "GlobalIPv6Address": "fd00:2::1"}, "a": {"IPAddress": "10.1.0.1"}},
            ("10.1.0.1", "10.2.0.1", "fd00:2::1"),
            "",
        ),
        ("six", {"six": {"IPAddress": "", "GlobalIPv6Address": "fd00::7"}}, ("fd00::7",), ""),
        ("none", {"none": {"IPAddress": "", "GlobalIPv6Address": ""}}, (), ""),
        ("host", {"host": {"IPAddress": ""}}, ("127.0.0.1", "::1"), ""),
        ("container:c9", {}, (), "c9"),
    ],
)
def test_where_a_container_is_reached(mode, networks, found, other):
    one = container(inspected(mode, networks))
    assert (addresses(one), joined(one)) == (found, other)
