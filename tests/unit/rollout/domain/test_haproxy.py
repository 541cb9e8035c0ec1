from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain import haproxy
from ansible.module_utils.rollout.domain.ports import Port
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,40}", fullmatch=True)


@given(NAMES, NAMES, st.integers(1, 65535))
def test_the_active_container_is_the_one_that_was_written(service, name, port):
    assert haproxy.active(haproxy.servers(service, port, [(name, "f" * 64)])) == (name,)


@pytest.mark.parametrize("text", [None, "", "half a li", haproxy.servers("web", 8000)])
def test_without_a_server_none_is_active(text):
    assert haproxy.active(text) == ()


def test_what_haproxy_reads():
    assert haproxy.servers("web", 8000, [("app-core-web-2", "0123456789abcdef")]) == (
        "# Written by the rollout, which then reloads HAProxy. Its next run writes it anew.\n"
        "resolvers web\n"
        "    nameserver docker 127.0.0.11:53\n"
        "    hold valid 1s\n"
        "backend web\n"
        "    http-response set-header X-Rollout-Container 0123456789ab\n"
        "    server app-core-web-2 app-core-web-2:8000 resolvers web init-addr libc,none\n"
    )


def test_several_get_requests_in_turn_and_each_says_who_it_is():
    text = haproxy.servers("web", 80, [("app-web-2", "a" * 64), ("app-web-3", "b" * 64)])
    assert text.partition("backend web\n")[2] == (
        "    balance roundrobin\n"
        "    option redispatch 1\n"
        "    http-response set-header X-Rollout-Container aaaaaaaaaaaa if { srv_id 1 }\n"
        "    server app-web-2 app-web-2:80 id 1 check resolvers web init-addr libc,none\n"
        "    http-response set-header X-Rollout-Container bbbbbbbbbbbb if { srv_id 2 }\n"
        "    server app-web-3 app-web-3:80 id 2 check resolvers web init-addr libc,none\n"
    )
    assert haproxy.active(text) == ("app-web-2", "app-web-3")


def tcp(*numbers):
    return [Port(number) for number in numbers]


def test_only_urls_through_the_proxy_are_sent_to_the_container():
    urls = ("http://127.0.0.1:8000/health?deep=1", "http://h:9000/workers/x")
    assert haproxy.through(urls, tcp(8000, 8443), "web") == urls[:1]
    assert haproxy.direct(urls, tcp(8000), "10.0.0.7", 80, "web") == ("http://10.0.0.7:80/health?deep=1", urls[1])


def test_the_service_s_own_name_is_not_the_proxy_and_a_connection_has_no_header():
    urls = ("http://web:8000/health", "tcp://127.0.0.1:8000", "tcp://h:9000", "http://[::1]:8000/")
    assert haproxy.through(urls, tcp(8000), "Web") == urls[3:]
    sent = (urls[0], "tcp://[fd00::7]:80", urls[2], "http://[fd00::7]:80/")
    assert haproxy.direct(urls, tcp(8000), "fd00::7", 80, "Web") == sent


def test_a_url_without_a_port_goes_to_that_of_its_scheme():
    urls = ("http://127.0.0.1/health", "https://h/health", "http://h:8080/")
    assert haproxy.through(urls, tcp(80), "web") == urls[:1]
    assert haproxy.through(urls, (*tcp(443, 8080), Port(80, "udp")), "web") == urls[1:]


def test_the_address_is_the_one_in_a_shared_network():
    mine = (("a", "10.0.0.1"), ("b", "10.1.0.1"))
    assert haproxy.address(mine, (("b", "10.1.0.9"),)) == "10.1.0.1"
    assert haproxy.address(mine, ()) == ""
